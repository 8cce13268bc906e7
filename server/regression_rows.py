"""Regressions as lines of the paper's Table 2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.design import Column, Design, covariate_label, covariate_unit, design_of, reference_of
from common.fitted import covariates_of, fitted_of
from common.headers import Effect as FittedEffect
from common.headers import Fitted, LassoSelection
from common.stats.estimate import Interval, Status, Z
from common.stats.glm import odds
from common.study import Arm, LogisticModel, StudyPlan
from common.study_models import INDEPENDENT, RADIOMICS
from server.analyses import (
    Effect,
    FeatureSelection,
    FittedModel,
    PathPoint,
    Regression,
    RegressionRow,
    SelectedFeature,
)
from server.phases.fitting import FittedRegression
from server.phases.regression import Screening
from server.phases.svm import TrainedSvm
from server.records import Standing, SupportVectorMachine, measure_of


def regression_of(plan: StudyPlan, screening: Screening) -> Regression:
    """Table 2: each candidate alone, and those that entered together."""
    design = design_of(plan)
    univariate = {
        name: fitted_of(result, design)
        for name, result in zip(screening.candidates, screening.univariate, strict=True)
    }
    together = screening.multivariable
    multivariable = None if together is None else fitted_of(together, design)
    return Regression(
        cohort_sites=screening.sites,
        rows=tuple(
            line
            for name in screening.candidates
            for line in _lines(design, name, univariate[name], multivariable)
        ),
        entry_p=plan.regression.entry_p,
        entered=screening.entered,
        used=None if multivariable is None else multivariable.used,
        missing=None if multivariable is None else multivariable.missing,
        method="" if multivariable is None else multivariable.method,
        standing=_standing(multivariable) if multivariable else _NOBODY_ENTERED,
        intercept=None if multivariable is None else multivariable.intercept,
        log_likelihood=None if multivariable is None else multivariable.log_likelihood,
    )


def fitted_model_of(plan: StudyPlan, regression: FittedRegression) -> FittedModel:
    """One logistic model of the plan in one arm."""
    fitted, model, arm = regression.fitted, regression.model, regression.arm
    return FittedModel(
        model=model.name,
        arm=arm.name,
        kind="local" if arm.kind == "local" else "federated",
        sites=arm.sites,
        rows=tuple(
            line
            for name in _covariates(model, fitted)
            for line in _lines(design_of(plan), name, None, fitted)
            if fitted is not None
        ),
        intercept=None if fitted is None else fitted.intercept,
        used=None if fitted is None else fitted.used,
        missing=None if fitted is None else fitted.missing,
        method="" if fitted is None else fitted.method,
        standing=_STAYED if fitted is None else _standing(fitted),
    )


def machine_of(machine: TrainedSvm) -> SupportVectorMachine:
    """One support vector machine of the plan in one arm."""
    fitted, arm = machine.fitted, machine.arm
    common = {
        "model": machine.model.name,
        "arm": arm.name,
        "kind": "local" if arm.kind == "local" else "federated",
        "sites": arm.sites,
    }
    if fitted is None:
        return SupportVectorMachine(**common, standing=_STAYED)
    return SupportVectorMachine(
        **common,
        covariates=fitted.covariates,
        c=fitted.c,
        gamma=fitted.gamma,
        features=len(fitted.weights),
        criterion=fitted.criterion,
        deviation=fitted.deviation,
        used=fitted.used,
        missing=fitted.missing,
        method=fitted.method,
        standing=Standing(kind=fitted.status, reason=fitted.reason),
    )


def selection_of(arm: Arm, found: LassoSelection) -> FeatureSelection:
    """The LASSO's features with the path and the cross-validation that chose them."""
    return FeatureSelection(
        arm=arm.name,
        kind="local" if arm.kind == "local" else "federated",
        sites=arm.sites,
        candidates=found.candidates,
        prescreened=found.prescreened,
        reproducible=found.reproducible,
        features=tuple(SelectedFeature(**feature.model_dump()) for feature in found.features),
        penalty=found.penalty,
        path=tuple(PathPoint(**point.model_dump()) for point in found.path),
        used=found.used,
        method=found.method,
        standing=Standing(kind=found.status, reason=found.reason),
    )


def _covariates(model: LogisticModel, fitted: Fitted | None) -> tuple[str, ...]:
    """Those that were fitted; where none were, those that the plan names itself."""
    if fitted is not None and fitted.effects:
        return covariates_of(fitted)
    return tuple(name for name in model.covariates if name not in {INDEPENDENT, RADIOMICS})


_NOBODY_ENTERED = Standing(kind="undefined", reason="no variable had a p below the plan's")
_STAYED = Standing(kind="suppressed", reason="the model stayed at its centre")


def _lines(
    design: Design, name: str, univariate: Fitted | None, multivariable: Fitted | None
) -> Iterator[RegressionRow]:
    """One line a column; a categorical variable's reference level has a line without effect."""
    common = {
        "variable": name,
        "label": covariate_label(name),
        "unit": covariate_unit(name),
        "used": None if univariate is None else univariate.used,
        "missing": None if univariate is None else univariate.missing,
    }
    reference = reference_of(name)
    columns = [column for column in design.columns if column.variable == name]
    if reference and len(columns) > 1:
        yield RegressionRow(**common, level=reference, reference=True)
    for column in columns:
        alone = _effect(univariate, column)
        together = _effect(multivariable, column) if _has(multivariable, name) else None
        yield RegressionRow(
            **common,
            level=column.level,
            univariate=None if univariate is None else alone,
            multivariable=together,
            method="" if univariate is None else univariate.method,
        )


def _has(fitted: Fitted | None, name: str) -> bool:
    """Whether a covariate is in a model; in one without effects nobody can tell, so its status is shown."""
    return fitted is not None and (
        not fitted.effects or any(effect.variable == name for effect in fitted.effects)
    )


def _effect(fitted: Fitted | None, column: Column) -> Effect | None:
    if fitted is None:
        return None
    found = [one for one in fitted.effects if (one.variable, one.level) == (column.variable, column.level)]
    if not found:
        status = Status("undefined", "nobody has this level") if fitted.effects else _status(fitted)
        return Effect(odds_ratio=measure_of(None, None, fitted.method, status))
    return _of(found[0], fitted.method)


def _of(effect: FittedEffect, method: str) -> Effect:
    half = Z * effect.standard_error
    low, ratio, high = odds(effect.log_odds + np.array([-half, 0.0, half])).tolist()
    interval = Interval(low, high, f"Wald, {method}")
    return Effect(
        odds_ratio=measure_of(ratio, interval, method, Status("ok")),
        p_value=effect.p,
        p_likelihood_ratio=effect.p_likelihood_ratio,
        inflation=effect.inflation,
    )


def _status(fitted: Fitted) -> Status:
    return Status(fitted.status, fitted.reason)


def _standing(fitted: Fitted) -> Standing:
    return Standing(kind=fitted.status, reason=fitted.reason)
