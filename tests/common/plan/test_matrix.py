"""Who is judged on whom, in every design; all tables are written by hand."""

import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.matrix import (
    Cohort,
    cohorts_of,
    find_comparable,
    find_compared_cohorts,
    is_available,
    judged_part_of,
    relation_of,
    scorers_of,
)

MODELS = (NETWORK, LOGISTIC, SCALE)
DESIGNS = {
    "together": plan_of({"a": "train+", "b": "train", "c": "external"}, *MODELS, arms={"pooled_model": True}),
    "leave-one-out": plan_of(
        {"a": "train", "b": "train", "c": "train"},
        *MODELS,
        arms={"design": "leave-one-centre-out", "local_models": False},
    ),
    "paper": plan_of({"a": "train", "b": "external"}, *MODELS),
    "paper, released": plan_of({"a": "train+", "b": "external"}, *MODELS),
    "scores alone": plan_of({"a": "external", "b": "external"}),
    "one site": plan_of({"a": "train"}, *MODELS),
    "one external site": plan_of({"a": "external"}),
}


def cohort(written):
    sites, _, part = written.partition(":")
    return Cohort(tuple(sites.split("+")), part)


def scorer(plan, written):
    (found,) = [s for s in scorers_of(plan) if f"{s.model.name}@{s.arm.name}" == written]
    return found


def names(plan, numbers):
    scorers = scorers_of(plan)
    return [f"{scorers[n].model.name}@{scorers[n].arm.name}" for n in numbers]


@pytest.mark.parametrize(
    ("design", "written"),
    [
        (
            "together",
            (
                "Net@federated Net@local-a Net@local-b Net@pooled "
                "Clinical@federated Clinical@local-a Clinical@local-b Scale@given"
            ),
        ),
        (
            "leave-one-out",
            (
                "Net@federated-without-a Net@federated-without-b Net@federated-without-c "
                "Clinical@federated-without-a Clinical@federated-without-b Clinical@federated-without-c "
                "Scale@given"
            ),
        ),
        ("paper", "Net@local-a Clinical@local-a Scale@given"),
        ("scores alone", "Scale@given"),
        ("one site", "Net@local-a Clinical@local-a Scale@given"),
    ],
)
def test_every_score_of_the_plan_in_its_order(design, written):
    plan = DESIGNS[design]

    assert names(plan, range(len(scorers_of(plan)))) == written.split()


@pytest.mark.parametrize(
    ("design", "written"),
    [
        (
            "together",
            (
                "a:train a:validation a:test a:whole b:train b:validation b:test b:whole c:whole "
                "a+b:train a+b:test a+b+c:whole"
            ),
        ),
        (
            "leave-one-out",
            (
                "a:train a:validation a:test a:whole b:train b:validation b:test b:whole "
                "c:train c:validation c:test c:whole a+b+c:train a+b+c:test a+b+c:whole"
            ),
        ),
        ("paper", "a:train a:validation a:test a:whole b:whole a+b:whole"),
        ("scores alone", "a:whole b:whole a+b:whole"),
        ("one site", "a:train a:validation a:test a:whole"),
        ("one external site", "a:whole"),
    ],
)
def test_the_cohorts_of_every_design(design, written):
    assert cohorts_of(DESIGNS[design]) == tuple(map(cohort, written.split()))


def test_all_external_patients_are_a_cohort_where_several_sites_have_them():
    plan = plan_of({"a": "train", "b": "external", "c": "external"})

    assert cohorts_of(plan)[-2:] == (cohort("b+c:whole"), cohort("a+b+c:whole"))


def test_a_cohort_of_one_site_is_that_site_s_own():
    assert [cohort(written).one_site for written in ("a:test", "a+b:test")] == [True, False]


@pytest.mark.parametrize(("site", "part"), [("a", "test"), ("c", "whole")])
def test_a_site_judges_on_its_tests_and_an_external_one_on_all(site, part):
    assert judged_part_of(DESIGNS["together"], site) == part


@pytest.mark.parametrize(
    ("design", "of", "on", "expected"),
    [
        ("together", "Net@federated", "a+b+c:whole", True),
        ("together", "Net@pooled", "c:whole", True),
        ("together", "Net@local-a", "b:test", True),  # a releases its models
        ("together", "Net@local-b", "b:test", True),
        ("together", "Net@local-b", "a:test", False),
        ("together", "Clinical@local-b", "c:whole", False),
        ("together", "Net@local-b", "a+b:test", False),
        ("together", "Scale@given", "a+b+c:whole", True),
        ("paper", "Net@local-a", "b:whole", False),
        ("paper", "Net@local-a", "a+b:whole", False),
        ("paper, released", "Net@local-a", "b:whole", True),
        ("scores alone", "Scale@given", "a+b:whole", True),
    ],
)
def test_a_local_model_that_stays_scores_its_site_alone(design, of, on, expected):
    plan = DESIGNS[design]

    assert is_available(plan, scorer(plan, of), cohort(on)) is expected


@pytest.mark.parametrize(
    ("design", "of", "on", "expected"),
    [
        ("together", "Net@federated", "a+b:train", "apparent"),
        ("together", "Net@federated", "a:validation", "selection"),
        ("together", "Clinical@federated", "a:validation", "apparent"),
        ("together", "Net@federated", "a+b:test", "internal"),
        ("together", "Net@federated", "b:test", "internal"),
        ("together", "Net@federated", "a:whole", "seen centre"),
        ("together", "Net@federated", "c:whole", "external"),
        ("together", "Net@federated", "a+b+c:whole", "seen centre"),
        ("together", "Net@local-a", "a:test", "internal"),
        ("together", "Net@local-a", "b:train", "external"),
        ("together", "Net@local-a", "b:test", "external"),
        ("together", "Net@local-a", "a+b:test", "seen centre"),
        ("together", "Net@pooled", "a+b:test", "internal"),
        ("together", "Scale@given", "a+b:train", "given"),
        ("leave-one-out", "Net@federated-without-a", "a:test", "external"),
        ("leave-one-out", "Net@federated-without-a", "a:whole", "external"),
        ("leave-one-out", "Net@federated-without-a", "b:test", "internal"),
        ("leave-one-out", "Clinical@federated-without-a", "b:train", "apparent"),
        ("leave-one-out", "Net@federated-without-a", "a+b+c:test", "seen centre"),
        ("paper", "Net@local-a", "b:whole", "external"),
        ("scores alone", "Scale@given", "a:whole", "given"),
    ],
)
def test_what_a_score_has_seen_of_a_cohort(design, of, on, expected):
    plan = DESIGNS[design]

    assert relation_of(scorer(plan, of), cohort(on)) == expected


@pytest.mark.parametrize(
    ("design", "on", "written"),
    [
        (
            "together",
            "a:test",
            "Net@federated Net@local-a Net@pooled Clinical@federated Clinical@local-a Scale@given",
        ),
        (
            "together",
            "b:test",
            (
                "Net@federated Net@local-a Net@local-b Net@pooled "
                "Clinical@federated Clinical@local-a Clinical@local-b Scale@given"
            ),
        ),
        ("together", "a+b:test", "Net@federated Net@pooled Clinical@federated Scale@given"),
        (
            "together",
            "c:whole",
            "Net@federated Net@local-a Net@pooled Clinical@federated Clinical@local-a Scale@given",
        ),
        ("together", "a:whole", "Scale@given"),
        ("together", "a+b:train", ""),
        ("together", "a:validation", ""),
        ("leave-one-out", "a+b+c:test", "Scale@given"),
        ("paper", "b:whole", "Scale@given"),
        ("paper, released", "b:whole", "Net@local-a Clinical@local-a Scale@given"),
    ],
)
def test_only_scores_that_saw_none_of_the_patients_are_comparable(design, on, written):
    plan = DESIGNS[design]

    assert names(plan, find_comparable(plan, cohort(on))) == written.split()


@pytest.mark.parametrize(
    ("design", "written"),
    [
        # Of all patients of b, the models that a releases saw none.
        ("together", "2 a:test|6 b:test|7 b:whole|8 c:whole|10 a+b:test"),
        ("leave-one-out", "2 a:test|3 a:whole|6 b:test|7 b:whole|10 c:test|11 c:whole"),
        ("paper", "2 a:test"),
        ("paper, released", "2 a:test|4 b:whole"),
        ("scores alone", ""),
        ("one site", "2 a:test"),
    ],
)
def test_cohorts_with_at_least_two_scores_to_compare(design, written):
    plan = DESIGNS[design]
    found = find_compared_cohorts(plan, [True] * len(scorers_of(plan)))

    assert all(scorers == find_comparable(plan, on) and len(scorers) > 1 for _, on, scorers in found)
    assert "|".join(f"{index} {'+'.join(on.sites)}:{on.part}" for index, on, _ in found) == written


@pytest.mark.parametrize(
    ("model", "expected"),
    [(NETWORK, True), (LOGISTIC, True), (SCALE, False), (SCALE | {"probability": True}, True)],
)
def test_only_predicted_risks_can_be_calibrated(model, expected):
    assert scorers_of(plan_of({"a": "train"}, model))[0].probability is expected
