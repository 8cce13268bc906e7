"""Support vector machines at a site: of its patients alone, and the risks that any of them predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from client.answers.kernel import (
    Choice,
    choose_kernel,
    count_folds,
    fit_exact_machine,
    fit_linear_machine,
    predict_exact_risks,
)
from client.answers.patient_arrays import labels_of
from client.answers.regressions import SiteRegressions
from client.cohort.parts import cases_of
from common.cards.card import SvmContent, describe_svm
from common.cards.fourier_machine import (
    FEWEST_SVM_FOLDS,
    NO_COVARIATE,
    Scales,
    explain_no_machine,
    form_of,
    map_of,
    predict_form,
    read_query,
    risks_of,
    scales_of,
    standardised_of,
)
from common.errors import ModelError, ProtocolError
from common.messages.headers import FittedSvm
from common.messages.protocol import Parameters
from common.plan.models import SvmModel
from common.plan.study import StudyPlan
from common.seeds import derive_seed
from common.stats.covariates import local_setup
from common.stats.estimate import Status, undefined
from common.stats.guard import Demand, find_breach
from common.stats.minima import Minima, minima_of
from common.types import Flags, Reals


@dataclass(frozen=True)
class SiteSvms:
    """The plan's support vector machines at one site.

    Attributes
    ----------
    table : SiteRegressions
        The site's covariates, and what stands for the plan's placeholders in them.
    """

    table: SiteRegressions

    def fit_alone(self, model: SvmModel) -> FittedSvm:
        """The machine of this site's training patients alone, its linear form kept here.

        The exact machine is not kept, because its support vectors are patients' rows; it is made again from
        the patients wherever it scores.
        """
        predictors = self.table.find_predictors(model)
        status = predictors.judge(model)
        fitted = self._fit(model, predictors.of(model)) if status.ok else explain_no_machine(status)
        self.table.keep(model, describe_svm(self._plan, fitted))
        return fitted

    def read_alone(self, model: SvmModel) -> FittedSvm:
        """The machine that was fitted here.

        Raises
        ------
        ProtocolError
            If none was.
        ModelError
            If its file is damaged, or holds no support vector machine.
        """
        content = self.table.read_kept(model)
        if not isinstance(content, SvmContent):
            raise ModelError(
                f"{model.name}: what is kept here is no support vector machine -> delete it, run again"
            )
        return content.fitted

    def score_exactly(self, model: SvmModel) -> Reals:
        """Every patient's risk by the exact machine of this site, shape (n,); NaN where it has none."""
        cases = self.table.cases
        fitted = self.read_alone(model)
        if fitted.c is None or fitted.gamma is None or fitted.criterion is None:
            return np.full(len(cases), np.nan)
        columns = form_of(fitted, self.table.design).scales.columns
        rows, labels = self._select_training(fitted.covariates)
        choice = Choice(fitted.c, fitted.gamma, fitted.criterion)
        machine = fit_exact_machine(rows[:, columns], labels, model, choice, self._derive_seed(model))
        return predict_exact_risks(machine, self.table.make_matrix(cases)[:, columns])

    def score(self, model: SvmModel, parameters: Parameters) -> Reals:
        """Every patient's risk by the linear form that came with the request, shape (n,).

        Raises
        ------
        ProtocolError
            If it is not one form of the plan's.
        SmallNumberError
            If the machine was trained here, too, singles patients out and does not fit them.
        """
        form = read_query(parameters, model, len(self.table.design.columns))
        if len(form.gammas) != 1:
            raise ProtocolError(f"{model.name}: {len(form.gammas)} forms came to score by, not one")
        features, columns = form.coefficients.shape[1] - 1, len(form.scales.columns)
        fourier = map_of(self._plan, model, features, columns)
        self.table.refuse_singling_out(
            model.name, lambda rows: predict_form(form, form.scales.standardise(rows), fourier)
        )
        return risks_of(form, form.scales.standardise(self.table.make_matrix(self.table.cases)), fourier)

    def _fit(self, model: SvmModel, names: tuple[str, ...]) -> FittedSvm:
        if not names:
            return explain_no_machine(NO_COVARIATE)
        terms = self.table.design.model(names)
        rows, labels = self._select_training(names)
        status = self._judge_training(labels, len(terms.columns))
        if not status.ok:
            return explain_no_machine(status)
        selection = self.table.find_selection(model)
        centre = self.table.design.centre_on(selection.means if selection else {})
        scales, status = scales_of(local_setup(rows - centre, labels, [terms]), terms, self._minima, centre)
        if scales is None:
            return explain_no_machine(status)
        shown = self._minima.show(len(cases_of(self.table.cases, "training")) - len(labels))
        numbers = {"covariates": names, "missing": shown, "used": None if shown is None else len(labels)}
        try:
            return self._fit_machine(model, scales, rows, labels).model_copy(update=numbers)
        except ModelError:
            return explain_no_machine(undefined("no convergence"))

    def _fit_machine(self, model: SvmModel, scales: Scales, design: Reals, labels: Flags) -> FittedSvm:
        """The linear form of the exact machine, which is fitted first and chooses C and gamma."""
        rows, z = design[:, scales.columns], scales.standardise(design)
        seed = self._derive_seed(model)
        choice, folds = choose_kernel(rows, labels, model, seed), count_folds(model, labels)
        fourier = map_of(self._plan, model, model.fourier_features, z.shape[1])
        linear = fit_linear_machine(fourier.features(z, choice.gamma), labels, model, choice.c, seed)
        fitted = FittedSvm(
            columns=standardised_of(scales, self.table.design),
            c=choice.c,
            gamma=choice.gamma,
            weights=tuple(linear.weights.tolist()),
            intercept=linear.intercept,
            slope=linear.slope,
            offset=linear.offset,
            criterion=choice.auc,
            folds=folds,
            fold_reason="" if folds == model.folds else "a class has no more patients",
            method=f"linear in {model.fourier_features} random Fourier features, Platt's scaling",
        )
        exact = predict_exact_risks(fit_exact_machine(rows, labels, model, choice, seed), rows)
        difference = exact - risks_of(form_of(fitted, self.table.design), z, fourier)
        return fitted.model_copy(update={"deviation": float(np.sqrt(np.mean(difference**2)))})

    def _judge_training(self, labels: Flags, columns: int) -> Status:
        """Whether the machine may be trained: by the minimums, and by the folds' need of both classes."""
        release = self._plan.site(self.table.site).model_release
        positives = int(labels.sum())
        negatives = len(labels) - positives
        status = find_breach(negatives, positives, Demand("ridge", columns, one_site=release), self._minima)
        if status.ok and min(positives, negatives) < FEWEST_SVM_FOLDS:
            return undefined(f"fewer than {FEWEST_SVM_FOLDS} patients of a class: no cross-validation")
        return status

    def _select_training(self, names: tuple[str, ...]) -> tuple[Reals, Flags]:
        """Design of the training patients who have all these covariates, and who reached the endpoint."""
        cases = cases_of(self.table.cases, "training")
        matrix, labels = self.table.make_matrix(cases), labels_of(cases)
        complete = ~np.isnan(matrix[:, list(self.table.design.model(names).columns)]).any(axis=1)
        return matrix[complete], labels[complete]

    def _derive_seed(self, model: SvmModel) -> int:
        own = self.table.own_seed
        return derive_seed(self._plan.seed if own is None else own, self.table.site, "svm-folds", model.name)

    @property
    def _plan(self) -> StudyPlan:
        return self.table.plan

    @property
    def _minima(self) -> Minima:
        return minima_of(self._plan.profile)
