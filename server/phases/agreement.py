"""Phase: how far readers agree on volumes and markers, and computed suggestions with them (Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.agreement import PAIRINGS, Pairing
from common.headers import Operation
from common.stats.contract import Summary
from common.stats.estimate import Estimate, absent
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.icc import IccForm, finish_icc
from common.stats.kappa import finish_kappa
from common.stats.minima import minima_of
from common.study import StudyPlan
from server.exchange import Exchange


@dataclass(frozen=True)
class ComparedReadings:
    """One comparison over all sites.

    Attributes
    ----------
    pairing : Pairing
    sites : int
        With patients who were read so.
    estimate : Estimate
        An intraclass correlation of volumes, else Cohen's kappa.
    """

    pairing: Pairing
    sites: int
    estimate: Estimate


def compare_readings(exchange: Exchange) -> tuple[ComparedReadings, ...]:
    """Every comparison of `common.agreement.PAIRINGS`, in two rounds: who was read twice, then the sums."""
    plan = exchange.plan
    counted = exchange.gather(Operation.GUARD, stage="agreement").of(plan.site_names)
    guards = [_guard(plan, counted.part(str(index))) for index in range(len(PAIRINGS))]
    asked = np.array([guard.status.ok for guard in guards], dtype=np.bool_)
    summed = exchange.gather(Operation.AGREEMENT, {"asked": asked}).of(plan.site_names)
    return tuple(
        ComparedReadings(
            one,
            guard.sites,
            _estimate(plan, one, summed.part(str(index)), guard.sites)
            if guard.status.ok
            else _absent(one, guard),
        )
        for index, (one, guard) in enumerate(zip(PAIRINGS, guards, strict=True))
    )


def _guard(plan: StudyPlan, counted: Summary) -> GuardResult:
    (found,) = finish_guard(
        counted,
        # Readings of one site alone are hidden by no sum
        (Demand("agreement", one_site=int(counted.counts["sites"][0]) == 1),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return found


def _form(plan: StudyPlan, sites: int) -> IccForm:
    """Of volumes: two-way where the same readers read, else the one that needs no reader twice."""
    return "ICC(2,1)" if plan.agreement.same_readers or sites == 1 else "ICC(1,1)"


def _estimate(plan: StudyPlan, pairing: Pairing, sums: Summary, sites: int) -> Estimate:
    minima = minima_of(plan.profile)
    if pairing.kind != "volume":
        return finish_kappa(sums, minima=minima)
    form = _form(plan, sites)
    same = form != "ICC(1,1)"
    (found,) = finish_icc(sums, form, minima, same_raters=same)
    return found


def _absent(pairing: Pairing, guard: GuardResult) -> Estimate:
    method = "intraclass correlation" if pairing.kind == "volume" else "Cohen's kappa, unweighted"
    return absent(guard.status, method, guard.n_used, guard.n_missing)
