"""Counts of overlapping cohorts: what is shown of some does not tell what is hidden of another."""

from sites.plans import SCALE, plan_of

from common.plan.matrix import Cohort
from server.phases.shown_cohorts import may_show_beside

SITES = ("a", "b", "c")


def shown(counts):
    """Which sites' counts are shown beside those of all, by the counts of each; b's are hidden: 17 and 1."""
    plan = plan_of(dict.fromkeys(SITES, "external"), SCALE, profile="standard", phases=["evaluation"])
    cohorts = [Cohort((site,), "whole") for site in counts] + [Cohort(SITES, "whole")]
    everybody = tuple(sum(cells) for cells in zip(*counts.values(), (17, 1), strict=True))
    flags = may_show_beside(plan, cohorts, [*counts.values(), everybody])
    return dict(zip([*counts, "all"], flags, strict=True))


def test_a_centre_without_patients_to_count_protects_no_other():
    """Its 0 and 0 are known: the difference of the whole and a would be b's 17 and 1."""
    assert shown({"a": (15, 9), "c": (0, 0)}) == {"a": False, "c": True, "all": True}


def test_a_second_centre_with_patients_protects_the_hidden_one():
    assert sum(shown({"a": (15, 9), "c": (12, 7)}).values()) == 2
