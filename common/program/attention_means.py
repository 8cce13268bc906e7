"""The means of attention maps: patients are counted by outcome, then the maps that sites keep are summed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.messages.catalogue import Operation
from common.plan.mapped_cohorts import OUTCOMES, is_mapped_on, list_mapped_cohorts, list_mapped_networks
from common.plan.matrix import Cohort
from common.plan.study import StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.steps import AskedGroup, GroupSums, Program, Step, ask
from common.stats.guard import GuardResult

MappedClass: TypeAlias = tuple[Cohort, str]
"""A cohort, and which of `OUTCOMES` its patients have."""


@dataclass(frozen=True)
class SummedMaps:
    """The sums of attention maps.

    Attributes
    ----------
    counted : mapping of MappedClass to tuple of GuardResult
        Of each of `list_mapped_networks`, whether enough patients have a map; at a site, of the cohorts to
        which it belongs.
    patients : mapping of MappedClass to tuple of int
        How many these are, also where the number may not be shown.
    sums : GroupSums or None
        Each network's sum under "OUTCOME/NUMBER"; None where nothing may be asked.
    """

    counted: Mapping[MappedClass, tuple[GuardResult, ...]]
    patients: Mapping[MappedClass, tuple[int, ...]]
    sums: GroupSums | None


def average_attention(plan: StudyPlan) -> Program[SummedMaps]:
    """The sums of every network's maps over the tested patients with the outcome, and over those without."""
    guarded = yield from ask(Step(Operation.GUARD, stage="attention"))
    classes = [
        (cohort, outcome)
        for cohort in list_mapped_cohorts(plan)
        if guarded.sums.concern(cohort.sites)
        for outcome in OUTCOMES
    ]
    parts = {one: guarded.sums.of(one[0].sites).part(one[1]) for one in classes}
    counted = {
        one: judge_counted(plan, "attention", part, one_site=one[0].one_site) for one, part in parts.items()
    }
    patients = {one: tuple(part.counts["classes"].sum(axis=1).tolist()) for one, part in parts.items()}
    groups = tuple(_permit(plan, one, guards) for one, guards in counted.items())
    asked = np.zeros((len(plan.site_names), len(OUTCOMES), len(list_mapped_networks(plan))), dtype=np.bool_)
    for group in groups:
        asked[list(group.rows), group.part] |= group.permitted
    if not asked.any() and guarded.is_complete:
        return SummedMaps(counted, patients, None)
    # A site does not know whether cohorts of others alone are asked for
    answered = yield Step(Operation.ATTENTION, {"asked": asked}, groups=groups, is_optional=not asked.any())
    return SummedMaps(counted, patients, None if answered is None else answered.sums)


def _permit(plan: StudyPlan, mapped: MappedClass, guards: tuple[GuardResult, ...]) -> AskedGroup:
    cohort, outcome = mapped
    return AskedGroup(
        tuple(plan.site_names.index(site) for site in cohort.sites),
        OUTCOMES.index(outcome),
        np.array(
            [
                guard.status.ok and is_mapped_on(plan, scorer, cohort)
                for scorer, guard in zip(list_mapped_networks(plan), guards, strict=True)
            ],
            dtype=np.bool_,
        ),
    )
