"""What predicts expansion, as lines of the paper's Table 2; and the study's logistic models, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from common.cards.fitted import covariates_of, fitted_of
from common.messages.headers import Effect, Fitted
from common.plan.design import Column, Design, covariate_label, covariate_unit, design_of, reference_of
from common.plan.models import INDEPENDENT, RADIOMICS
from common.plan.study import LogisticModel, StudyPlan
from common.stats.estimate import OK, Estimate, PValue, Status, Z, absent, undefined
from common.stats.glm import odds
from server.results.records import STAYED, Count, Record

if TYPE_CHECKING:
    from common.plan.matrix import Trainers
    from common.program.regressions import Screening
    from server.phases.fitting import FittedRegression


class Association(Record):
    """How one column of a logistic model is associated with expansion."""

    odds_ratio: Estimate
    """Per unit of the covariate, or against the reference level."""
    p_value: PValue | None = None
    """Wald's, of the penalised likelihood ratio if Firth's; None where there is no odds ratio."""
    p_likelihood_ratio: float | None = None
    """Of leaving the whole variable out."""
    inflation: float | None = None
    """Variance inflation factor, for a factor brought to one degree of freedom; multivariable models only."""
    largest_share: float | None = None
    """Of the covariate's variance, the share that one patient makes up at least; None for a yes/no covariate
    or a level, and where it was not recorded."""


class RegressionRow(Record):
    """One variable, or one level of it, as the paper's Table 2 prints it."""

    variable: str
    """Its column in the cohort table."""
    label: str
    """As the paper prints it."""
    unit: str = ""
    """Of a continuous variable."""
    level: str = ""
    """Of a factor of more than two levels."""
    reference: bool = False
    """Whether this is the level that the others are compared with: it has no effect."""
    used: Count | None = None
    """Patients of the univariate model."""
    missing: Count | None = None
    """Patients without a value."""
    univariate: Association | None = None
    """None in the line of a reference level."""
    multivariable: Association | None = None
    """None if the variable did not enter."""
    method: str = ""
    """Of the univariate model: "maximum likelihood", or "Firth" where it is separated."""


class RegressionTable(Record):
    """What predicts expansion in the training patients (the paper's Table 2)."""

    cohort_sites: tuple[str, ...]
    """Whose training patients."""
    rows: tuple[RegressionRow, ...]
    """In the plan's order."""
    entry_p: float
    """A variable with a univariate p below this entered the multivariable model."""
    entered: tuple[str, ...]
    """Variables of the multivariable model."""
    used: Count | None = None
    """Patients of the multivariable model."""
    missing: Count | None = None
    """Patients without a value of any of its variables."""
    method: str = ""
    """Of the multivariable model."""
    standing: Status = OK
    """Whether there is a multivariable model."""
    intercept: float | None = None
    """Of the multivariable model, in log odds."""
    log_likelihood: float | None = None
    """Of the multivariable model; penalised if it is Firth's."""


class FittedModel(Record):
    """One logistic model that the study trained."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose patients trained it."""
    rows: tuple[RegressionRow, ...]
    """Its effects, as `multivariable`."""
    intercept: float | None
    """In log odds; None if it was not fitted, or stays at its site."""
    used: Count | None
    """Patients who trained it."""
    missing: Count | None
    """Patients without a value of any of its covariates."""
    method: str
    """"maximum likelihood", or "Firth" where it is separated."""
    standing: Status = OK
    """Whether there is a model."""


_NOBODY_ENTERED = undefined("no variable had a p below the plan's")


def record_regression(plan: StudyPlan, screening: Screening) -> RegressionTable:
    """Table 2: each candidate alone, and those that entered together."""
    design = design_of(plan)
    univariate = {
        name: fitted_of(result, design)
        for name, result in zip(screening.candidates, screening.univariate, strict=True)
    }
    together = screening.multivariable
    multivariable = None if together is None else fitted_of(together, design)
    return RegressionTable(
        cohort_sites=screening.sites,
        rows=tuple(
            row
            for name in screening.candidates
            for row in _list_rows(design, name, univariate[name], multivariable)
        ),
        entry_p=plan.regression.entry_p,
        entered=screening.entered,
        used=None if multivariable is None else multivariable.used,
        missing=None if multivariable is None else multivariable.missing,
        method="" if multivariable is None else multivariable.method,
        standing=_NOBODY_ENTERED if multivariable is None else multivariable.standing,
        intercept=None if multivariable is None else multivariable.intercept,
        log_likelihood=None if multivariable is None else multivariable.log_likelihood,
    )


def record_fitted_model(
    plan: StudyPlan, regression: FittedRegression, trainers: Trainers | None = None
) -> FittedModel:
    """One logistic model of the plan in one arm; a site without patients to train it is none of its sites."""
    fitted, model, arm = regression.fitted, regression.model, regression.arm
    return FittedModel(
        model=model.name,
        arm=arm.name,
        kind="local" if arm.kind == "local" else "federated",
        sites=tuple(site for site in arm.sites if trainers is None or site in trainers.trained),
        rows=tuple(
            row
            for name in _covariate_names(model, fitted)
            for row in _list_rows(design_of(plan), name, None, fitted)
            if fitted is not None
        ),
        intercept=None if fitted is None else fitted.intercept,
        used=None if fitted is None else fitted.used,
        missing=None if fitted is None else fitted.missing,
        method="" if fitted is None else fitted.method,
        standing=STAYED if fitted is None and regression.standing.ok else regression.standing,
    )


def _covariate_names(model: LogisticModel, fitted: Fitted | None) -> tuple[str, ...]:
    """Those that were fitted; where none were, those that the plan names itself."""
    if fitted is not None and fitted.effects:
        return covariates_of(fitted)
    return tuple(name for name in model.covariates if name not in {INDEPENDENT, RADIOMICS})


def _list_rows(
    design: Design, name: str, univariate: Fitted | None, multivariable: Fitted | None
) -> Iterator[RegressionRow]:
    """One row a column; a categorical variable's reference level has a row without effect."""
    shared = {
        "variable": name,
        "label": covariate_label(name, design.brain_a, design.own),
        "unit": covariate_unit(name, design.own),
        "used": None if univariate is None else univariate.used,
        "missing": None if univariate is None else univariate.missing,
    }
    reference = reference_of(name, design.own)
    columns = [column for column in design.columns if column.variable == name]
    if reference and len(columns) > 1:
        yield RegressionRow(**shared, level=reference, reference=True)
    for column in columns:
        alone = _find_association(univariate, column)
        together = _find_association(multivariable, column) if _may_have(multivariable, name) else None
        yield RegressionRow(
            **shared,
            level=column.level,
            univariate=None if univariate is None else alone,
            multivariable=together,
            method="" if univariate is None else univariate.method,
        )


def _may_have(fitted: Fitted | None, name: str) -> bool:
    """Whether a covariate is in a model; in one without effects nobody can tell, so its status is shown."""
    return fitted is not None and (
        not fitted.effects or any(effect.variable == name for effect in fitted.effects)
    )


def _find_association(fitted: Fitted | None, column: Column) -> Association | None:
    if fitted is None:
        return None
    effects = [
        effect
        for effect in fitted.effects
        if (effect.variable, effect.level) == (column.variable, column.level)
    ]
    if not effects:
        status = undefined("nobody has this level" if fitted.effects else "not estimated")
        if not fitted.standing.ok:
            status = fitted.standing
        return Association(odds_ratio=absent(status, fitted.method))
    return _record_association(effects[0], fitted.method)


def _record_association(effect: Effect, method: str) -> Association:
    half = Z * effect.standard_error
    low, high, name = effect.low, effect.high, effect.interval
    if effect.interval == "Wald":
        low, high, name = effect.log_odds - half, effect.log_odds + half, f"Wald, {method}"
    return Association(
        odds_ratio=Estimate(_take_odds(effect.log_odds), _take_odds(low), _take_odds(high), name),
        p_value=effect.p,
        p_likelihood_ratio=effect.p_likelihood_ratio,
        inflation=effect.inflation,
        largest_share=effect.largest_share,
    )


def _take_odds(log_odds: float | None) -> float | None:
    return None if log_odds is None else float(odds(np.array(log_odds)))
