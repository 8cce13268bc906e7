"""A study as one sequence of procedures over the plan and the opened sums, as coordinator and sites run it.

The coordinator may leave procedures out, or end one early: it then asks less. It never asks one again, nor in
another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from common.messages.catalogue import Operation
from common.plan.models import SvmModel
from common.plan.study import Arm, CnnModel, LogisticModel, StudyPlan
from common.program import names
from common.program.comparisons_of_scores import compare_judged_scores
from common.program.fits import fit_regression, fit_support_vectors
from common.program.judging import JudgedScores, judge_scores
from common.program.patient_description import describe_patients
from common.program.reader_agreement import count_readings
from common.program.recalibration_loops import recalibrate_scores
from common.program.regressions import Screening, screen_candidates
from common.program.scorings import list_scored_sites, score_over_sites
from common.program.selections import ArmSelection, find_predictors
from common.program.steps import Answered, Program, Step, ask
from common.program.trainings import train_at_site, train_over_sites

Known: TypeAlias = Mapping[str, object]
"""What procedures came to, by name; without those of which it is not known here."""


@dataclass(frozen=True)
class Procedure:
    """One part of the study.

    Attributes
    ----------
    name : str
        Its name, which every question carries.
    sites : tuple of str
        Sites whose patients it is about; others that are asked add zeros.
    begin : callable
        The procedure from its beginning, from what earlier ones came to; None if they do not lead to it.
    """

    name: str
    sites: tuple[str, ...]
    begin: Callable[[Known], Program[object] | None]


def list_procedures(plan: StudyPlan) -> tuple[Procedure, ...]:
    """Every procedure of a study, in the order in which they are carried out."""
    return tuple(_list_procedures(plan))


def prepare_patients() -> Program[Answered]:
    """The flow chart of each site, and how its patients are divided."""
    return (yield from ask(Step(Operation.PREPARE)))


def _list_procedures(plan: StudyPlan) -> Iterator[Procedure]:
    everybody, training = plan.site_names, plan.training_sites
    yield Procedure(names.PREPARATION, everybody, lambda _: prepare_patients())
    if "agreement" in plan.phases:
        yield Procedure(names.READER_AGREEMENT, everybody, lambda _: count_readings(plan))
    if "cohort" in plan.phases:
        yield Procedure(names.COHORT_DESCRIPTION, everybody, lambda _: describe_patients(plan))
    if "regression" in plan.phases:
        yield Procedure(names.SCREENING, training, lambda _: screen_candidates(plan, training))
    if "training" in plan.phases:
        yield from _list_trainings(plan)
        yield from _list_fits(plan)
    if "evaluation" in plan.phases:
        yield Procedure(names.EVALUATION, everybody, lambda _: judge_scores(plan, None))
        yield Procedure(names.CALIBRATION, everybody, lambda known: _begin_calibration(plan, known))
        yield Procedure(names.COMPARISON, everybody, _begin_comparison)
    if "explanation" in plan.phases:
        for model in plan.networks:
            for arm in plan.all_arms():
                sites = list_scored_sites(plan, model, arm)
                yield Procedure(names.name_explanation(model, arm), sites, _explain(model, arm, sites))


def _list_trainings(plan: StudyPlan) -> Iterator[Procedure]:
    """Networks are trained, then they score: their scores may be covariates."""
    for model in plan.networks:
        for arm in plan.all_arms():
            if arm.kind != "pooled":
                yield Procedure(names.name_training(model, arm), arm.sites, _train(plan, model, arm))
    for model in plan.networks:
        for arm in plan.all_arms():
            yield _score(plan, model, arm)


def _list_fits(plan: StudyPlan) -> Iterator[Procedure]:
    """Predictors are selected in every arm, then models of the table are fitted, and score."""
    if plan.table_models:
        for arm in (arm for arm in plan.all_arms() if arm.kind == "federated"):
            yield Procedure(names.name_selection(arm), arm.sites, _select(plan, arm))
    for kind in (LogisticModel, SvmModel):
        models = [model for model in plan.table_models if isinstance(model, kind)]
        for model in models:
            for arm in plan.arms_of(model):
                yield Procedure(names.name_fit(model, arm), arm.sites, _fit(plan, model, arm))
        for model in models:
            for arm in plan.arms_of(model):
                yield _score(plan, model, arm)


def _train(plan: StudyPlan, model: CnnModel, arm: Arm) -> Callable[[Known], Program[object] | None]:
    train = train_at_site if arm.kind == "local" else train_over_sites
    return lambda _: train(plan, model, arm)


def _select(plan: StudyPlan, arm: Arm) -> Callable[[Known], Program[object] | None]:
    def begin(known: Known) -> Program[object]:
        screening = known.get(names.SCREENING)
        return find_predictors(plan, arm, screening if isinstance(screening, Screening) else None)

    return begin


def _fit(
    plan: StudyPlan, model: LogisticModel | SvmModel, arm: Arm
) -> Callable[[Known], Program[object] | None]:
    if arm.kind == "local":
        return lambda _: train_at_site(plan, model, arm)

    def begin(known: Known) -> Program[object] | None:
        selected = known.get(names.name_selection(arm))
        if not isinstance(selected, ArmSelection):
            return None
        if isinstance(model, LogisticModel):
            return fit_regression(plan, model, selected)
        return fit_support_vectors(plan, model, selected)

    return begin


def _score(plan: StudyPlan, model: CnnModel | LogisticModel | SvmModel, arm: Arm) -> Procedure:
    return Procedure(
        names.name_scoring(model, arm),
        list_scored_sites(plan, model, arm),
        lambda known: score_over_sites(plan, model, arm, known.get(names.name_fit(model, arm))),
    )


def _begin_calibration(plan: StudyPlan, known: Known) -> Program[object] | None:
    judged = known.get(names.EVALUATION)
    return recalibrate_scores(plan, judged, None) if isinstance(judged, JudgedScores) else None


def _begin_comparison(known: Known) -> Program[object] | None:
    judged = known.get(names.EVALUATION)
    return compare_judged_scores(judged) if isinstance(judged, JudgedScores) else None


def _explain(model: CnnModel, arm: Arm, sites: tuple[str, ...]) -> Callable[[Known], Program[object] | None]:
    step = Step(
        Operation.EXPLAIN,
        model=model.name,
        arm=arm.name,
        round=None,
        carries_weights=True,
        is_optional=True,
    )

    def begin(_: Known) -> Program[None]:
        home = tuple(site for site in sites if site in arm.sites)
        # Who missed the end of the training is asked with the others, as when the network scores
        for asked in filter(None, (home, sites)):
            yield replace(step, sites=asked)

    return begin
