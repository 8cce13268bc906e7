"""Phase: on which radiomics features repeated readings agree, before the LASSO sees any."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from common.agreement import criterion_of, feature_demand
from common.headers import Operation
from common.radiomics.reproducibility import FeatureAgreement, agreement, retained
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.guard import finish_guard
from common.stats.icc import location_of
from common.stats.minima import minima_of
from common.study import Arm, StudyPlan
from common.types import Counts, Flags, Reals
from server.exchange import Exchange
from server.gathered import Gathered


@dataclass(frozen=True)
class JudgedFeatures:
    """What repeated readings at an arm's sites say of its features.

    Attributes
    ----------
    agreements : mapping of tuple of str to FeatureAgreement
        By the sites whose readings were judged together; empty unless the status is ok.
    left_out : mapping of str to Status
        Sites whose readings were not judged, and why.
    status : Status
    """

    agreements: Mapping[tuple[str, ...], FeatureAgreement]
    left_out: Mapping[str, Status]
    status: Status

    @property
    def retained(self) -> Flags:
        """Features that every agreement retains, shape (851,); raises if there is none."""
        return retained(tuple(self.agreements.values()))


def judge_features(exchange: Exchange, arm: Arm) -> JudgedFeatures:
    """In three rounds: who was read twice, means near which all sites shift, then the sums of the ICCs.

    Where the same readers read, sites are summed; else each stands for itself, and a feature must prove
    reproducible at every site with readings enough.
    """
    plan = exchange.plan
    counted = exchange.gather(Operation.GUARD, stage="reproducibility", arm=arm.name)
    statuses = {sites: _permitted(plan, found) for sites, found in counted.sums.items()}
    left_out = {site: status for sites, status in statuses.items() if not status.ok for site in sites}
    permitted = [sites for sites, status in statuses.items() if status.ok]
    if not permitted:
        return JudgedFeatures({}, left_out, next(iter(left_out.values())))
    found = _sums(exchange, arm, {site for sites in permitted for site in sites})
    minima, criterion = minima_of(plan.profile), criterion_of(plan)
    agreements = {
        sites: agreement(
            {reading: found.of(sites).part(reading) for reading in plan.radiomics.readings}, criterion, minima
        )
        for sites in permitted
    }
    return JudgedFeatures(agreements, left_out, OK)


def _permitted(plan: StudyPlan, counted: Summary) -> Status:
    """Whether readings may be asked for; OK only if every reading may."""
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


def _sums(exchange: Exchange, arm: Arm, sites: AbstractSet[str]) -> Gathered:
    """Of these sites, all about the same means; the others of the arm answer with nothing."""
    plan = exchange.plan
    asked = np.array([site in sites for site in plan.site_names], dtype=np.bool_)
    means = exchange.sum(Operation.READING_MEANS, arm.sites, {"asked": asked}, arm=arm.name)
    parameters: dict[str, Counts | Reals | Flags] = {"asked": asked}
    for reading in plan.radiomics.readings:
        location = location_of(means.part(reading))
        parameters |= {f"centre.{reading}": location.centre, f"scale.{reading}": location.scale}
    return exchange.gather(Operation.READING_SUMS, parameters, arm=arm.name)
