"""Who is judged on whom, in every design; all tables are written by hand."""

from itertools import combinations

import pytest
from sites.designs import DESIGNS, cohort_of, name_scores
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.matrix import (
    SPLITS,
    Trainers,
    cohorts_of,
    find_comparable,
    is_available,
    judged_part_of,
    relation_of,
    scorers_of,
)


def scorer(plan, written):
    (found,) = [s for s in scorers_of(plan) if f"{s.model.name}@{s.arm.name}" == written]
    return found


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

    assert name_scores(plan, range(len(scorers_of(plan)))) == written.split()


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
    assert cohorts_of(DESIGNS[design]) == tuple(map(cohort_of, written.split()))


def test_all_external_patients_are_a_cohort_where_several_sites_have_them():
    plan = plan_of({"a": "train", "b": "external", "c": "external"})

    assert cohorts_of(plan)[-2:] == (cohort_of("b+c:whole"), cohort_of("a+b+c:whole"))


def test_a_cohort_of_one_site_is_that_site_s_own():
    assert [cohort_of(written).one_site for written in ("a:test", "a+b:test")] == [True, False]


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

    assert is_available(plan, scorer(plan, of), cohort_of(on)) is expected


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

    assert relation_of(scorer(plan, of), cohort_of(on)) == expected


@pytest.mark.parametrize(
    ("trained", "judged", "on", "expected"),
    [
        ("a", "a", "a:train", "apparent"),
        ("a", "a", "a:test", "internal"),
        ("a", "a", "b:train", "external"),
        ("a", "a", "b:validation", "external"),
        ("a", "a", "b:test", "external"),
        ("a", "a", "b:whole", "external"),
        ("a", "a", "a+b:train", "seen centre"),
        ("a", "a", "a+b:test", "seen centre"),
        # b has too few patients to train, but its validation patients helped to choose the round
        ("a", "ab", "b:train", "seen centre"),
        ("a", "ab", "b:validation", "selection"),
        ("a", "ab", "b:test", "internal"),
        ("a", "ab", "b:whole", "seen centre"),
        ("a", "ab", "a+b:train", "seen centre"),
        ("a", "ab", "a+b:test", "internal"),
        ("ab", "ab", "a+b:train", "apparent"),
        ("a", "ab", "c:whole", "external"),
    ],
)
def test_what_a_model_has_seen_by_who_took_part(trained, judged, on, expected):
    of = scorer(DESIGNS["together"], "Net@federated")
    taking_part = Trainers(frozenset(trained), frozenset(judged), partial=trained != "ab")

    assert relation_of(of, cohort_of(on), taking_part) == expected


def test_a_given_score_stays_one_whoever_took_part():
    of = scorer(DESIGNS["together"], "Scale@given")

    assert relation_of(of, cohort_of("a:train"), Trainers(frozenset(), frozenset())) == "given"


@pytest.mark.parametrize("design", DESIGNS)
def test_what_is_fair_by_the_plan_is_fair_whoever_took_part(design):
    """So the sites answer by the plan, and nobody has to tell them who was silent."""
    plan = DESIGNS[design]
    for cohort in cohorts_of(plan):
        parts = SPLITS if cohort.part == "whole" else (cohort.part,)
        patients = {(site, part) for site in cohort.sites for part in parts}
        for number in find_comparable(plan, cohort):
            sites = scorers_of(plan)[number].arm.sites
            for count in range(len(sites) + 1):
                for trained in combinations(sites, count):
                    assert not patients & {(site, "train") for site in trained}


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

    assert name_scores(plan, find_comparable(plan, cohort_of(on))) == written.split()


@pytest.mark.parametrize(
    ("model", "expected"),
    [(NETWORK, True), (LOGISTIC, True), (SCALE, False), (SCALE | {"probability": True}, True)],
)
def test_only_predicted_risks_can_be_calibrated(model, expected):
    assert scorers_of(plan_of({"a": "train"}, model))[0].probability is expected
