"""The groups of sites over which an answer is added.

Sites and coordinator derive them from the plan, so no request can ask for a sum that was not approved. No sum
hides the numbers of a group of one site: they are a per-site release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.messages.catalogue import Operation, find_question
from common.plan.described_columns import table_columns
from common.plan.matrix import cohorts_of
from common.plan.study import StudyPlan
from common.secagg.wire.roster import minimum_sites
from common.stats.contract import Summary, join_summaries


@dataclass(frozen=True)
class SiteGroup:
    """Sites over which parts of an answer are added.

    Attributes
    ----------
    sites : tuple of str
        Names of the sites, sorted.
    parts : tuple of str
        Prefixes of the summary's arrays that are added over them; empty for all arrays.
    """

    sites: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def alone(self) -> bool:
        """Whether the group has one site only, so that no sum hides its numbers."""
        return len(self.sites) == 1

    def select(self, summary: Summary) -> Summary:
        """The arrays of a site's summary that are added over this group, under their own names."""
        return summary.keep_under(self.parts) if self.parts else summary


def groups_of(plan: StudyPlan, operation: Operation, stage: str = "", arm: str = "") -> tuple[SiteGroup, ...]:
    """The groups of sites that a question is about, one for each set of sites, with all its parts.

    Parameters
    ----------
    plan : StudyPlan
    operation : Operation
    stage : str
        Its stage, as in the request's header.
    arm : str
        Arm on whose sites' patients something is fitted; by default all training sites'.

    Raises
    ------
    PlanError
        If the plan has no such arm.
    ProtocolError
        If the operation has no such stage.
    """
    merged: dict[tuple[str, ...], dict[str, None]] = {}
    for sites, parts in find_question(operation, stage).added_over(plan, arm):
        merged.setdefault(sites, {}).update(dict.fromkeys(parts))
    return tuple(SiteGroup(sites, tuple(parts)) for sites, parts in merged.items())


def select_own(groups: Sequence[SiteGroup], site: str, summary: Summary) -> Summary:
    """The arrays of a site's summary that no other site is added to: they are shown unhidden."""
    return join_summaries(group.select(summary) for group in groups if group.sites == (site,))


def select_shared(groups: Sequence[SiteGroup], site: str, summary: Summary) -> Summary:
    """The arrays of a site's summary that are hidden in sums, under the number of their group.

    For a group without the site it adds zeros, so that all sites that take part add the same arrays.
    """
    return join_summaries(
        (group.select(summary) if site in group.sites else _zeros_like(group.select(summary))).under(
            str(number)
        )
        for number, group in enumerate(groups)
        if not group.alone
    )


def hiding_sets_of(plan: StudyPlan) -> tuple[tuple[str, ...], ...]:
    """Every set of sites among which sums are hidden: all sites, and each arm's that reach the minimum."""
    minimum = minimum_sites(len(plan.sites), plan.privacy.colluders)
    wanted = [plan.training_sites, *(arm.sites for arm in plan.all_arms())]
    return tuple(dict.fromkeys([plan.site_names, *(sites for sites in wanted if len(sites) >= minimum)]))


def list_summed_sets(plan: StudyPlan, site: str) -> tuple[tuple[str, ...], ...]:
    """Every set of several sites, this one among them, over which the plan opens a sum."""
    sets = [plan.site_names, plan.training_sites, *(arm.sites for arm in plan.all_arms())]
    sets += [cohort.sites for cohort in cohorts_of(plan)]
    sets += [column.sites for column in table_columns(plan)]
    return tuple(dict.fromkeys(sites for sites in sets if len(sites) > 1 and site in sites))


def find_hiding_set(plan: StudyPlan, groups: Sequence[SiteGroup]) -> int | None:
    """Number in `hiding_sets_of` of the set that takes part in a question's sum; None if there is no sum.

    A group smaller than the minimum is hidden among all sites; those outside the group add zeros.
    """
    members = {site for group in groups if not group.alone for site in group.sites}
    if not members:
        return None
    sets = hiding_sets_of(plan)
    return sets.index(tuple(sorted(members))) if tuple(sorted(members)) in sets else 0


def _zeros_like(summary: Summary) -> Summary:
    return Summary(
        {name: np.zeros_like(array) for name, array in summary.counts.items()},
        {name: np.zeros_like(array) for name, array in summary.reals.items()},
        {name: np.zeros_like(array) for name, array in summary.updates.items()},
    )
