"""Whose patients are added up in an answer: the groups of sites that a question is about.

Both sides of a study read them from the plan, so no request can ask for a sum that was not approved. What a
group of one site holds is that site's own, hidden by no sum: a per-site release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.columns import table_columns
from common.headers import Operation
from common.matrix import cohorts_of
from common.stats.contract import Summary
from common.study import StudyPlan


@dataclass(frozen=True)
class Group:
    """Sites whose answers are added.

    Attributes
    ----------
    sites : tuple of str
        Sorted.
    parts : tuple of str
        Which prefixes of the summary are added over them.
    """

    sites: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def alone(self) -> bool:
        """Whether it is one site's own."""
        return len(self.sites) == 1

    def of(self, summary: Summary) -> Summary:
        """What of a site's summary is added over this group, under its old names."""
        starts = tuple(f"{part}/" for part in self.parts)
        return Summary(
            {name: array for name, array in summary.counts.items() if name.startswith(starts)},
            {name: array for name, array in summary.reals.items() if name.startswith(starts)},
            {name: array for name, array in summary.updates.items() if name.startswith(starts)},
        )


def groups_of(plan: StudyPlan, operation: Operation, stage: str = "") -> tuple[Group, ...]:
    """The groups of a question that every site of the plan is asked at once.

    Parameters
    ----------
    plan : StudyPlan
    operation : Operation
    stage : str
        Of a guard round.

    Raises
    ------
    ValueError
        If the question is not of this kind.
    """
    asked = stage or operation
    if asked == Operation.PREPARE:
        return tuple(Group((site,), ("flow", "parts")) for site in plan.site_names)
    if asked == Operation.COHORT:
        return _merged((column.sites, (f"{column.taken}",)) for column in table_columns(plan))
    if asked in {"evaluation", Operation.EVALUATE, Operation.COMPARE}:
        return _of_scores(plan)
    raise ValueError(f"the question {str(asked)!r} is of one group of sites")


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
