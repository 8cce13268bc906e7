"""Which score of the reference model is compared with which, in every design; all tables are by hand."""

import pytest
from sites.designs import DESIGNS, cohort_of, name_scores, write_cohort_name
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.comparisons import ComparedScores, find_compared_scores, find_compared_tables
from common.plan.matrix import cohorts_of, find_comparable, scorers_of


def tables_of(plan, reference, scored=None):
    return find_compared_tables(plan, scored or [True] * len(scorers_of(plan)), reference)


def write_tables(plan, reference, on):
    """Each table of a cohort as "the reference model's score: the others"."""
    return [
        f"{' '.join(name_scores(plan, [table.reference]))}: {' '.join(name_scores(plan, table.others))}"
        for table in tables_of(plan, reference)
        if table.cohort == cohort_of(on)
    ]


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
@pytest.mark.parametrize("reference", ["Net", "Clinical", "Scale"])
def test_cohorts_with_at_least_two_scores_have_tables(design, written, reference):
    plan = DESIGNS[design]
    if reference not in [model.name for model in plan.models]:
        return
    found = tables_of(plan, reference)

    assert all(table.cohort == cohorts_of(plan)[table.index] for table in found)
    places = dict.fromkeys((table.index, table.cohort) for table in found)
    assert "|".join(f"{index} {write_cohort_name(on)}" for index, on in places) == written


@pytest.mark.parametrize(
    ("design", "reference", "on", "expected"),
    [
        (
            "together",
            "Net",
            "b:test",
            [
                # Its first arm against its own others too, each arm against the models of the arm
                "Net@federated: Net@local-a Net@local-b Net@pooled Clinical@federated Scale@given",
                "Net@local-a: Clinical@local-a Scale@given",
                "Net@local-b: Clinical@local-b Scale@given",
                "Net@pooled: Scale@given",
            ],
        ),
        # The local model of b stays at b; only what saw none of its patients is judged on all of them.
        (
            "together",
            "Net",
            "a:test",
            [
                "Net@federated: Net@local-a Net@pooled Clinical@federated Scale@given",
                "Net@local-a: Clinical@local-a Scale@given",
                "Net@pooled: Scale@given",
            ],
        ),
        ("together", "Net", "b:whole", ["Net@local-a: Clinical@local-a Scale@given"]),
        (
            "together",
            "Net",
            "a+b:test",
            ["Net@federated: Net@pooled Clinical@federated Scale@given", "Net@pooled: Scale@given"],
        ),
        (
            "together",
            "Clinical",
            "a:test",
            [
                "Clinical@federated: Net@federated Clinical@local-a Scale@given",
                "Clinical@local-a: Net@local-a Scale@given",
            ],
        ),
        # A score from elsewhere is of no arm: it is compared with every arm
        (
            "together",
            "Scale",
            "a:test",
            ["Scale@given: Net@federated Net@local-a Net@pooled Clinical@federated Clinical@local-a"],
        ),
        ("together", "Net", "a:whole", []),
        (
            "leave-one-out",
            "Net",
            "a:whole",
            ["Net@federated-without-a: Clinical@federated-without-a Scale@given"],
        ),
        ("paper", "Net", "a:test", ["Net@local-a: Clinical@local-a Scale@given"]),
        ("paper, released", "Clinical", "b:whole", ["Clinical@local-a: Net@local-a Scale@given"]),
    ],
)
def test_the_tables_of_a_cohort(design, reference, on, expected):
    assert write_tables(DESIGNS[design], reference, on) == expected


@pytest.mark.parametrize("design", DESIGNS)
def test_a_table_holds_fair_scores_of_its_cohort_once(design):
    plan = DESIGNS[design]
    for reference in [model.name for model in plan.models]:
        for table in tables_of(plan, reference):
            members = (table.reference, *table.others)
            assert len(set(members)) == len(members)
            assert set(members) <= set(find_comparable(plan, table.cohort))
            assert scorers_of(plan)[table.reference].model.name == reference


def test_a_model_that_does_not_exist_is_in_no_table():
    plan = DESIGNS["together"]
    scored = [name != "Net@federated" for name in name_scores(plan, range(len(scorers_of(plan))))]

    found = [
        (name_scores(plan, [table.reference]), name_scores(plan, table.others))
        for table in tables_of(plan, "Net", scored)
        if table.cohort == cohort_of("a:test")
    ]

    # The next of its arms is now the first: it is compared with the other one.
    assert found == [
        (["Net@local-a"], ["Net@pooled", "Clinical@local-a", "Scale@given"]),
        (["Net@pooled"], ["Scale@given"]),
    ]
    assert tables_of(plan, "Net", [False] * len(scored)) == ()


def test_each_pair_is_asked_for_and_all_scores_of_a_table_of_more_than_two():
    plan = plan_of({"a": "train", "b": "train"}, NETWORK, LOGISTIC, SCALE, arms={"local_models": False})
    (table,) = [one for one in tables_of(plan, "Net") if one.cohort == cohort_of("a+b:test")]
    index = cohorts_of(plan).index(table.cohort)

    found = [one for one in find_compared_scores(plan, [True] * 3, "Net") if one.cohort == table.cohort]

    assert [one.name for one in found] == [f"paired/{index}/{pair}" for pair in ("0-1", "0-2", "0-1-2")]
    assert found == [*table.pairs, table.together]
    # Of two scores, the pair is the table.
    assert [one.scorers for one in find_compared_scores(plan, [True, False, True], "Net")] == [(0, 2)] * 3


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("reference", ["Net", "Clinical", "Scale"])
def test_nothing_is_asked_for_twice_and_names_differ(design, reference):
    plan = DESIGNS[design]
    found = find_compared_scores(plan, [True] * len(scorers_of(plan)), reference)

    assert len(set(found)) == len({one.name for one in found}) == len(found)


def test_histograms_of_a_pair_s_own_patients_have_a_name_of_their_own():
    scores = ComparedScores(4, cohort_of("a+b:test"), (1, 3))

    assert [scores.name_histogram(3, recounted=own) for own in (True, False)] == [
        "paired/4/1-3/3",
        "cohort/4/3",
    ]
