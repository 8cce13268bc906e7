"""Which covariates "independent" and "radiomics" mean in the models of one federated arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from common.cards.selected import explain_no_selection, summary_of
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import LassoSelection
from common.messages.protocol import Parameters
from common.messages.questions import write_path
from common.plan.design import list_selectable
from common.plan.models import INDEPENDENT, RADIOMICS, TableModel
from common.plan.predictors import Predictors
from common.plan.study import Arm, StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.reader_agreement import JudgedFeatures, judge_features
from common.program.regressions import Screening, screen_candidates
from common.program.steps import Program, Step, ask, ask_sum, glance
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import (
    FEWEST_FOLDS,
    AskCrossProducts,
    AskMagnitudes,
    AskMoments,
    AskPath,
    AskProducts,
    Selection,
    SelectionQuestion,
    SelectionSettings,
    iterate_selection,
    select_nothing,
)
from common.stats.folds import FoldChoice, choose_folds
from common.stats.glm import select_terms
from common.stats.guard import GuardResult
from common.stats.lasso import LassoFamily, Scaling
from common.stats.minima import minima_of
from common.types import Counts

MOST_PATH_ROUNDS = 1000
"""Rounds of a binomial path that a site answers at most; `lasso_binomial` ends long before."""


@dataclass
class FeatureChoice:
    """Which features the coordinator selected in an arm, at a site, which cannot derive it.

    Attributes
    ----------
    names : tuple of str or None
        The features; None before they were named.
    """

    names: tuple[str, ...] | None = None

    def keep(self, names: tuple[str, ...], permitted: frozenset[str]) -> None:
        """Remember the choice.

        Raises
        ------
        NotThePlanError
            If another one was made before, or a feature does not vary or is not reproducible.
        """
        if self.names not in {None, names}:
            raise NotThePlanError("other radiomics features were selected before in this arm")
        if not permitted.issuperset(names):
            raise NotThePlanError("a radiomics feature was selected that may not be")
        self.names = names


@dataclass(frozen=True)
class ArmSelection:
    """The predictors that were selected on an arm's training patients.

    Attributes
    ----------
    arm : Arm
        Whose patients.
    predictors : Predictors
        The covariates that "independent" and "radiomics" stand for.
    selection : LassoSelection or None
        Which features the LASSO selected; None if no model takes radiomics, and at a site, which does not
        learn the sums from which they are selected.
    judged : JudgedFeatures or None
        On which features repeated readings agree; None if the plan does not ask for it.
    scale : Scaling or None
        At a site, the moments of the features among which the coordinator selected; None if it selected none.
    choice : FeatureChoice
        At a site, which it selected, once it has named them.
    candidates : tuple of str
        Among what the LASSO selects.
    """

    arm: Arm
    predictors: Predictors
    selection: LassoSelection | None
    judged: JudgedFeatures | None = None
    scale: Scaling | None = None
    choice: FeatureChoice = field(default_factory=FeatureChoice)
    candidates: tuple[str, ...] = FEATURES

    def find_means(self, names: Sequence[str]) -> dict[str, float]:
        """Means of those covariates that are selected features: sums over the sites are taken about them.

        A site knows the selected features by the models that take them.
        """
        if self.scale is None:
            means = {} if self.selection is None else self.selection.means
            return {name: mean for name, mean in means.items() if name in names}
        places = {name: place for place, name in enumerate(self.candidates)}
        return {name: float(self.scale.mean[places[name]]) for name in names if name in places}

    def find_names(self, model: TableModel) -> Program[tuple[str, ...]]:
        """The model's covariates; at a site, those which the next question names if they may be chosen so.

        Raises
        ------
        NotThePlanError
            If they are not the model's, or other features than the coordinator named before.
        """
        if self.scale is None or RADIOMICS not in model.covariates:
            return self.predictors.of(model)
        (names,) = (yield from glance()).regressions or ((),)
        others = self.predictors.of(model)
        chosen = tuple(name for name in names if name in self.candidates and name not in others)
        varying = (name for name, kept in zip(self.candidates, self.scale.kept, strict=True) if kept)
        self.choice.keep(chosen, frozenset(varying))
        return replace(self.predictors, radiomics=chosen).of(model)


def find_predictors(plan: StudyPlan, arm: Arm, known: Screening | None) -> Program[ArmSelection]:
    """The arm's independent covariates and its selected features, each if a model takes them.

    Parameters
    ----------
    plan : StudyPlan
    arm : Arm
        Whose training patients.
    known : Screening or None
        Table 2, which is used if it was made on the same patients.
    """
    taken = {name for model in plan.table_models for name in model.covariates}
    independent: tuple[str, ...] = ()
    if INDEPENDENT in taken:
        is_usable = known is not None and known.sites == arm.sites
        screening = (
            known if known and is_usable else (yield from screen_candidates(plan, arm.sites, arm.name))
        )
        together = () if screening.multivariable is None else (screening.multivariable,)
        independent = tuple(term.name for term in select_terms(together, plan.regression.entry_p))
    if RADIOMICS not in taken:
        return ArmSelection(arm, Predictors(independent), None)
    judged = (yield from judge_features(plan, arm)) if plan.radiomics.readings else None
    selection = yield from select_over_sites(plan, arm, judged)
    if isinstance(selection, LassoSelection):
        predictors = Predictors(independent, selection.names, selection.standing)
        return ArmSelection(arm, predictors, selection, judged)
    candidates = list_selectable(plan)
    return ArmSelection(arm, Predictors(independent), None, judged, selection, candidates=candidates)


def select_over_sites(
    plan: StudyPlan, arm: Arm, judged: JudgedFeatures | None = None
) -> Program[LassoSelection | Scaling]:
    """The features that the LASSO selects over the sites.

    Patients with all features are counted first, in all and in the folds of each possible number of folds.
    Then come the features' magnitudes and moments, their products with the outcome, and their cross-products:
    of the Gaussian LASSO once, of the binomial one in each round of its path.

    Parameters
    ----------
    plan : StudyPlan
    arm : Arm
        Whose training patients.
    judged : JudgedFeatures or None
        Only its retained features may be selected; None if any feature may, or if it is not known here.

    Returns
    -------
    LassoSelection or Scaling
        At a site, which does not learn the products, the moments of the features alone.
    """
    if judged is not None and not judged.status.ok:
        return summary_of(select_nothing(len(list_selectable(plan)), judged.status))
    minima, radiomics = minima_of(plan.profile), plan.radiomics
    guard, folds = yield from _count(plan, arm)
    status = guard.status if not guard.status.ok else folds.status
    if not status.ok:
        asked = {"family": radiomics.family, "rounds": 1, "planned_folds": folds.planned}
        return explain_no_selection(status, len(list_selectable(plan))).model_copy(update=asked)
    settings = SelectionSettings(radiomics.rule, radiomics.wide_gram_accepted, radiomics.family)
    retained = None if judged is None else judged.retained
    dialogue = iterate_selection(list_selectable(plan), settings, minima, retained)
    questions = _SelectionSteps(arm, folds.number, radiomics.family)
    try:
        question = next(dialogue)
        while True:
            answered = yield from ask(questions.make(question))
            if isinstance(question, AskProducts) and not answered.sums.tell(arm.sites):
                return (yield from _follow_choice(questions, question.scale))
            question = dialogue.send(answered.sums.of(arm.sites))
    except StopIteration as end:
        selection: Selection = end.value
    # The guard round is one more.
    return summary_of(replace(selection, folds=folds, rounds=selection.rounds + 1))


def _count(plan: StudyPlan, arm: Arm) -> Program[tuple[GuardResult, FoldChoice]]:
    """Whether enough patients have all features, and in how many folds they can be dealt."""
    minima = minima_of(plan.profile)
    counted = yield from ask_sum(Step(Operation.GUARD, stage="selection", arm=arm.name), arm.sites)
    guard = judge_counted(plan, "selection", counted, one_site=len(arm.sites) == 1)[0]
    folds = choose_folds(counted.counts["classes"][1:], plan.radiomics.folds, FEWEST_FOLDS, minima)
    return guard, folds


def _follow_choice(questions: _SelectionSteps, scale: Scaling) -> Program[Scaling]:
    """At a site: the moments, once the coordinator has asked for the products of the features it kept."""
    answered = yield questions.make_choice(scale, {})
    for _ in range(MOST_PATH_ROUNDS):
        if answered is None or questions.family == "gaussian":
            break
        answered = yield questions.make_choice(scale, {"chosen": answered.asked["chosen"]})
    return scale


@dataclass(frozen=True)
class _SelectionSteps:
    """The steps of a selection by the arm's sites, about so many folds."""

    arm: Arm
    n_folds: int
    family: LassoFamily

    def make_choice(self, scale: Scaling, chosen: Parameters) -> Step:
        """At a site: the step about features that the coordinator selects, and where it is on their paths."""
        operation = Operation.GRAM if self.family == "gaussian" else Operation.PATH
        parameters = {**self._write_features(scale), **chosen}
        return replace(self._step(operation, parameters), is_optional=True)

    def make(self, question: SelectionQuestion) -> Step:
        match question:
            case AskMagnitudes():
                return self._step(Operation.MAGNITUDES, {})
            case AskMoments(magnitude):
                located = {
                    "centre": magnitude.centre,
                    "scale": magnitude.scale,
                    "folds": np.array([self.n_folds]),
                }
                return self._step(Operation.SCALING, located)
            case AskProducts(scale):
                return self._step(Operation.PRESCREEN, self._write_features(scale))
            case AskCrossProducts(scale, kept):
                return self._step(Operation.GRAM, {**self._write_features(scale), "chosen": kept})
            case AskPath(scale, kept, query):
                chosen: dict[str, Counts] = {"chosen": kept}
                return self._step(
                    Operation.PATH, {**self._write_features(scale), **chosen, **write_path(query)}
                )

    def _write_features(self, scale: Scaling) -> Parameters:
        """How the features are standardised, and how many folds there are."""
        return {"mean": scale.mean, "sd": scale.sd, "kept": scale.kept, "folds": np.array([self.n_folds])}

    def _step(self, operation: Operation, parameters: Parameters) -> Step:
        return Step(operation, parameters, arm=self.arm.name)
