"""How one model's AUC differs between centres, from the judgements of each centre's own patients.

It asks no site for anything: the judgements are released cell by cell, as cohorts of one site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.plan.matrix import FAIR, Cohort, Scorer, is_available, judged_part_of, scorers_of
from common.plan.repeated_trainings import is_repeat
from common.plan.study import StudyPlan
from common.stats.estimate import Status, undefined
from common.stats.meta import Heterogeneity, compare_centres
from common.stats.roc import RocResult, withhold_roc
from server.phases.judgement import Judgement


@dataclass(frozen=True)
class ScoreAcrossCentres:
    """One score judged at each centre.

    Attributes
    ----------
    scorer : Scorer
        Whose score it is.
    cohorts : tuple of Cohort
        Of each centre the patients on whom it is judged: the tested ones, or all of an external centre.
    rocs : tuple of RocResult
        The discrimination at each centre, in the order of the cohorts; where there is none, why.
    heterogeneity : Heterogeneity
        How much the centres differ, and who is left out.
    """

    scorer: Scorer
    cohorts: tuple[Cohort, ...]
    rocs: tuple[RocResult, ...]
    heterogeneity: Heterogeneity


def compare_scores_across_centres(
    plan: StudyPlan, judgements: Sequence[Judgement]
) -> tuple[ScoreAcrossCentres, ...]:
    """Every score that is judged anywhere, at every centre; none if the plan has one centre.

    Further trainings of a network are left out: nothing is compared with them.
    """
    if len(plan.site_names) < 2:
        return ()
    found = {(judgement.scorer, judgement.cohort): judgement for judgement in judgements}
    cohorts = tuple(Cohort((site,), judged_part_of(plan, site)) for site in plan.site_names)
    compared = []
    judged = {judgement.scorer for judgement in judgements if not is_repeat(judgement.scorer.model)}
    for scorer in (scorer for scorer in scorers_of(plan) if scorer in judged):
        rocs = tuple(_find_roc(plan, scorer, cohort, found.get((scorer, cohort))) for cohort in cohorts)
        compared.append(ScoreAcrossCentres(scorer, cohorts, rocs, compare_centres(rocs)))
    return tuple(compared)


def _find_roc(plan: StudyPlan, scorer: Scorer, cohort: Cohort, judgement: Judgement | None) -> RocResult:
    """The score's discrimination at one centre, without a number unless it is fair to the model."""
    status = _explain_absence(plan, scorer, cohort, judgement)
    return withhold_roc(plan.interval, status) if judgement is None or not status.ok else judgement.roc


def _explain_absence(plan: StudyPlan, scorer: Scorer, cohort: Cohort, judgement: Judgement | None) -> Status:
    """Why the score cannot be judged fairly at a centre; the judgement's own status if it can."""
    if not is_available(plan, scorer, cohort):
        return undefined(f"the model stays at {scorer.arm.sites[0]}")
    if judgement is None:
        return undefined("no patients")
    if judgement.relation not in FAIR:
        return undefined("some of these patients trained the model")
    return judgement.roc.auc.standing
