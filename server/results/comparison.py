"""How models compare on the same patients (Fig. 7), and one model between centres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from common.plan.matrix import Part
from common.plan.study import StudyPlan
from common.stats.decision_difference import BenefitDifference
from common.stats.estimate import OK, Estimate, PValue, Status
from common.stats.mcnemar import McNemarResult
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.between_centres import ScoreAcrossCentres
    from server.phases.comparison import ComparedModels, PairResult, TableComparison


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
    used: Count | None = None
    """Patients who have both scores; None where hidden, or not recorded."""
    missing: Count | None = None
    """Patients of the cohort without one of them; None likewise."""
    difference: Estimate
    """AUC of the first minus that of the second, DeLong's paired interval."""
    difference_bound: float | None = None
    """The difference of the raw scores' AUCs lies within this of the value; None: not recorded."""
    p_value: PValue | None
    """DeLong's, two-sided."""
    p_least: float | None = None
    """The raw scores' p-value lies between this and `p_most`; None where there is none, or not recorded."""
    p_most: float | None = None
    """See `p_least`."""
    p_adjusted: float | None
    """By Holm over the cohort's comparisons, if the plan asks for it."""
    sensitivity: McNemarResult
    """Calls of the patients with expansion, by McNemar's test."""
    specificity: McNemarResult
    """Calls of the patients without expansion, likewise."""
    net_benefit: tuple[BenefitDifference, ...] = ()
    """Of two predicted risks."""


class Comparisons(Record):
    """One score of the reference model against others in one cohort, each over patients who have both."""

    cohort_sites: tuple[str, ...]
    """Sites whose patients are compared."""
    part: Part
    """Part of the cohort."""
    used: Count | None
    """Patients with every score of the table, of whom the omnibus test is."""
    missing: Count | None
    """Patients without one of them."""
    chi_squared: float | None
    """Statistic of the omnibus test that all models of the table have the same AUC."""
    degrees_of_freedom: int | None
    """Degrees of freedom of the omnibus test."""
    p_value: PValue | None
    """p-value of the omnibus test."""
    standing: Status = OK
    """Status of the omnibus test."""
    pairs: tuple[Comparison, ...]
    """The reference model's score with each other one; the first of all is the same."""


class CentreAuc(Record):
    """One model's AUC at one centre, beside the other centres' in `CentreHeterogeneity`."""

    site: str
    """Name in the plan."""
    part: Part
    """Which of its patients: the tested ones, or all of an external centre."""
    positive: Count | None
    """Patients with expansion."""
    negative: Count | None
    """Patients without."""
    auc: Estimate
    """Area under the ROC curve, with the evaluation's interval."""
    auc_error_bound: float | None = None
    """The AUC of the raw scores lies within this of the value; None: there is none, or not recorded."""
    interval_bound: float | None = None
    """Each limit of the raw scores' interval lies within this of the printed one; None likewise."""
    standing: Status = OK
    """Whether it counts in the comparison of the centres, and if not, why."""


class CentreHeterogeneity(Record):
    """How much one model's AUC differs between centres."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    sites: Count
    """That are compared."""
    sites_excluded: Count
    """That are left out: `centres` says why."""
    centres: tuple[CentreAuc, ...] = ()
    """Every centre of the plan, by name; empty: not recorded."""
    difference: Estimate | None = None
    """Of two centres: AUC of the first compared minus the second's. None: of more, or not recorded."""
    difference_bound: float | None = None
    """The difference of the raw scores' AUCs lies within this of the value; None likewise."""
    auc: Estimate
    """Random-effects mean with Hartung and Knapp's interval; absent below three centres: it says why."""
    prediction_low: float | None = None
    """Lower 95 % bound for a new centre."""
    prediction_high: float | None = None
    """Upper 95 % bound for a new centre."""
    q: float | None = None
    """Cochran's."""
    p_value: PValue | None = None
    """p-value of Q; for two centres, of their difference."""
    i_squared: float | None = Field(default=None, ge=0, le=1)
    """Share of the variation that is between centres."""
    tau_squared: float | None = None
    """Between-centre variance on the logit scale."""
    per_site: bool = True
    """Whether the centres' own values can be told: they can, where they stand beside."""


def record_comparisons(plan: StudyPlan, compared: ComparedModels) -> Iterator[Comparisons]:
    """The comparisons of every cohort; p-values adjusted by Holm if the plan asks for it."""
    return (_record_table(plan, table) for table in compared.tables)


def record_heterogeneity(compared: ComparedModels) -> Iterator[CentreHeterogeneity]:
    """Every model; one that fewer than two centres judge says why."""
    return (_record_centres(score) for score in compared.centres)


def _record_table(plan: StudyPlan, comparison: TableComparison) -> Comparisons:
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
    least, most = auc.p_range or (None, None)
    return Comparison(
        first_model=pair.first.model.name,
        first_arm=pair.first.arm.name,
        second_model=pair.second.model.name,
        second_arm=pair.second.arm.name,
        used=auc.difference.n_used,
        missing=auc.difference.n_missing,
        difference=auc.difference,
        difference_bound=auc.error_bound,
        p_value=auc.p,
        p_least=least,
        p_most=most,
        p_adjusted=auc.p_adjusted if adjusted else None,
        sensitivity=pair.sensitivity,
        specificity=pair.specificity,
        net_benefit=() if pair.benefit is None else pair.benefit.points,
    )


def _record_centres(score: ScoreAcrossCentres) -> CentreHeterogeneity:
    spread = score.heterogeneity
    left_out = sum(not status.ok for status in spread.standings)
    two = spread.difference
    return CentreHeterogeneity(
        model=score.scorer.model.name,
        arm=score.scorer.arm.name,
        sites=len(spread.standings) - left_out,
        sites_excluded=left_out,
        centres=tuple(
            CentreAuc(
                site=cohort.sites[0],
                part=cohort.part,
                positive=roc.n_positive,
                negative=roc.n_negative,
                auc=roc.auc,
                auc_error_bound=roc.error_bound,
                interval_bound=roc.interval_bound,
                standing=status,
            )
            for cohort, roc, status in zip(score.cohorts, score.rocs, spread.standings, strict=True)
        ),
        difference=None if two is None else two.difference,
        difference_bound=None if two is None else two.error_bound,
        auc=spread.auc,
        prediction_low=spread.prediction.low if spread.prediction else None,
        prediction_high=spread.prediction.high if spread.prediction else None,
        q=spread.q,
        p_value=spread.p if two is None else two.p,
        i_squared=spread.i_squared,
        tau_squared=spread.tau_squared,
    )
