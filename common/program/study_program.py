"""A study as procedures over the plan and the opened sums, as coordinator and sites run it.

A procedure may begin once those on which it builds are finished; several may be on their way at once. The
coordinator may leave procedures out, or end one early: it then asks less. It never asks one again on which
another that has begun builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from common.messages.catalogue import Operation
from common.plan.mapped_cohorts import averages_maps
from common.plan.models import INDEPENDENT, CardModel, SvmModel
from common.plan.repeated_trainings import list_first_networks
from common.plan.study import Arm, CnnModel, LogisticModel, StudyPlan
from common.program import names
from common.program.attention_means import average_attention
from common.program.comparisons_of_scores import compare_judged_scores
from common.program.fits import fit_regression, fit_support_vectors
from common.program.judging import JudgedScores, judge_scores
from common.program.patient_description import describe_patients
from common.program.reader_agreement import count_readings
from common.program.recalibration_loops import recalibrate_scores
from common.program.regressions import Screening, screen_candidates
from common.program.scorings import list_scored_sites, score_over_sites, score_with_card
from common.program.selections import ArmSelection, find_predictors
from common.program.steps import Answered, Program, Step, ask
from common.program.trainings import train_at_site, train_over_sites

Known: TypeAlias = Mapping[str, object]
"""What procedures came to, by name; without those of which it is not known here."""


_ALL_BEFORE: Final = ("*",)
"""Stands for every earlier procedure, until these are known."""
_DESCRIBED: Final = (names.PREPARATION, names.READER_AGREEMENT, names.COHORT_DESCRIPTION)
"""Before patients are counted for models: of which cohorts numbers left decides of which more may leave."""


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
        The procedure from its beginning, from what those came to on which it builds; None if they do not lead
        to it.
    builds_on : tuple of str
        Names of the earlier procedures that are finished before it begins: all of them, unless it is said.
    """

    name: str
    sites: tuple[str, ...]
    begin: Callable[[Known], Program[object] | None]
    builds_on: tuple[str, ...] = _ALL_BEFORE


def list_procedures(plan: StudyPlan) -> tuple[Procedure, ...]:
    """Every procedure of a study, those on which one builds before it."""
    listed: list[Procedure] = []
    for procedure in _list_procedures(plan):
        before = tuple(earlier.name for earlier in listed)
        wanted = before if procedure.builds_on == _ALL_BEFORE else procedure.builds_on
        listed.append(replace(procedure, builds_on=tuple(name for name in before if name in wanted)))
    return tuple(listed)


def prepare_patients() -> Program[Answered]:
    """The flow chart of each site, and how its patients are divided."""
    return (yield from ask(Step(Operation.PREPARE)))


def _list_procedures(plan: StudyPlan) -> Iterator[Procedure]:
    everybody = plan.site_names
    yield Procedure(names.PREPARATION, everybody, lambda _: prepare_patients())
    yield from _list_descriptions(plan)
    if "training" in plan.phases:
        yield from _list_trainings(plan)
        yield from _list_fits(plan)
    if "evaluation" in plan.phases:
        yield from (_score_before(plan, model) for model in plan.cards)
        yield Procedure(names.EVALUATION, everybody, lambda _: judge_scores(plan, None))
        judged = (names.EVALUATION,)
        yield Procedure(
            names.CALIBRATION, everybody, lambda known: _begin_calibration(plan, known), builds_on=judged
        )
        yield Procedure(names.COMPARISON, everybody, _begin_comparison, builds_on=judged)
    if "explanation" in plan.phases:
        for model in list_first_networks(plan.models):
            for arm in plan.all_arms():
                sites = list_scored_sites(plan, model, arm)
                explain = _explain(model, arm, sites)
                scored = (names.name_scoring(model, arm),)
                yield Procedure(names.name_explanation(model, arm), sites, explain, builds_on=scored)
    if averages_maps(plan):
        yield Procedure(names.MEAN_ATTENTION, everybody, lambda _: average_attention(plan))


def _list_descriptions(plan: StudyPlan) -> Iterator[Procedure]:
    """Who the patients are, and what tells of their outcomes; nothing was fitted before."""
    everybody, training = plan.site_names, plan.training_sites
    if "agreement" in plan.phases:
        yield Procedure(names.READER_AGREEMENT, everybody, lambda _: count_readings(plan))
    if "cohort" in plan.phases:
        yield Procedure(names.COHORT_DESCRIPTION, everybody, lambda _: describe_patients(plan))
    if "regression" in plan.phases:
        yield Procedure(names.SCREENING, training, lambda _: screen_candidates(plan, training))


def _list_trainings(plan: StudyPlan) -> Iterator[Procedure]:
    """Networks are trained, then they score: their scores may be covariates."""
    for model in plan.networks:
        for arm in plan.all_arms():
            if arm.kind != "pooled":
                train = _train(plan, model, arm)
                yield Procedure(
                    names.name_training(model, arm), arm.sites, train, builds_on=(names.PREPARATION,)
                )
    for model in plan.networks:
        for arm in plan.all_arms():
            # A pooled network was trained elsewhere
            yield _score(plan, model, arm, (names.PREPARATION, names.name_training(model, arm)))


def _list_fits(plan: StudyPlan) -> Iterator[Procedure]:
    """Predictors are selected in every arm, then models of the table are fitted, and score."""
    if plan.table_models:
        for arm in (arm for arm in plan.all_arms() if arm.kind == "federated"):
            yield Procedure(
                names.name_selection(arm), arm.sites, _select(plan, arm), _list_before_selection(plan, arm)
            )
    for kind in (LogisticModel, SvmModel):
        models = [model for model in plan.table_models if isinstance(model, kind)]
        for model in models:
            for arm in plan.arms_of(model):
                before = (names.name_selection(arm), *_DESCRIBED, *_list_covariates(plan, arm))
                yield Procedure(names.name_fit(model, arm), arm.sites, _fit(plan, model, arm), before)
        for model in models:
            for arm in plan.arms_of(model):
                yield _score(plan, model, arm, (names.name_fit(model, arm),))


def _list_covariates(plan: StudyPlan, arm: Arm) -> tuple[str, ...]:
    """The scorings of the networks whose scores are columns of the arm's design."""
    taken = {network for model in plan.table_models for network in model.networks}
    return tuple(names.name_scoring(model, arm) for model in plan.networks if model.name in taken)


def _list_before_selection(plan: StudyPlan, arm: Arm) -> tuple[str, ...]:
    """Independent covariates are those of Table 2, or of one of the arm's own, in which scores stand."""
    if not any(INDEPENDENT in model.covariates for model in plan.table_models):
        return _DESCRIBED
    return (*_DESCRIBED, names.SCREENING, *_list_covariates(plan, arm))


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


def _score(
    plan: StudyPlan, model: CnnModel | LogisticModel | SvmModel, arm: Arm, builds_on: tuple[str, ...]
) -> Procedure:
    return Procedure(
        names.name_scoring(model, arm),
        list_scored_sites(plan, model, arm),
        lambda known: score_over_sites(plan, model, arm, known.get(names.name_fit(model, arm))),
        builds_on,
    )


def _score_before(plan: StudyPlan, model: CardModel) -> Procedure:
    (arm,) = plan.arms_of(model)
    return Procedure(names.name_scoring(model, arm), plan.site_names, lambda _: score_with_card(plan, model))


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
