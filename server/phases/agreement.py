"""Phase: how far readers agree with each other, and computed suggestions with readers (Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.messages.headers import Operation
from common.plan.agreement import READING_PAIRS, ReadingPair
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.estimate import Estimate, absent
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.icc import IccForm, finish_icc
from common.stats.kappa import finish_kappa
from common.stats.minima import minima_of
from server.exchange import Exchange


@dataclass(frozen=True)
class ComparedReadings:
    """The agreement of one pair of readings over all sites.

    Attributes
    ----------
    pairing : ReadingPair
        Which two readings are compared.
    sites : int
        How many sites have patients with both readings.
    statistic : str
        Of volumes, the form of the intraclass correlation; of markers and suggestions, Cohen's kappa.
    estimate : Estimate
        Its value.
    """

    pairing: ReadingPair
    sites: int
    statistic: str
    estimate: Estimate


def compare_readings(exchange: Exchange) -> tuple[ComparedReadings, ...]:
    """The agreement of every pair in `common.plan.agreement.READING_PAIRS`, in that order.

    It takes two rounds: first the patients with both readings are counted, then the pairs with enough of them
    are summed.
    """
    plan = exchange.plan
    counted = exchange.gather(Operation.GUARD, stage="agreement").of(plan.site_names)
    guards = [_guard(plan, counted.part(str(index))) for index in range(len(READING_PAIRS))]
    asked = np.array([guard.status.ok for guard in guards], dtype=np.bool_)
    sums = exchange.gather(Operation.AGREEMENT, {"asked": asked}).of(plan.site_names)
    return tuple(
        ComparedReadings(
            pairing,
            guard.sites,
            _name_statistic(plan, pairing, guard),
            _estimate(plan, pairing, sums.part(str(index)), guard),
        )
        for index, (pairing, guard) in enumerate(zip(READING_PAIRS, guards, strict=True))
    )


def _guard(plan: StudyPlan, counted: Summary) -> GuardResult:
    """Whether enough patients have both readings of a pair."""
    (guard,) = finish_guard(
        counted,
        # No sum hides the readings of one site alone
        (Demand("agreement", one_site=int(counted.counts["sites"][0]) == 1),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return guard


def _choose_form(plan: StudyPlan, sites: int) -> IccForm:
    """The ICC of volumes: two-way if the same readers read at all sites, else one-way."""
    return "ICC(2,1)" if plan.agreement.same_readers or sites == 1 else "ICC(1,1)"


def _name_statistic(plan: StudyPlan, pairing: ReadingPair, guard: GuardResult) -> str:
    """The statistic of a pair; a correlation that was not computed has no form."""
    if pairing.kind != "volume":
        return "Cohen's kappa, unweighted"
    return _choose_form(plan, guard.sites) if guard.status.ok else "intraclass correlation"


def _estimate(plan: StudyPlan, pairing: ReadingPair, sums: Summary, guard: GuardResult) -> Estimate:
    """The agreement of a pair; the reason and no number if too few patients were read for it."""
    minima = minima_of(plan.profile)
    if not guard.status.ok:
        statistic = _name_statistic(plan, pairing, guard)
        return absent(guard.status, statistic, guard.n_used, guard.n_missing)
    if pairing.kind != "volume":
        return finish_kappa(sums, minima=minima)
    form = _choose_form(plan, guard.sites)
    same = form != "ICC(1,1)"
    (correlation,) = finish_icc(sums, form, minima, same_raters=same)
    return correlation
