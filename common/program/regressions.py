"""Logistic models over sites: count the patients of each, then ask for moments and tables, then iterate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from common.messages.catalogue import Operation
from common.messages.questions import write_centre, write_newton
from common.plan.design import design_of
from common.plan.study import StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.steps import Program, Step, ask_sum
from common.stats.contract import Summary
from common.stats.covariates import drop_empty_levels, judge_cells
from common.stats.dialogue import relay
from common.stats.glm import LogisticResult, select_terms
from common.stats.guard import GuardResult
from common.stats.minima import minima_of
from common.stats.newton import NewtonQuestion
from common.stats.public_centre import iterate_fit_about

_NO_MEANS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Screening:
    """One logistic model for each candidate, then one model of all candidates that entered.

    Attributes
    ----------
    sites : tuple of str
        Whose training patients.
    candidates : tuple of str
        Names of the covariates, in the plan's order.
    univariate : tuple of LogisticResult
        One result for each candidate, in the same order.
    entered : tuple of str
        Candidates with a p value below the plan's limit.
    multivariable : LogisticResult or None
        The model of the candidates that entered; None if none did.
    """

    sites: tuple[str, ...]
    candidates: tuple[str, ...]
    univariate: tuple[LogisticResult, ...]
    entered: tuple[str, ...]
    multivariable: LogisticResult | None


def screen_candidates(plan: StudyPlan, sites: tuple[str, ...], arm: str = "") -> Program[Screening]:
    """The univariate models of all candidates, in one Newton loop, then one model of those that enter.

    Parameters
    ----------
    plan : StudyPlan
    sites : tuple of str
        Whose training patients.
    arm : str
        To which the sites belong; by default all training sites.
    """
    candidates = plan.regression.candidates
    univariate = yield from fit_regressions(plan, sites, [(name,) for name in candidates], arm)
    entered = tuple(term.name for term in select_terms(univariate, plan.regression.entry_p))
    multivariable = None
    if entered:
        (multivariable,) = yield from fit_regressions(plan, sites, [entered], arm)
    return Screening(sites, candidates, univariate, entered, multivariable)


def fit_regressions(
    plan: StudyPlan,
    sites: Sequence[str],
    regressions: Sequence[tuple[str, ...]],
    arm: str = "",
    means: Mapping[str, float] = _NO_MEANS,
) -> Program[tuple[LogisticResult, ...]]:
    """Every model, fitted to these sites' training patients in one Newton loop.

    Parameters
    ----------
    plan : StudyPlan
    sites : sequence of str
        Whose training patients.
    regressions : sequence of tuples of str
        The covariates of each model.
    arm : str
        To which the sites belong, and whose networks' scores are covariates; by default all training sites.
    means : mapping of str to float
        Public means of covariates that may lie far from 0, such as radiomics features; by default none.

    Returns
    -------
    tuple of LogisticResult
        In the order of the regressions; a model with too few patients is not fitted, and its status says so.
    """
    counting = Step(Operation.GUARD, stage="regression", arm=arm, regressions=tuple(regressions))
    guards = _judge(plan, sites, regressions, (yield from ask_sum(counting, sites)))
    permitted = tuple(names for names, guard in zip(regressions, guards, strict=True) if guard.status.ok)
    fitted: dict[tuple[str, ...], LogisticResult] = {}
    if permitted:
        results = yield from _fit_permitted(plan, sites, permitted, arm, means)
        fitted = dict(zip(permitted, results, strict=True))
    return tuple(
        fitted[names] if names in fitted else _withhold_fit(plan, names, guard)
        for names, guard in zip(regressions, guards, strict=True)
    )


def _judge(
    plan: StudyPlan, sites: Sequence[str], regressions: Sequence[tuple[str, ...]], counted: Summary
) -> tuple[GuardResult, ...]:
    """Whether enough patients stand behind each model, and behind each level of its covariates."""
    design, minima = design_of(plan), minima_of(plan.profile)
    models = [design.model(names) for names in regressions]
    columns = [len(model.columns) for model in models]
    guards = judge_counted(plan, "regression", counted, one_site=len(sites) == 1, columns=columns)
    accepted = plan.regression.rare_pairs_accepted
    classes, tables = counted.counts["classes"], counted.counts["cells"]
    cells = (
        judge_cells(classes[row], tables[row], model, minima, accept_rare_pairs=accepted)
        for row, model in enumerate(models)
    )
    return tuple(
        replace(guard, status=status) if guard.status.ok else guard
        for guard, status in zip(guards, cells, strict=True)
    )


def _fit_permitted(
    plan: StudyPlan,
    sites: Sequence[str],
    permitted: tuple[tuple[str, ...], ...],
    arm: str,
    means: Mapping[str, float],
) -> Program[tuple[LogisticResult, ...]]:
    """The fits of the models for which there are enough patients."""
    design = design_of(plan)
    centre = design.centre_on(means)
    described = Step(Operation.SETUP, write_centre(centre), arm=arm, regressions=permitted)
    setup = yield from ask_sum(described, sites)
    setup, models = drop_empty_levels(setup, [design.model(names) for names in permitted])

    def ask_round(question: NewtonQuestion) -> Program[Summary]:
        return ask_sum(Step(Operation.NEWTON, write_newton(*question), arm=arm), sites)

    return (yield from relay(iterate_fit_about(centre, setup, models, minima_of(plan.profile)), ask_round))


def _withhold_fit(plan: StudyPlan, names: tuple[str, ...], guard: GuardResult) -> LogisticResult:
    """The result of a model that the sites were not asked for, because too few patients stand behind it."""
    model = design_of(plan).model(names)
    return LogisticResult(
        model, (), None, None, (), guard.n_used, guard.n_missing, "not fitted", 0, guard.status
    )
