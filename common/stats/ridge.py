"""Ridge-penalised logistic regressions over sites by Newton's method, many at once.

The coordinator maximises log-likelihood - penalty / 2 |b|^2 without penalising the intercept; sites send the
sums of `common.stats.newton` and never learn the penalty. For any penalty above 0 the maximum is finite and
unique, even with separation and with more features than patients. Therefore the rule n >= 5 (p + 1), which
guards an unpenalised estimate, does not apply; cross-validation guards against overfitting. Against
disclosure, every fold needs two patients per feature instead (`common.stats.lasso.gram_status`). The smaller
class needs the minimum of any model.

References
----------
Hoerl AE, Kennard RW. Technometrics 1970;12:55-67. le Cessie S, van Houwelingen JC. Appl Stat 1992;41:191-201.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.contract import Summary
from common.stats.newton import CONVERGED, weigh
from common.stats.symmetric import pack_symmetric, unpack_symmetric
from common.types import Flags, Reals

MAXIMUM_ROUNDS_RIDGE = 60
"""Rounds after which the iteration is given up."""
_SLACK = 1e-13
"""Share by which rounding alone may lower a penalised log-likelihood."""


@dataclass(frozen=True)
class RidgeState:
    """The state of the iteration; it stays at the coordinator.

    Attributes
    ----------
    penalties : float array, shape (models,)
        Each above 0.
    trial : float array, shape (models, d)
        Coefficients to ask for next, the intercept first.
    active : bool array, shape (models,)
        Models that have not ended yet.
    accepted, step : float arrays, shape (models, d)
        The last coefficients that raised the value, and the step tried from them.
    value : float array, shape (models,)
        Penalised log-likelihood at `accepted`.
    converged : bool array, shape (models,)
        Models that reached their maximum.
    rounds : int
        Rounds asked so far.
    """

    penalties: Reals
    trial: Reals
    active: Flags
    accepted: Reals
    step: Reals
    value: Reals
    converged: Flags
    rounds: int


def start_ridge(penalties: Reals, features: int) -> RidgeState:
    """The first state: all coefficients 0.

    Parameters
    ----------
    penalties : float array, shape (models,)
    features : int
        Coefficients of each model without the intercept.

    Raises
    ------
    ValueError
        If a penalty is not above 0, because then the maximum might not exist.
    """
    if not (penalties > 0).all():
        raise ValueError(f"a ridge penalty of {penalties.min()} is not above 0")
    zeros, none_converged = np.zeros((penalties.size, features + 1)), np.zeros(penalties.size, dtype=np.bool_)
    return RidgeState(
        penalties, zeros, ~none_converged, zeros, zeros, np.full(penalties.size, -np.inf), none_converged, 0
    )


def local_ridge(features: Reals, labels: Flags, trains: Flags, coefficients: Reals) -> Summary:
    """One site's score, information and log-likelihood of several models on the same features.

    Parameters
    ----------
    features : float array, shape (n, d - 1)
    labels : bool array, shape (n,)
    trains : bool array, shape (models, n)
        Which patients train each model.
    coefficients : float array, shape (models, d)

    Returns
    -------
    Summary
        Reals "score" (models, d), "information" (models, d (d + 1) / 2), the upper triangles, and
        "log_likelihood" (models,).
    """
    x, sign = _add_intercept(features), np.where(labels, 1.0, -1.0)
    patients = weigh(x[np.newaxis], sign, coefficients)
    weight = patients.weight * trains
    return Summary(
        reals={
            "score": (patients.residual * trains) @ x.T,
            # One model after the other: all at once would need models x d x patients numbers of memory.
            "information": np.array([pack_symmetric((x * model_weight) @ x.T) for model_weight in weight]),
            "log_likelihood": np.sum(patients.log_likelihood * trains, axis=1),
        }
    )


def local_held_out(features: Reals, labels: Flags, held_out: Flags, coefficients: Reals) -> Summary:
    """One site's log-likelihood of several models' held-out patients: reals "log_likelihood" (models,).

    The parameters are those of `local_ridge`; `held_out` says which patients are evaluated in each model.
    """
    patients = weigh(_add_intercept(features)[np.newaxis], np.where(labels, 1.0, -1.0), coefficients)
    return Summary(reals={"log_likelihood": np.sum(patients.log_likelihood * held_out, axis=1)})


def advance_ridge(state: RidgeState, answer: Summary) -> RidgeState:
    """The next state: per model a step, half a step if the penalised likelihood fell, or none if ended.

    Parameters
    ----------
    answer : Summary
        The sum of `local_ridge` of the active models alone, in their order.
    """
    asked = np.flatnonzero(state.active)
    value, score, information = _penalise(answer, state.trial[asked], state.penalties[asked])
    rose = value >= state.value[asked] - _SLACK * np.maximum(1.0, np.abs(value))
    raised, fell = asked[rose], asked[~rose]
    newton = np.linalg.solve(information[rose], score[rose][:, :, np.newaxis])[:, :, 0]
    accepted, step, best = state.accepted.copy(), state.step.copy(), state.value.copy()
    accepted[raised], step[raised], best[raised] = state.trial[raised], newton, value[rose]
    step[fell] /= 2
    converged = state.converged.copy()
    converged[raised] = np.sum(score[rose] * newton, axis=1) < CONVERGED
    moving = state.active & ~converged
    return RidgeState(
        penalties=state.penalties,
        trial=np.where(moving[:, np.newaxis], accepted + step, accepted),
        active=moving & (state.rounds + 1 < MAXIMUM_ROUNDS_RIDGE),
        accepted=accepted,
        step=step,
        value=best,
        converged=converged,
        rounds=state.rounds + 1,
    )


def _penalise(answer: Summary, coefficients: Reals, penalties: Reals) -> tuple[Reals, Reals, Reals]:
    """Log-likelihood, score and information, all penalised; the intercept is not."""
    ridge = np.repeat(penalties[:, np.newaxis], coefficients.shape[1], axis=1)
    ridge[:, 0] = 0
    return (
        answer.reals["log_likelihood"] - np.sum(ridge * coefficients**2, axis=1) / 2,
        answer.reals["score"] - ridge * coefficients,
        unpack_symmetric(answer.reals["information"]) + ridge[:, np.newaxis] * np.eye(ridge.shape[1]),
    )


def _add_intercept(features: Reals) -> Reals:
    """The transposed features below a row of ones for the intercept, shape (d, n)."""
    return np.concatenate([np.ones((1, len(features))), features.T])
