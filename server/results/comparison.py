"""How models compare on the same patients (Fig. 7), and one model between centres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from common.plan.matrix import Part, Scorer
from common.plan.study import StudyPlan
from common.stats.decision_difference import BenefitDifference
from common.stats.estimate import OK, Estimate, Status
from common.stats.mcnemar import McNemarResult
from common.stats.meta import Heterogeneity
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.comparison import CohortComparison, ComparedModels, PairResult


class Comparison(Record):
    """Two models on the same patients (the paper's Fig. 7)."""

    first_model: str
    """Name in the plan: the reference model."""
    first_arm: str
    """Name of its arm."""
    second_model: str
    """Name in the plan."""
    second_arm: str
    """Name of its arm."""
    difference: Estimate
    """AUC of the first minus that of the second, DeLong's paired interval."""
    p_value: float | None
    """DeLong's, two-sided."""
    p_adjusted: float | None
    """By Holm over the cohort's comparisons, if the plan asks for it."""
    sensitivity: McNemarResult
    """Calls of the patients with expansion, by McNemar's test."""
    specificity: McNemarResult
    """Calls of the patients without expansion, likewise."""
    net_benefit: tuple[BenefitDifference, ...] = ()
    """Of two predicted risks."""


class Comparisons(Record):
    """All comparisons within one cohort, over patients who have every compared score."""

    cohort_sites: tuple[str, ...]
    """Sites whose patients are compared."""
    part: Part
    """Part of the cohort."""
    used: Count | None
    """Patients with every compared score."""
    missing: Count | None
    """Patients without one of them."""
    chi_squared: float | None
    """Statistic of the omnibus test that all compared models have the same AUC."""
    degrees_of_freedom: int | None
    """Degrees of freedom of the omnibus test."""
    p_value: float | None
    """p-value of the omnibus test."""
    standing: Status = OK
    """Status of the omnibus test."""
    pairs: tuple[Comparison, ...]
    """The reference model against the others."""


class CentreHeterogeneity(Record):
    """How much one model's AUC differs between centres."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    sites: Count
    """With an AUC."""
    sites_excluded: Count
    """Without one, or with too few patients."""
    auc: Estimate
    """Random-effects mean with Hartung and Knapp's interval; absent for fewer than three centres."""
    prediction_low: float | None = None
    """Lower 95 % bound for a new centre."""
    prediction_high: float | None = None
    """Upper 95 % bound for a new centre."""
    q: float | None = None
    """Cochran's."""
    p_value: float | None = None
    """p-value of Q; for two centres, of their difference."""
    i_squared: float | None = Field(default=None, ge=0, le=1)
    """Share of the variation that is between centres."""
    tau_squared: float | None = None
    """Between-centre variance on the logit scale."""
    per_site: bool
    """Whether so few centres contribute that their own values can nearly be told."""


def record_comparisons(plan: StudyPlan, compared: ComparedModels) -> Iterator[Comparisons]:
    """The comparisons of every cohort; p-values adjusted by Holm if the plan asks for it."""
    return (_record_cohort(plan, cohort) for cohort in compared.cohorts)


def record_heterogeneity(compared: ComparedModels) -> Iterator[CentreHeterogeneity]:
    """Every model that several centres judge."""
    return (_record_centres(scorer, spread) for scorer, spread in compared.centres.items())


def _record_cohort(plan: StudyPlan, comparison: CohortComparison) -> Comparisons:
    test = comparison.omnibus
    return Comparisons(
        cohort_sites=comparison.cohort.sites,
        part=comparison.cohort.part,
        used=test.n_used,
        missing=test.n_missing,
        chi_squared=test.chi_squared,
        degrees_of_freedom=test.degrees_of_freedom,
        p_value=test.p,
        standing=test.status,
        pairs=tuple(
            _record_pair(pair, adjusted=plan.evaluation.adjustment == "holm") for pair in comparison.pairs
        ),
    )


def _record_pair(pair: PairResult, *, adjusted: bool) -> Comparison:
    auc = pair.auc
    return Comparison(
        first_model=pair.first.model.name,
        first_arm=pair.first.arm.name,
        second_model=pair.second.model.name,
        second_arm=pair.second.arm.name,
        difference=auc.difference,
        p_value=auc.p,
        p_adjusted=auc.p_adjusted if adjusted else None,
        sensitivity=pair.sensitivity,
        specificity=pair.specificity,
        net_benefit=() if pair.benefit is None else pair.benefit.points,
    )


def _record_centres(scorer: Scorer, spread: Heterogeneity) -> CentreHeterogeneity:
    two = spread.difference_p is not None
    return CentreHeterogeneity(
        model=scorer.model.name,
        arm=scorer.arm.name,
        sites=spread.sites,
        sites_excluded=spread.sites_excluded,
        auc=spread.auc,
        prediction_low=spread.prediction.low if spread.prediction else None,
        prediction_high=spread.prediction.high if spread.prediction else None,
        q=spread.q,
        p_value=spread.difference_p if two else spread.p,
        i_squared=spread.i_squared,
        tau_squared=spread.tau_squared,
        per_site=spread.per_site,
    )
