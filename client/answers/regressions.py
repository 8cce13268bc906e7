"""Logistic models at a site: fitted on its patients alone, and the risks that any of them predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from client.answers.patient_arrays import labels_of, make_arm_matrix
from client.answers.score_store import ScoreStore
from client.answers.selection import select_alone
from client.answers.singling import refuse_singling_out
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.membership.environment import read_versions
from common.cards.card import (
    Content,
    LogisticContent,
    TableContent,
    describe_logistic,
    make_local_card,
    training_centre_of,
)
from common.cards.card_file import load_card, save_card
from common.cards.fitted import (
    NOTHING_TO_FIT,
    coefficients_of,
    covariates_of,
    explain_no_fit,
    fitted_of,
    predict_log_odds,
    predict_risks,
)
from common.errors import ModelError, ProtocolError
from common.messages.headers import Fitted, LassoSelection
from common.messages.protocol import Request
from common.messages.questions import read_coefficients
from common.plan.design import Design, design_of
from common.plan.models import INDEPENDENT, RADIOMICS, TableModel
from common.plan.predictors import Predictors
from common.plan.study import LogisticModel, StudyPlan
from common.stats.contract import Summary
from common.stats.covariates import drop_empty_levels, local_setup
from common.stats.glm import LogisticResult, select_terms
from common.stats.minima import minima_of
from common.stats.newton import Query, local_newton
from common.stats.public_centre import fit_about
from common.stats.stack import Problem
from common.types import Reals

_NO_MEANS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class SiteRegressions:
    """The plan's logistic models at one site.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        The site's name.
    cases : tuple of PreparedCase
        Its patients.
    folder : Path
        Where models of these patients alone are kept.
    store : ScoreStore
        Of the networks' scores, where a model takes one.
    arm : str
        Whose networks' scores these are.
    own_seed : int or None
        With which the site deals its patients into folds; None for the plan's seed.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    folder: Path
    store: ScoreStore
    arm: str
    own_seed: int | None = None

    def fit_alone(self, model: LogisticModel) -> Fitted:
        """The model on this site's training patients alone, kept here.

        What stands for "independent" and "radiomics" in it is found on these patients too.
        """
        fitted = self._fit_model(model)
        selection = self.find_selection(model)
        self.keep(model, describe_logistic(self.plan, fitted, selection.moments if selection else None))
        return fitted

    def read_alone(self, model: LogisticModel) -> Fitted:
        """The model that was fitted here.

        Raises
        ------
        ProtocolError
            If none was.
        ModelError
            If its file is damaged, or holds no logistic model.
        """
        content = self.read_kept(model)
        if not isinstance(content, LogisticContent):
            raise ModelError(f"{self._path(model)}: is no logistic model -> delete it, run again")
        return content.fitted

    def keep(self, model: TableModel, content: TableContent) -> None:
        """Saves the card of a model of these patients alone."""
        centre = training_centre_of(self.plan, self.site, len(cases_of(self.cases, "training")))
        card = make_local_card(self.plan, model.name, centre, read_versions(), content)
        save_card(self._path(model), card, private=True)

    def read_kept(self, model: TableModel) -> Content:
        """The content of the card that `keep` saved of a model.

        Raises
        ------
        ProtocolError
            If none was.
        ModelError
            If its file is damaged.
        """
        path = self._path(model)
        if not path.exists():
            raise ProtocolError(f"no local model {model.name!r} was fitted here under this plan")
        return load_card(path).card.content

    def score(self, coefficients: Reals, names: Sequence[str]) -> Reals:
        """Every patient's predicted risk, shape (n,), NaN where a covariate is missing.

        Parameters
        ----------
        coefficients : float array, shape (1 + columns,)
            As `common.cards.fitted.coefficients_of` gives them.
        names : sequence of str
            The model's covariates.

        Raises
        ------
        ProtocolError
            If there is not one coefficient a column, and an intercept, or a covariate is unknown.
        SmallNumberError
            If the model was trained here, too, singles patients out and does not fit them.
        """
        if coefficients.shape != (1 + len(self.design.columns),):
            raise ProtocolError(
                f"{coefficients.size} coefficients came for {len(self.design.columns)} columns"
            )
        try:
            columns = self.design.model(names).columns
        except ValueError as failure:
            raise ProtocolError(str(failure)) from None
        self.refuse_singling_out("scores", lambda rows: predict_log_odds(coefficients, rows, columns))
        return predict_risks(coefficients, self.make_matrix(self.cases), columns)

    def score_as_asked(self, model: LogisticModel, request: Request) -> Reals:
        """Risks by the coefficients that came, or by the model that stays here; NaN if it was not fitted."""
        if "coefficients" in request.parameters:
            (names,) = request.header.regressions or ((),)
            return self.score(read_coefficients(request.parameters), names)
        nobody = np.full(len(self.cases), np.nan)
        if request.header.arm != f"local-{self.site}":
            # Nothing came because nothing could be fitted; a model of this site alone is another model.
            return nobody
        fitted = self.read_alone(model)
        if fitted.intercept is None:
            return nobody
        return self.score(coefficients_of(fitted, self.design), covariates_of(fitted))

    def refuse_singling_out(self, name: str, predict: Callable[[Reals], Reals]) -> None:
        """Refuse to score by a model of this site's patients, too, that the second line finds beyond bounds.

        Patients on whom a model was not trained tell nothing: it need not fit them.

        Parameters
        ----------
        name : str
            Of what is asked.
        predict : callable
            The linear predictor of the rows of a design matrix, NaN for a patient without one.

        Raises
        ------
        SmallNumberError
            If it does.
        """
        if self.site not in self.plan.arm(self.arm).sites:
            return
        training = cases_of(self.cases, "training")
        predictors = predict(self.make_matrix(training))[np.newaxis]
        refuse_singling_out(name, predictors, labels_of(training), ~np.isnan(predictors))

    def find_predictors(self, model: TableModel) -> Predictors:
        """What stands for "independent" and "radiomics" in a model of this site's training patients alone."""
        independent: tuple[str, ...] = ()
        if INDEPENDENT in model.covariates:
            level = self.plan.regression.entry_p
            univariable = self._fit([(name,) for name in self.plan.regression.candidates])
            entered = tuple(term.name for term in select_terms(univariable, level))
            multivariable = self._fit([entered]) if entered else ()
            independent = tuple(term.name for term in select_terms(multivariable, level))
        selection = self.find_selection(model)
        if selection is None:
            return Predictors(independent)
        return Predictors(independent, selection.names, selection.standing)

    def find_selection(self, model: TableModel) -> LassoSelection | None:
        """How the model's radiomics features were selected on these patients alone; None if it takes none."""
        return self._selection if RADIOMICS in model.covariates else None

    def make_matrix(self, cases: Sequence[PreparedCase]) -> Reals:
        """The design matrix of some of the cases, shape (n, columns of the design)."""
        return make_arm_matrix(self.plan, self.store, self.cases, (self.arm, cases))

    @cached_property
    def design(self) -> Design:
        """Columns of the plan's regression models."""
        return design_of(self.plan)

    @cached_property
    def _selection(self) -> LassoSelection:
        """How radiomics features were selected here; the same for all models."""
        return select_alone(self.plan, self.site, cases_of(self.cases, "training"), self.own_seed)

    def _fit_model(self, model: LogisticModel) -> Fitted:
        predictors = self.find_predictors(model)
        names, status = predictors.of(model), predictors.judge(model)
        if not status.ok:
            return explain_no_fit(status)
        selection = self.find_selection(model)
        means = selection.means if selection else {}
        return fitted_of(self._fit((names,), means)[0], self.design) if names else NOTHING_TO_FIT

    def _fit(
        self, regressions: Sequence[tuple[str, ...]], means: Mapping[str, float] = _NO_MEANS
    ) -> tuple[LogisticResult, ...]:
        training = cases_of(self.cases, "training")
        matrix, labels = self.make_matrix(training), labels_of(training)
        models = tuple(self.design.model(names) for names in regressions)
        centre, minima = self.design.centre_on(means), minima_of(self.plan.profile)
        setup, models = drop_empty_levels(local_setup(matrix - centre, labels, models), models)

        def ask(problem: Problem, query: Query) -> Summary:
            return local_newton(matrix, labels, problem, query)

        return fit_about(centre, ask, setup, models, minima)

    def _path(self, model: TableModel) -> Path:
        return self.folder / self.plan.digest()[:16] / model.name / "local.json"
