"""Phase: how far readers agree with each other, and computed suggestions with readers (Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

from common.plan.agreement import ReadingComparison, list_comparisons
from common.plan.study import StudyPlan
from common.program.names import READER_AGREEMENT
from common.program.reader_agreement import count_readings
from common.stats.contract import Summary
from common.stats.estimate import Estimate, absent
from common.stats.fleiss import FLEISS_KAPPA, finish_fleiss
from common.stats.guard import GuardResult
from common.stats.icc import IccForm, finish_icc
from common.stats.kappa import finish_kappa
from common.stats.minima import minima_of
from server.exchange import Exchange
from server.procedures import carry_out


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
    counted = carry_out(exchange, READER_AGREEMENT, count_readings(plan))
    sums = counted.sums.of(plan.site_names)
    return tuple(
        _compare(plan, comparison, guard, sums.part(str(index)))
        for index, (comparison, guard) in enumerate(
            zip(list_comparisons(plan.agreement), counted.guards, strict=True)
        )
    )


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
