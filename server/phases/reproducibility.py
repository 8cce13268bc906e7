"""Phase: on which radiomics features repeated readings agree, before the LASSO sees any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.agreement import criterion_of, feature_demand
from common.cohort.readings import Reading
from common.headers import Operation
from common.protocol import Parameters
from common.radiomics.reproducibility import FeatureAgreement, agreement, retained
from common.stats.contract import Summary, total
from common.stats.estimate import OK, Status, suppressed
from common.stats.guard import finish_guard
from common.stats.icc import location_of
from common.stats.minima import minima_of
from common.study import StudyPlan
from common.types import Flags
from server.exchange import Exchange


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


def judge_features(exchange: Exchange, sites: Sequence[str]) -> JudgedFeatures:
    """In three rounds: who was read twice, means near which all sites shift, then the sums of the ICCs.

    Where the same readers read, sites are summed; else each stands for itself, and a feature must prove
    reproducible at every site with readings enough.
    """
    plan = exchange.plan
    counted = exchange.summaries(Operation.GUARD, sites, stage="reproducibility")
    with_readings = [site for site in sites if _has_all(plan, counted[site])]
    together = plan.agreement.same_readers and len(with_readings) > 1
    groups = [tuple(with_readings)] if together else [(site,) for site in with_readings]
    statuses = {group: _permitted(plan, [counted[site] for site in group]) for group in groups}
    left_out = {site: suppressed("no patient was read again") for site in sites if site not in with_readings}
    left_out |= {site: status for group, status in statuses.items() if not status.ok for site in group}
    asked = [group for group, status in statuses.items() if status.ok]
    if not asked:
        reason = next((status for status in left_out.values()), suppressed("no site"))
        return JudgedFeatures({}, left_out, reason)
    sums = _sums(exchange, sorted(site for group in asked for site in group))
    minima, criterion = minima_of(plan.profile), criterion_of(plan)
    found = {
        group: agreement(
            {
                reading: total(sums[site].part(reading) for site in group)
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


def _permitted(plan: StudyPlan, counted: Sequence[Summary]) -> Status:
    """Whether readings may be asked for; OK only if every reading may."""
    for reading in plan.radiomics.readings:
        (guard,) = finish_guard(
            total(one.part(reading) for one in counted),
            (feature_demand(plan, len(counted)),),
            minima_of(plan.profile),
            two_site_ack=plan.two_site_ack,
        )
        if not guard.status.ok:
            return guard.status
    return OK


def _sums(exchange: Exchange, sites: Sequence[str]) -> Mapping[str, Summary]:
    """Each site's, all about the same means."""
    readings: tuple[Reading, ...] = exchange.plan.radiomics.readings
    means = exchange.sum(Operation.READING_MEANS, sites)
    locations = {reading: location_of(means.part(reading)) for reading in readings}
    parameters: Parameters = {
        f"{name}.{reading}": array
        for reading, found in locations.items()
        for name, array in (("centre", found.centre), ("scale", found.scale))
    }
    return exchange.summaries(Operation.READING_SUMS, sites, parameters)
