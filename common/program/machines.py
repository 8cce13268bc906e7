"""A support vector machine over sites: ridge-penalised logistic regression on random Fourier features.

It approximates the machine of the pooled rows (Rahimi and Recht 2007) and equals, to rounding, the same
regression on all rows in one place. The penalty is 1 / C; C and gamma are chosen by the log-likelihood of
patients whom a fold's model has not seen.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from common.cards.fourier_machine import (
    FEWEST_SVM_FOLDS,
    NO_COVARIATE,
    NOBODY,
    Scales,
    SvmQuery,
    explain_no_machine,
    scales_of,
    standardised_of,
    write_query,
)
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import FittedSvm
from common.messages.protocol import Parameters
from common.messages.questions import write_centre
from common.plan.design import design_of
from common.plan.models import SvmModel
from common.plan.study import Arm, StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.steps import Program, Step, ask
from common.stats.covariates import judge_cells
from common.stats.dialogue import Dialogue
from common.stats.estimate import Status, undefined
from common.stats.folds import FoldChoice, choose_folds
from common.stats.guard import GuardResult
from common.stats.lasso import gram_status
from common.stats.minima import Minima, minima_of
from common.stats.ridge import MAXIMUM_ROUNDS_RIDGE, RidgeState, advance_ridge, start_ridge
from common.types import Counts, Reals

_NO_MEANS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class AskClasses:
    """Asks for the patients of each class: in all, then in each fold of each possible number of folds."""


@dataclass(frozen=True)
class AskColumns:
    """Asks for moments and tables of the covariates about their centre.

    Attributes
    ----------
    centre : float array, shape (columns of the design,)
        What the sums are taken about.
    """

    centre: Reals


@dataclass(frozen=True)
class AskRidge:
    """Asks for one Newton step's sums of ridge-penalised models.

    Attributes
    ----------
    query : SvmQuery
        The models and their coefficients.
    """

    query: SvmQuery


@dataclass(frozen=True)
class AskHeldOut:
    """Asks for the log-likelihood of the patients whom a fold's model has not seen.

    Attributes
    ----------
    query : SvmQuery
        The models and their coefficients.
    """

    query: SvmQuery


SvmQuestion: TypeAlias = AskClasses | AskColumns | AskRidge | AskHeldOut
"""What the fit of a machine asks in one round."""


@dataclass(frozen=True)
class SvmTask:
    """One machine to be fitted to the patients of one arm.

    Attributes
    ----------
    plan : StudyPlan
        The study's plan.
    model : SvmModel
        The machine, as the plan describes it.
    names : tuple of str
        Names of its covariates, with the arm's predictors in place of "independent" and "radiomics".
    centre : float array, shape (columns of the design,)
        What sums about the covariates are taken about.
    one_site : bool
        Whether the arm is one site, whose own numbers the sums are.
    """

    plan: StudyPlan
    model: SvmModel
    names: tuple[str, ...]
    centre: Reals
    one_site: bool


@dataclass(frozen=True)
class MachineChoice:
    """At a site: the machine that the coordinator fitted, as its last question named it.

    Attributes
    ----------
    form : Parameters
        What scores by it: its scales, its width and its coefficients; empty if none was fitted to all folds.
    """

    form: Parameters

    @classmethod
    def of(cls, asked: Parameters) -> MachineChoice:
        """The choice that the last question of a fit makes: its sums are of the converged coefficients."""
        if asked.get("left_out", np.empty(0)).tolist() != [NOBODY]:
            return cls({})
        return cls(
            {name: asked[name] for name in ("columns", "mean", "sd", "gammas", "left_out", "coefficients")}
        )


@dataclass(frozen=True)
class Candidates:
    """Models to be fitted together, each with its own C, gamma and left-out fold.

    Attributes
    ----------
    c : float array, shape (models,)
        Inverse of the ridge penalty.
    gammas : float array, shape (models,)
        Width parameter of the Gaussian kernel.
    left_out : int array, shape (models,)
        The fold that is not used for fitting; `NOBODY` if all folds are.
    folds : int
        How many folds there are.
    """

    c: Reals
    gammas: Reals
    left_out: Counts
    folds: int

    @classmethod
    def of(cls, triples: Sequence[tuple[float, float, int]], folds: int) -> Candidates:
        """Candidates from triples (C, gamma, left-out fold), in the order given."""
        c, gammas, left_out = zip(*triples, strict=True)
        return cls(np.array(c), np.array(gammas), np.array(left_out, dtype=np.int64), folds)


def fit_machine(
    plan: StudyPlan,
    arm: Arm,
    model: SvmModel,
    names: tuple[str, ...],
    means: Mapping[str, float] = _NO_MEANS,
) -> Program[FittedSvm | MachineChoice]:
    """The machine, fitted to the training patients of the arm's sites; at a site the coordinator's choice.

    Parameters
    ----------
    plan : StudyPlan
    arm : Arm
        On whose sites' patients.
    model : SvmModel
        The machine, as the plan describes it.
    names : tuple of str
        Names of its covariates, with the arm's predictors in place of "independent" and "radiomics".
    means : mapping of str to float
        Public means of covariates that may lie far from 0, such as radiomics features; by default none.
    """
    centre = design_of(plan).centre_on(means)
    task = SvmTask(plan, model, names, centre, one_site=len(arm.sites) == 1)
    dialogue = iterate_svm(task)
    steps = _SvmSteps(arm.name, model.name, names)
    try:
        question = next(dialogue)
        while True:
            answered = yield from ask(steps.make(question))
            if isinstance(question, AskRidge) and not answered.sums.tell(arm.sites):
                return (yield from _follow_choice(steps, question.query))
            question = dialogue.send(answered.sums.of(arm.sites))
    except StopIteration as end:
        fitted: FittedSvm = end.value
        return fitted


def _follow_choice(steps: _SvmSteps, first: SvmQuery) -> Program[MachineChoice]:
    """At a site: the rounds in which the coordinator fits, judges and fits again.

    Sums of cross-products come back to no site, so the coefficients are the coordinator's.
    """
    last: Parameters = {}
    for operation, rounds, is_last in (
        (Operation.RIDGE, MAXIMUM_ROUNDS_RIDGE, False),
        (Operation.HELD_OUT, 1, False),
        (Operation.RIDGE, MAXIMUM_ROUNDS_RIDGE, True),
    ):
        for _ in range(rounds):
            answered = yield steps.make_choice(operation, first, is_last=is_last)
            if answered is None:
                break
            last = answered.asked
    return MachineChoice.of(last)


@dataclass(frozen=True)
class _SvmSteps:
    """The steps of one machine's fit in one arm."""

    arm: str
    model: str
    names: tuple[str, ...]

    def make(self, question: SvmQuestion) -> Step:
        match question:
            case AskClasses():
                return replace(self._step(Operation.GUARD, {}), stage="svm", model=self.model)
            case AskColumns(centre):
                return self._step(Operation.SETUP, write_centre(centre))
            case AskRidge(query):
                return replace(self._step(Operation.RIDGE, write_query(query)), model=self.model)
            case AskHeldOut(query):
                return replace(self._step(Operation.HELD_OUT, write_query(query)), model=self.model)

    def make_choice(self, operation: Operation, first: SvmQuery, *, is_last: bool) -> Step:
        """At a site: a step whose coefficients the coordinator chooses, of models that the first step had.

        The last fit is of one model, which leaves out no fold.
        """
        known = write_query(first)
        scales = {name: known[name] for name in ("columns", "mean", "sd", "folds")}
        candidates = Counter((gamma, NOBODY) for gamma in set(first.gammas.tolist()))
        if not is_last:
            candidates = Counter(zip(first.gammas.tolist(), first.left_out.tolist(), strict=True))

        def check(asked: Parameters) -> Parameters:
            width = asked["coefficients"].shape[-1]
            if width != first.coefficients.shape[1]:
                raise NotThePlanError(f"{self.model}: {width - 1} features came, not as many as permitted")
            models = Counter(zip(asked["gammas"].tolist(), asked["left_out"].tolist(), strict=True))
            if models - candidates or (is_last and models.total() != 1):
                raise NotThePlanError(f"{self.model}: {models.total()} models came that are not the plan's")
            return {}

        step = replace(self._step(operation, scales), model=self.model)
        return replace(step, is_optional=True, derive=check)

    def _step(self, operation: Operation, parameters: Parameters) -> Step:
        return Step(operation, parameters, arm=self.arm, regressions=(self.names,))


def iterate_svm(task: SvmTask) -> Dialogue[SvmQuestion, FittedSvm]:
    """The machine, fitted to the patients of whose sums it learns: yields what each round asks.

    Patients are counted first, then come the covariates' moments, the cross-validation and the fit of the
    chosen C and gamma.
    """
    if not task.names:
        return explain_no_machine(NO_COVARIATE)
    plan, model = task.plan, task.model
    minima = minima_of(plan.profile)
    counted = yield AskClasses()
    terms = design_of(plan).model(task.names)
    columns = (len(terms.columns),) * len(counted.counts["classes"])
    guard = judge_counted(plan, "svm", counted, one_site=task.one_site, columns=columns)[0]
    # The moments are of one covariate each, and the features mix all of them.
    classes, cells = counted.counts["classes"][0], counted.counts["cells"][0]
    status = judge_cells(classes, cells, terms, minima, accept_rare_pairs=True)
    status = status if guard.status.ok else guard.status
    if not status.ok:
        return _add_numbers(explain_no_machine(status), guard)
    folds = choose_folds(counted.counts["classes"][1:], model.folds, FEWEST_SVM_FOLDS, minima)
    features = count_permitted_features(model, folds.classes, minima) if folds.status.ok else 0
    status = _judge_folds(model, folds.classes, features, minima) if folds.status.ok else folds.status
    if not status.ok:
        return _add_numbers(explain_no_machine(status), guard)
    scales, status = scales_of((yield AskColumns(task.centre)), terms, minima, task.centre)
    if scales is None:
        return _add_numbers(explain_no_machine(status), guard)
    return _add_numbers((yield from _cross_validate(task, scales, folds, features)), guard)


def count_permitted_features(model: SvmModel, folds: Counts, minima: Minima) -> int:
    """How many random Fourier features may be used: at most one for every two patients of the smallest fold.

    All of the plan's features may be used if the profile sets no minimum for a fold, or if the plan accepts
    sums of cross-products that are wider than that.

    Parameters
    ----------
    model : SvmModel
        It says how many features the plan asks for.
    folds : int array, shape (folds, 2)
        Patients of each class.
    minima : Minima
        Smallest numbers of patients behind a released sum.
    """
    if minima.fold == 1 or model.wide_gram_accepted:
        return model.fourier_features
    return min(model.fourier_features, int(folds.sum(axis=1).min()) // 2)


def _judge_folds(model: SvmModel, folds: Counts, features: int, minima: Minima) -> Status:
    """Whether the features' cross-products may be summed, by the same rules as those of the LASSO."""
    return gram_status(folds, features, minima, wide_gram_accepted=model.wide_gram_accepted)


def _cross_validate(
    task: SvmTask, scales: Scales, folds: FoldChoice, features: int
) -> Dialogue[SvmQuestion, FittedSvm]:
    model, number = task.model, folds.number
    grid = list(itertools.product(model.c_grid, model.gamma_grid))
    candidates = Candidates.of([(c, gamma, fold) for c, gamma in grid for fold in range(number)], number)
    fitted = yield from _fit_together(scales, candidates, features)
    if not fitted.converged.all():
        return explain_no_machine(undefined("no convergence in cross-validation"))
    answer = yield AskHeldOut(_make_query(scales, candidates, fitted.accepted))
    # Grid points in rows, folds in columns; of equal values the smaller C wins, then the smaller gamma.
    held_out = answer.reals["log_likelihood"].reshape(len(grid), number).sum(axis=1) / folds.classes.sum()
    best = int(np.argmax(held_out))
    c, gamma = grid[best]
    chosen = yield from _fit_together(scales, Candidates.of([(c, gamma, NOBODY)], number), features)
    if not chosen.converged.all():
        return explain_no_machine(undefined("no convergence"))
    return FittedSvm(
        covariates=task.names,
        columns=standardised_of(scales, design_of(task.plan)),
        c=c,
        gamma=gamma,
        weights=tuple(chosen.accepted[0, 1:].tolist()),
        intercept=float(chosen.accepted[0, 0]),
        criterion=float(held_out[best]),
        folds=number,
        fold_reason=folds.why,
        method=f"ridge-penalised logistic regression on {features} of the plan's {model.fourier_features} "
        "random Fourier features",
    )


def _fit_together(scales: Scales, candidates: Candidates, features: int) -> Dialogue[SvmQuestion, RidgeState]:
    """All candidates, fitted in one Newton loop; each round asks for those that have not converged."""
    state = start_ridge(1 / candidates.c, features)
    while state.active.any():
        asked = np.flatnonzero(state.active)
        active = Candidates(
            candidates.c[asked], candidates.gammas[asked], candidates.left_out[asked], candidates.folds
        )
        answer = yield AskRidge(_make_query(scales, active, state.trial[asked]))
        state = advance_ridge(state, answer)
    return state


def _make_query(scales: Scales, candidates: Candidates, coefficients: Reals) -> SvmQuery:
    return SvmQuery(scales, candidates.gammas, candidates.left_out, coefficients, candidates.folds)


def _add_numbers(fitted: FittedSvm, guard: GuardResult) -> FittedSvm:
    return fitted.model_copy(update={"used": guard.n_used, "missing": guard.n_missing})
