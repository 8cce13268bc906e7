"""Whose patients are added up in an answer: the groups of sites that a question is about.

Both sides of a study read them from the plan, so no request can ask for a sum that was not approved. What a
group of one site holds is that site's own, hidden by no sum: a per-site release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from common.columns import table_columns
from common.headers import Operation
from common.matrix import cohorts_of
from common.secagg.roster import minimum_sites
from common.stats.contract import Summary, join
from common.study import StudyPlan


@dataclass(frozen=True)
class Group:
    """Sites whose answers are added.

    Attributes
    ----------
    sites : tuple of str
        Sorted.
    parts : tuple of str
        Which prefixes of the summary are added over them; none stands for all of it.
    """

    sites: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def alone(self) -> bool:
        """Whether it is one site's own."""
        return len(self.sites) == 1

    def of(self, summary: Summary) -> Summary:
        """What of a site's summary is added over this group, under its old names."""
        if not self.parts:
            return summary
        starts = tuple(f"{part}/" for part in self.parts)
        return Summary(
            {name: array for name, array in summary.counts.items() if name.startswith(starts)},
            {name: array for name, array in summary.reals.items() if name.startswith(starts)},
            {name: array for name, array in summary.updates.items() if name.startswith(starts)},
        )


_READ_TWICE = {"reproducibility", Operation.READING_SUMS}
"""Of readers' features: readings of other readers are not added."""


def groups_of(plan: StudyPlan, operation: Operation, stage: str = "", arm: str = "") -> tuple[Group, ...]:
    """The groups of sites that a question is about.

    Parameters
    ----------
    plan : StudyPlan
    operation : Operation
    stage : str
        Of a guard round.
    arm : str
        On whose sites' patients something is fitted; by default on all training sites'.

    Raises
    ------
    PlanError
        If the plan has no such arm.
    """
    asked = stage if operation is Operation.GUARD else operation
    if asked in _OF_PLAN:
        return _OF_PLAN[asked](plan)
    fitted = plan.arm(arm).sites if arm else plan.training_sites
    if asked in _READ_TWICE and not plan.agreement.same_readers:
        return tuple(Group((site,), ()) for site in fitted)
    return (Group(fitted, ()),)


def own_of(groups: Sequence[Group], site: str, summary: Summary) -> Summary:
    """What of a site's summary is nobody's but its own: it is shown as it is."""
    return join(group.of(summary) for group in groups if group.sites == (site,))


def shared_of(groups: Sequence[Group], site: str, summary: Summary) -> Summary:
    """What of a site's summary disappears in sums, by the number of the group.

    Where the site is not in a group it adds zeros, so that all that take part add the same arrays.
    """
    return join(
        (group.of(summary) if site in group.sites else _nothing(group.of(summary))).under(str(number))
        for number, group in enumerate(groups)
        if not group.alone
    )


def hiding_sets(plan: StudyPlan) -> tuple[tuple[str, ...], ...]:
    """Every set of sites among whom sums are hidden: all, and the arms' that reach the minimum."""
    minimum = minimum_sites(len(plan.sites), plan.privacy.colluders)
    wanted = [plan.training_sites, *(arm.sites for arm in plan.all_arms())]
    return tuple(dict.fromkeys([plan.site_names, *(own for own in wanted if len(own) >= minimum)]))


def hiding_set(plan: StudyPlan, groups: Sequence[Group]) -> int | None:
    """The number, in `hiding_sets`, of the set that takes part in a question's sum; None if it has no sum.

    A group smaller than the minimum is hidden among all sites, of which the others add zeros.
    """
    members = {site for group in groups if not group.alone for site in group.sites}
    if not members:
        return None
    sets = hiding_sets(plan)
    return sets.index(tuple(sorted(members))) if tuple(sorted(members)) in sets else 0


def _nothing(summary: Summary) -> Summary:
    return Summary(
        {name: np.zeros_like(array) for name, array in summary.counts.items()},
        {name: np.zeros_like(array) for name, array in summary.reals.items()},
        {name: np.zeros_like(array) for name, array in summary.updates.items()},
    )


def _of_scores(plan: StudyPlan) -> tuple[Group, ...]:
    """Each cohort's scores and comparisons, each arm's training scores, and the mean over centres."""
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (cohort.sites, (cohort.part, f"paired/{index}")) for index, cohort in enumerate(cohorts_of(plan))
    ]
    if plan.evaluation.operating_point == "youden":
        found += [(arm.sites, ("train",)) for arm in plan.all_arms()]
    found.append((plan.site_names, ("centre",)))
    return _merged(found)


def _merged(found: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> tuple[Group, ...]:
    parts: dict[tuple[str, ...], dict[str, None]] = {}
    for sites, own in found:
        parts.setdefault(sites, {}).update(dict.fromkeys(own))
    return tuple(Group(sites, tuple(own)) for sites, own in parts.items())


def _everybody(plan: StudyPlan) -> tuple[Group, ...]:
    return (Group(plan.site_names, ()),)


def _of_flow(plan: StudyPlan) -> tuple[Group, ...]:
    return tuple(Group((site,), ("flow", "parts")) for site in plan.site_names)


def _of_table(plan: StudyPlan) -> tuple[Group, ...]:
    return _merged((column.sites, (f"{column.taken}",)) for column in table_columns(plan))


_OF_PLAN: dict[str, Callable[[StudyPlan], tuple[Group, ...]]] = {
    Operation.PREPARE: _of_flow,
    Operation.COHORT: _of_table,
    "evaluation": _of_scores,
    Operation.EVALUATE: _of_scores,
    Operation.COMPARE: _of_scores,
    Operation.AGREEMENT: _everybody,
    Operation.CALIBRATE: _everybody,
}
