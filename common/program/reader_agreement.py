"""How far repeated readings agree: of volumes and markers, and of radiomics features before their LASSO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.messages.catalogue import Operation
from common.plan.agreement import criterion_of, feature_demand, list_comparisons
from common.plan.study import Arm, StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.steps import AskedGroup, GroupSums, Program, Step, ask
from common.radiomics.stable_features import FeatureAgreement, estimate_agreement, retain_everywhere
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.guard import GuardResult, finish_guard
from common.stats.icc import location_of
from common.stats.minima import minima_of
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class CountedReadings:
    """The sums of all comparisons of readings.

    Attributes
    ----------
    guards : tuple of GuardResult
        Whether enough patients have all readings of each comparison, in the order of `list_comparisons`.
    sums : GroupSums
        Of all sites, each comparison's arrays under its number.
    """

    guards: tuple[GuardResult, ...]
    sums: GroupSums


def count_readings(plan: StudyPlan) -> Program[CountedReadings]:
    """The sums of all comparisons: first the patients with all compared readings, then what they have."""
    counted = (yield from ask(Step(Operation.GUARD, stage="agreement"))).sums.of(plan.site_names)
    guards = tuple(
        _judge(plan, counted.part(str(index))) for index in range(len(list_comparisons(plan.agreement)))
    )
    asked = np.array([guard.status.ok for guard in guards], dtype=np.bool_)
    answered = yield from ask(Step(Operation.AGREEMENT, {"asked": asked}))
    return CountedReadings(guards, answered.sums)


def _judge(plan: StudyPlan, counted: Summary) -> GuardResult:
    """Whether enough patients have all readings of a comparison."""
    # No sum hides the readings of one site alone
    (guard,) = judge_counted(plan, "agreement", counted, one_site=int(counted.counts["sites"][0]) == 1)
    return guard


@dataclass(frozen=True)
class JudgedFeatures:
    """How far repeated readings at an arm's sites agree on each radiomics feature.

    Attributes
    ----------
    agreements : mapping of tuple of str to FeatureAgreement
        By the sites whose readings were judged together; empty unless the status is ok.
    left_out : mapping of str to Status
        Sites whose readings were not judged, and why.
    status : Status
        Ok if the readings of at least one group of sites were judged; else why none were.
    """

    agreements: Mapping[tuple[str, ...], FeatureAgreement]
    left_out: Mapping[str, Status]
    status: Status

    @property
    def retained(self) -> Flags:
        """Which features every agreement retains, shape (851,); raises if there is no agreement."""
        return retain_everywhere(tuple(self.agreements.values()))


def judge_features(plan: StudyPlan, arm: Arm) -> Program[JudgedFeatures | None]:
    """The agreement of repeated readings on every feature, in three rounds; None where it is not known here.

    First the patients with repeated readings are counted; then means are asked for, which all sites subtract;
    then the sums of the ICCs. If the same readers read at all sites, the sites are summed. Otherwise each
    site is judged by itself, and a feature must be reproducible at every site that has enough readings.

    Parameters
    ----------
    plan : StudyPlan
    arm : Arm
        Whose training patients' readings are judged.
    """
    counted = yield from ask(Step(Operation.GUARD, stage="reproducibility", arm=arm.name))
    statuses = {sites: _may_ask(plan, counts) for sites, counts in counted.sums.sums.items()}
    left_out = {site: status for sites, status in statuses.items() if not status.ok for site in sites}
    permitted = [sites for sites, status in statuses.items() if status.ok]
    if not permitted and counted.is_complete:
        return JudgedFeatures({}, left_out, next(iter(left_out.values())))
    sums = yield from _sum_readings(plan, arm, permitted, is_certain=bool(permitted))
    if sums is None or not all(sums.tell(sites) for sites in permitted):
        return None
    minima, criterion = minima_of(plan.profile), criterion_of(plan)
    agreements = {
        sites: estimate_agreement(
            {reading: sums.of(sites).part(reading) for reading in plan.radiomics.readings}, criterion, minima
        )
        for sites in permitted
    }
    return JudgedFeatures(agreements, left_out, OK)


def _may_ask(plan: StudyPlan, counted: Summary) -> Status:
    """Whether the readings of a group of sites may be asked for; ok only if every reading may."""
    for reading in plan.radiomics.readings:
        sums = counted.part(reading)
        (guard,) = finish_guard(
            sums,
            (feature_demand(plan, int(sums.counts["sites"][0])),),
            minima_of(plan.profile),
            two_site_ack=plan.two_site_ack,
        )
        if guard.sites == 0:
            return suppressed("no patient was read again")
        if not guard.status.ok:
            return guard.status
    return OK


def _sum_readings(
    plan: StudyPlan, arm: Arm, permitted: Sequence[tuple[str, ...]], *, is_certain: bool
) -> Program[GroupSums | None]:
    """The sums of these sites' readings, centred on the same means; the arm's other sites add zeros.

    A site whose own readings are left out does not know whether others' are asked for.
    """
    together = {site for sites in permitted for site in sites}
    asked = np.array([site in together for site in plan.site_names], dtype=np.bool_)
    groups = tuple(
        AskedGroup(tuple(plan.site_names.index(site) for site in sites), None, np.ones(1, dtype=np.bool_))
        for sites in permitted
    )
    averaging = Step(
        Operation.READING_MEANS,
        {"asked": asked},
        arm=arm.name,
        is_optional=not is_certain,
        groups=groups,
    )
    averaged = yield averaging
    if averaged is None:
        return None
    means = averaged.sums.of(arm.sites)
    parameters: dict[str, Counts | Reals | Flags] = {"asked": asked}
    for reading in plan.radiomics.readings:
        location = location_of(means.part(reading))
        parameters |= {f"centre.{reading}": location.centre, f"scale.{reading}": location.scale}
    summing = Step(Operation.READING_SUMS, parameters, arm=arm.name, groups=groups)
    return (yield from ask(summing)).sums
