"""Whose answers are added: nothing that the plan does not list, and everything that it does."""

import numpy as np
import pytest
from sites.plans import SCALE, plan_of

from common.errors import PlanError
from common.messages.catalogue import Operation
from common.messages.groups import (
    SiteGroup,
    find_hiding_set,
    groups_of,
    hiding_sets_of,
    select_own,
    select_shared,
)
from common.plan.comparisons import find_compared_scores
from common.plan.described_columns import table_columns
from common.plan.matrix import cohorts_of
from common.stats.contract import Summary

ROLES = {"a": "train", "b": "train", "c": "external", "d": "external"}

LEFT_OUT = {"design": "leave-one-centre-out", "subtraction_ack": True}


def a_plan(**changes):
    return plan_of(ROLES, SCALE | {"name": "S", "column": "s"}, **changes)


def by_sites(plan, operation, stage=""):
    return {group.sites: set(group.parts) for group in groups_of(plan, operation, stage)}


def test_every_column_of_table_one_is_a_group_and_nothing_else():
    plan = a_plan()

    assert by_sites(plan, Operation.COHORT) == by_sites(plan, Operation.GUARD, "cohort")
    assert by_sites(plan, Operation.COHORT) == {
        ("a", "b"): {"training", "test"},
        ("c", "d"): {"test"},
        **{(site,): {"whole"} for site in "abcd"},
        ("a", "b", "c", "d"): {"whole"},
    }
    assert all(
        column.taken in by_sites(plan, Operation.COHORT)[column.sites] for column in table_columns(plan)
    )


@pytest.mark.parametrize("operation", [Operation.GRID, Operation.EVALUATE, Operation.COMPARE])
def test_every_cohort_of_the_evaluation_is_a_group(operation):
    plan = a_plan()
    groups = by_sites(plan, operation)

    assert groups == by_sites(plan, Operation.GUARD, "evaluation")
    for index, cohort in enumerate(cohorts_of(plan)):
        assert {cohort.part, f"paired/{index}"} <= groups[cohort.sites]
    assert not any("train" in parts for sites, parts in groups.items() if set(sites) & {"c", "d"})


def test_what_is_compared_is_added_over_the_sites_of_its_cohort_alone():
    plan = plan_of(ROLES, *(SCALE | {"name": name, "column": name} for name in ("X", "Y", "Z")))
    compared = find_compared_scores(plan, [True] * 3, "Y")

    assert len({scores.cohort for scores in compared}) > 4
    for scores in compared:
        told = Summary({f"{scores.name}/delong/n": np.array([3, 4])})
        added = [group for group in groups_of(plan, Operation.COMPARE) if group.select(told).counts]
        assert [group.sites for group in added] == [scores.cohort.sites]


def test_training_scores_are_added_over_an_arm_only_where_a_threshold_is_chosen_on_them():
    left_out = {"arms": LEFT_OUT}
    three = {"a": "train", "b": "train", "e": "train"}
    scores = SCALE | {"name": "S", "column": "s"}
    fixed, youden = (
        plan_of(three, scores, evaluation={"operating_point": point}, **left_out)
        for point in ("fixed", "youden")
    )

    assert ("a", "b") not in by_sites(fixed, Operation.EVALUATE)
    assert by_sites(youden, Operation.EVALUATE)["a", "b"] == {"train"}


def test_a_fit_is_about_the_whole_answers_of_its_arm_s_sites():
    plan = plan_of({"a": "train", "b": "train", "e": "train"}, SCALE, arms=LEFT_OUT)

    assert groups_of(plan, Operation.NEWTON, arm="federated-without-a") == (SiteGroup(("b", "e"), ()),)
    assert groups_of(plan, Operation.GUARD, "regression") == (SiteGroup(("a", "b", "e"), ()),)
    assert by_sites(plan, Operation.CALIBRATE) == by_sites(plan, Operation.COMPARE)
    with pytest.raises(PlanError, match="no arm 'x'"):
        groups_of(plan, Operation.NEWTON, arm="x")


SUMMARY = Summary({"test/n": np.array([3]), "train/n": np.array([4])}, {"test/x": np.array([0.5])})


def test_what_one_site_alone_contributes_is_its_own_and_the_rest_is_shared():
    groups = (
        SiteGroup(("a",), ("test", "train")),
        SiteGroup(("b",), ("test",)),
        SiteGroup(("a", "b"), ("test",)),
    )

    assert select_own(groups, "a", SUMMARY).layout() == SUMMARY.layout()
    assert select_own(groups, "c", SUMMARY).layout() == ()
    for site, told in (("a", 3), ("b", 3), ("c", 0)):
        shared = select_shared(groups, site, SUMMARY)
        assert [name for _, name, _ in shared.layout()] == ["2/test/n", "2/test/x"]
        assert shared.counts["2/test/n"].tolist() == [told]


@pytest.mark.parametrize(
    ("roles", "arms", "expected"),
    [
        ("tt", {}, [(1, 2)]),
        ("ttx", {}, [(1, 2, 3), (1, 2)]),
        ("ttxxx", {}, [(1, 2, 3, 4, 5)]),
        ("ttt", LEFT_OUT, [(1, 2, 3), (2, 3), (1, 3), (1, 2)]),
    ],
)
def test_a_set_that_hides_a_sum_reaches_the_minimum(roles, arms, expected):
    plan = plan_of(
        {f"s{place}": "train" if role == "t" else "external" for place, role in enumerate(roles, start=1)},
        SCALE,
        arms=arms,
    )

    assert list(hiding_sets_of(plan)) == [tuple(f"s{place}" for place in own) for own in expected]


def test_a_small_group_is_hidden_among_all_and_one_site_s_own_is_not():
    plan = plan_of({"a": "train", "b": "train", **dict.fromkeys("cde", "external")}, SCALE)

    assert hiding_sets_of(plan)[find_hiding_set(plan, [SiteGroup(("a", "b"), ())])] == plan.site_names
    assert find_hiding_set(plan, [SiteGroup(("a",), ())]) is None


def test_a_group_takes_whole_names_alone():
    summary = Summary(
        {"test/n": np.array([1]), "tested/n": np.array([2]), "test": np.array([3])},
        {"test/x": np.array([0.5]), "train/x": np.array([0.25])},
        {"test/w": np.zeros(2, dtype=np.float32)},
    )

    taken = SiteGroup(("a",), ("test",)).select(summary)

    assert taken.layout() == (
        ("counts", "test/n", (1,)),
        ("reals", "test/x", (1,)),
        ("updates", "test/w", (2,)),
    )


def test_readings_of_everybody_are_added_and_features_only_of_the_same_readers():
    roles = {"a": "train", "b": "train", "e": "external"}
    same, other = (plan_of(roles, SCALE, agreement={"same_readers": same}) for same in (True, False))

    for plan in (same, other):
        assert groups_of(plan, Operation.AGREEMENT) == (SiteGroup(("a", "b", "e"), ()),)
        assert groups_of(plan, Operation.GUARD, "agreement") == (SiteGroup(("a", "b", "e"), ()),)
        assert groups_of(plan, Operation.READING_MEANS) == (SiteGroup(("a", "b"), ()),)
    for asked in ((Operation.GUARD, "reproducibility"), (Operation.READING_SUMS,)):
        assert groups_of(same, *asked) == (SiteGroup(("a", "b"), ()),)
        assert groups_of(other, *asked) == (SiteGroup(("a",), ()), SiteGroup(("b",), ()))
        assert groups_of(other, asked[0], *asked[1:], arm="local-b") == (SiteGroup(("b",), ()),)
