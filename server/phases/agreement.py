"""Phase: how far readers agree with each other, and computed suggestions with readers (Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.messages.headers import Operation
from common.plan.agreement import ReadingComparison, list_comparisons
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.estimate import Estimate, absent
from common.stats.fleiss import FLEISS_KAPPA, finish_fleiss
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.icc import IccForm, finish_icc
from common.stats.kappa import finish_kappa
from common.stats.minima import minima_of
from server.exchange import Exchange


@dataclass(frozen=True)
class ComparedReadings:
    """The agreement of two or more readings over all sites.

    Attributes
    ----------
    comparison : ReadingComparison
        Which readings are compared.
    sites : int
        How many sites have patients with all of them.
    statistic : str
        Of volumes, the form of the intraclass correlation; of markers and suggestions, Cohen's kappa of two
        readings and Fleiss' of more.
    estimate : Estimate
        Its value.
    null_error, p : float or None
        Of Fleiss' kappa: its standard error, and the P value, under agreement by chance alone.
    """

    comparison: ReadingComparison
    sites: int
    statistic: str
    estimate: Estimate
    null_error: float | None = None
    p: float | None = None


def compare_readings(exchange: Exchange) -> tuple[ComparedReadings, ...]:
    """The agreement of everything in `common.plan.agreement.list_comparisons`, in that order.

    It takes two rounds: first the patients with all compared readings are counted, then what enough of them
    have is summed.
    """
    plan = exchange.plan
    comparisons = list_comparisons(plan.agreement)
    counted = exchange.gather(Operation.GUARD, stage="agreement").of(plan.site_names)
    guards = [_guard(plan, counted.part(str(index))) for index in range(len(comparisons))]
    asked = np.array([guard.status.ok for guard in guards], dtype=np.bool_)
    sums = exchange.gather(Operation.AGREEMENT, {"asked": asked}).of(plan.site_names)
    return tuple(
        _compare(plan, comparison, guard, sums.part(str(index)))
        for index, (comparison, guard) in enumerate(zip(comparisons, guards, strict=True))
    )


def _guard(plan: StudyPlan, counted: Summary) -> GuardResult:
    """Whether enough patients have all readings of a comparison."""
    (guard,) = finish_guard(
        counted,
        # No sum hides the readings of one site alone
        (Demand("agreement", one_site=int(counted.counts["sites"][0]) == 1),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return guard


def _compare(
    plan: StudyPlan, comparison: ReadingComparison, guard: GuardResult, sums: Summary
) -> ComparedReadings:
    """The agreement of some readings; the reason and no number if too few patients have them."""
    volumes = comparison.kind == "volume"
    several = len(comparison.readings) > 2
    kappa = FLEISS_KAPPA if several else "Cohen's kappa, unweighted"
    if not guard.status.ok:
        # A correlation that was not computed has no form
        statistic = "intraclass correlation" if volumes else kappa
        missing = absent(guard.status, statistic, guard.n_used, guard.n_missing)
        return ComparedReadings(comparison, guard.sites, statistic, missing)
    minima = minima_of(plan.profile)
    if volumes:
        form = _choose_form(plan, guard.sites)
        (correlation,) = finish_icc(sums, form, minima, same_raters=form != "ICC(1,1)")
        return ComparedReadings(comparison, guard.sites, form, correlation)
    if several:
        found = finish_fleiss(sums, minima)
        return ComparedReadings(comparison, guard.sites, kappa, found.estimate, found.null_error, found.p)
    return ComparedReadings(comparison, guard.sites, kappa, finish_kappa(sums, minima=minima))


def _choose_form(plan: StudyPlan, sites: int) -> IccForm:
    """The ICC of volumes: two-way if the same readers read at all sites, else one-way."""
    return "ICC(2,1)" if plan.agreement.same_readers or sites == 1 else "ICC(1,1)"
