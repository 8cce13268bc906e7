"""A fitted logistic model as it is stored, released and reported, and the risks that it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from common.messages.headers import Effect, Fitted
from common.plan.design import Design
from common.stats.estimate import Status
from common.stats.glm import Coefficient, LogisticResult
from common.stats.profile_limits import PROFILE
from common.types import Reals

NOTHING_TO_FIT = Fitted(
    method="not fitted", status="undefined", reason="no covariate was found independent or selected"
)
"""Result of a model whose placeholders stand for no covariate."""


def explain_no_fit(status: Status) -> Fitted:
    """The record of a model that was not fitted, with the reason."""
    return Fitted(method="not fitted", status=status.kind, reason=status.reason)


def fitted_of(result: LogisticResult, design: Design) -> Fitted:
    """The fitted model with its coefficients named by the design's columns."""
    inflation = {factor.term: factor.comparable for factor in result.inflation}
    effects = tuple(
        Effect(
            variable=design.columns[coefficient.column].variable,
            level=design.columns[coefficient.column].level,
            log_odds=coefficient.log_odds,
            standard_error=coefficient.standard_error,
            p=coefficient.p,
            p_likelihood_ratio=coefficient.p_likelihood_ratio,
            inflation=inflation.get(coefficient.term),
            interval=coefficient.interval.method,
            **_list_limits(coefficient),
            # No digits from which a single value could be told more closely than "extreme" does
            largest_share=None if coefficient.largest_share is None else round(coefficient.largest_share, 2),
        )
        for coefficient in result.coefficients
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


def _list_limits(coefficient: Coefficient) -> dict[str, float | None]:
    """The limits of an interval that does not follow from the standard error, None for one not found."""
    if coefficient.interval.method != PROFILE:
        return {}
    low, high = (None if np.isnan(limit) else limit for limit in coefficient.limits)
    return {"low": low, "high": high}


def coefficients_of(fitted: Fitted, design: Design) -> Reals:
    """The intercept, then one coefficient for each column of the design, NaN where the model has none.

    Raises
    ------
    ValueError
        If the model could not be fitted.
    """
    if fitted.intercept is None:
        raise ValueError(f"no coefficients: {fitted.reason}")
    by_column = {(effect.variable, effect.level): effect.log_odds for effect in fitted.effects}
    by_design = [by_column.get((column.variable, column.level), np.nan) for column in design.columns]
    return np.array([fitted.intercept, *by_design])


def predict_risks(coefficients: Reals, matrix: Reals, columns: Sequence[int]) -> Reals:
    """Predicted risks, shape (n,): the logistic function of `predict_log_odds`."""
    return np.asarray(expit(predict_log_odds(coefficients, matrix, columns)))


def predict_log_odds(coefficients: Reals, matrix: Reals, columns: Sequence[int]) -> Reals:
    """Predicted log odds, shape (n,).

    NaN for a patient without one of the covariates, or with a level that no training patient had: such a
    patient does not count as one of the reference level.

    Parameters
    ----------
    coefficients : float array, shape (1 + design columns,)
        As `coefficients_of` gives them.
    matrix : float array, shape (n, design columns)
        NaN where missing.
    columns : sequence of int
        The model's columns in the design.
    """
    values, effects = matrix[:, list(columns)], coefficients[1:][list(columns)]
    known = ~np.isnan(effects)
    log_odds = coefficients[0] + values[:, known] @ effects[known]
    return np.where((values[:, ~known] != 0).any(axis=1), np.nan, log_odds)


def covariates_of(fitted: Fitted) -> tuple[str, ...]:
    """The covariates of a fitted model, each once."""
    return tuple(dict.fromkeys(effect.variable for effect in fitted.effects))
