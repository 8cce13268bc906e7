"""Phase: on which radiomics features repeated readings agree, before the LASSO uses any."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from common.messages.headers import Operation
from common.plan.agreement import criterion_of, feature_demand
from common.plan.study import Arm, StudyPlan
from common.radiomics.stable_features import FeatureAgreement, estimate_agreement, retain_everywhere
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.guard import finish_guard
from common.stats.icc import location_of
from common.stats.minima import minima_of
from common.types import Counts, Flags, Reals
from server.exchange import Exchange, GroupSums


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


def judge_features(exchange: Exchange, arm: Arm) -> JudgedFeatures:
    """The agreement of repeated readings on every feature, in three rounds.

    First the patients with repeated readings are counted; then means are asked for, which all sites subtract;
    then the sums of the ICCs. If the same readers read at all sites, the sites are summed. Otherwise each
    site is judged by itself, and a feature must be reproducible at every site that has enough readings.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    arm : Arm
        Whose training patients' readings are judged.
    """
    plan = exchange.plan
    counted = exchange.gather(Operation.GUARD, stage="reproducibility", arm=arm.name)
    statuses = {sites: _may_ask(plan, counts) for sites, counts in counted.sums.items()}
    left_out = {site: status for sites, status in statuses.items() if not status.ok for site in sites}
    permitted = [sites for sites, status in statuses.items() if status.ok]
    if not permitted:
        return JudgedFeatures({}, left_out, next(iter(left_out.values())))
    sums = _sum_readings(exchange, arm, {site for sites in permitted for site in sites})
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


def _sum_readings(exchange: Exchange, arm: Arm, sites: AbstractSet[str]) -> GroupSums:
    """The sums of these sites' readings, centred on the same means; the arm's other sites add zeros."""
    plan = exchange.plan
    asked = np.array([site in sites for site in plan.site_names], dtype=np.bool_)
    means = exchange.sum(Operation.READING_MEANS, arm.sites, {"asked": asked}, arm=arm.name)
    parameters: dict[str, Counts | Reals | Flags] = {"asked": asked}
    for reading in plan.radiomics.readings:
        location = location_of(means.part(reading))
        parameters |= {f"centre.{reading}": location.centre, f"scale.{reading}": location.scale}
    return exchange.gather(Operation.READING_SUMS, parameters, arm=arm.name)
