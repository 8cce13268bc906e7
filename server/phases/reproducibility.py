"""Phase: on which radiomics features repeated readings agree, before the LASSO sees any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.agreement import criterion_of, feature_demand
from common.cohort.readings import Reading
from common.headers import Operation
from common.protocol import Parameters
from common.radiomics.reproducibility import FeatureAgreement, agreement, retained
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.guard import finish_guard
from common.stats.icc import location_of
from common.stats.minima import minima_of
from common.study import Arm, StudyPlan
from common.types import Flags
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
    plan, sites = exchange.plan, arm.sites
    counted = exchange.gather(Operation.GUARD, stage="reproducibility", arm=arm.name)
    with_readings = [site for site in sites if _has_all(plan, counted.of((site,)))]
    together = plan.agreement.same_readers and len(with_readings) > 1
    groups = [tuple(with_readings)] if together else [(site,) for site in with_readings]
    statuses = {
        group: _permitted(plan, counted.of(sites if together else group), len(group)) for group in groups
    }
    left_out = {site: suppressed("no patient was read again") for site in sites if site not in with_readings}
    left_out |= {site: status for group, status in statuses.items() if not status.ok for site in group}
    asked = [group for group, status in statuses.items() if status.ok]
    if not asked:
        reason = next((status for status in left_out.values()), suppressed("no site"))
        return JudgedFeatures({}, left_out, reason)
    sums = _sums(exchange, arm, [site for group in asked for site in group])
    minima, criterion = minima_of(plan.profile), criterion_of(plan)
    found = {
        group: agreement(
            {
                reading: sums.of(sites if together else group).part(reading)
                for reading in plan.radiomics.readings
            },
            criterion,
            minima,
        )
        for group in asked
    }
    return JudgedFeatures(found, left_out, OK)


def _has_all(plan: StudyPlan, counted: Summary) -> bool:
    return all(counted.part(reading).counts["sites"][0] for reading in plan.radiomics.readings)


def _permitted(plan: StudyPlan, counted: Summary, sites: int) -> Status:
    """Whether readings may be asked for; OK only if every reading may."""
    for reading in plan.radiomics.readings:
        (guard,) = finish_guard(
            counted.part(reading),
            (feature_demand(plan, sites),),
            minima_of(plan.profile),
            two_site_ack=plan.two_site_ack,
        )
        if not guard.status.ok:
            return guard.status
    return OK


def _sums(exchange: Exchange, arm: Arm, sites: Sequence[str]) -> Gathered:
    """Of these sites of the arm, all about the same means; its others add nothing."""
    readings: tuple[Reading, ...] = exchange.plan.radiomics.readings
    asked = np.array([site in sites for site in exchange.plan.site_names], dtype=np.bool_)
    means = exchange.sum(Operation.READING_MEANS, arm.sites, {"asked": asked}, arm=arm.name)
    locations = {reading: location_of(means.part(reading)) for reading in readings}
    parameters: Parameters = {"asked": asked} | {
        f"{name}.{reading}": array
        for reading, found in locations.items()
        for name, array in (("centre", found.centre), ("scale", found.scale))
    }
    return exchange.gather(Operation.READING_SUMS, parameters, arm=arm.name)
