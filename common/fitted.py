"""A fitted logistic model as it is kept, released and reported, and the risks that it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from common.design import Design
from common.headers import Effect, Fitted
from common.stats.glm import LogisticResult
from common.types import Reals

NOTHING_TO_FIT = Fitted(
    method="not fitted", status="undefined", reason="no covariate was found independent or selected"
)
"""Of a model whose placeholders stand for nothing."""


def fitted_of(result: LogisticResult, design: Design) -> Fitted:
    """The model in the words of the design."""
    inflation = {factor.term: factor.comparable for factor in result.inflation}
    effects = tuple(
        Effect(
            variable=design.columns[found.column].variable,
            level=design.columns[found.column].level,
            log_odds=found.log_odds,
            standard_error=found.standard_error,
            p=found.p,
            p_likelihood_ratio=found.p_likelihood_ratio,
            inflation=inflation.get(found.term),
        )
        for found in result.coefficients
    )
    return Fitted(
        effects=effects,
        intercept=result.intercept,
        log_likelihood=result.log_likelihood,
        used=result.n_used,
        missing=result.n_missing,
        method=result.method,
        status=result.status.kind,
        reason=result.status.reason,
    )


def coefficients_of(fitted: Fitted, design: Design) -> Reals:
    """Intercept, then one coefficient a column of the design, NaN where the model has none.

    Raises
    ------
    ValueError
        If there is no model.
    """
    if fitted.intercept is None:
        raise ValueError(f"no coefficients: {fitted.reason}")
    by_column = {(effect.variable, effect.level): effect.log_odds for effect in fitted.effects}
    own = [by_column.get((column.variable, column.level), np.nan) for column in design.columns]
    return np.array([fitted.intercept, *own])


def predict(coefficients: Reals, matrix: Reals, columns: Sequence[int]) -> Reals:
    """Predicted risks, shape (n,).

    NaN for a patient without one of the covariates, or with a level that no training patient had: such a
    patient is not taken for one of the reference level.

    Parameters
    ----------
    coefficients : float array, shape (1 + design columns,)
        As `coefficients_of` gives them.
    matrix : float array, shape (n, design columns)
        NaN where missing.
    columns : sequence of int
        Those of the model.
    """
    own, effects = matrix[:, list(columns)], coefficients[1:][list(columns)]
    known = ~np.isnan(effects)
    risks = expit(coefficients[0] + own[:, known] @ effects[known])
    return np.where((own[:, ~known] != 0).any(axis=1), np.nan, risks)


def covariates_of(fitted: Fitted) -> tuple[str, ...]:
    """The covariates of a model that was fitted, each once."""
    return tuple(dict.fromkeys(effect.variable for effect in fitted.effects))
