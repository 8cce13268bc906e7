"""The binomial LASSO over sites: proximal Newton along a path of penalties, all folds of a round at once.

The coordinator broadcasts a `PathQuery`; every site answers with `local_path`; `advance_path` turns the sum
into the next query. There is a fit for each fold, trained without it, and one of all patients. Only features
in a model, or about to enter it, are asked for cross-products.

References
----------
Friedman J, Hastie T, Tibshirani R. J Stat Softw 2010;33(1), section 3. Tibshirani R et al. J R Stat Soc B
2012;74:245-266 (strong rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.stats.contract import Summary
from common.stats.coordinate_descent import descend
from common.stats.estimate import OK, Status, undefined
from common.stats.lasso import (
    PENALTIES,
    LassoResult,
    LassoRule,
    Scaling,
    choose_penalty,
    gram_status,
    name_method,
    penalty_path,
)
from common.stats.minima import STANDARD, Minima
from common.stats.newton import weigh
from common.types import Counts, Flags, Reals

MAXIMUM_ROUNDS_LASSO = 50
"""Most rounds at one penalty."""
_CONVERGED = 1e-13
"""Convergence: largest (squared change of a coefficient, times its information per patient)."""
_SLACK = 1e-13
"""Share by which rounding alone may raise a loss, or a gradient above its penalty."""
_CERTAIN = 1e-5
"""A held-out probability counts as no nearer to 0 or 1, as in glmnet."""


@dataclass(frozen=True)
class PathQuery:
    """What the coordinator broadcasts.

    Attributes
    ----------
    coefficients : float array, shape (folds + 1, p + 1)
        The intercept first, of standardised features; the last fit is that of all patients.
    working : int array, shape (folds + 1, w)
        Features whose cross-products are asked for; -1 beyond a fit's own.
    running : bool array, shape (folds + 1,)
        Which fits still ask for something.
    """

    coefficients: Reals
    working: Counts
    running: Flags


@dataclass(frozen=True)
class PathState:
    """Where the path stands; stays at the coordinator.

    Attributes
    ----------
    query : PathQuery
        The next question; nothing is running once the path ended, or `status` is not ok.
    classes : int array, shape (folds, 2)
        Patients of each fold by outcome.
    penalties : float array, shape (penalties,)
        Shares of the largest until the first answer tells that.
    fits : tuple of Fit
        One a fold, trained without it; the last is that of all patients.
    rounds : int
        Asked so far.
    status : Status
        Whether the path may be, and could be, followed.
    """

    query: PathQuery
    classes: Counts
    penalties: Reals
    fits: tuple[Fit, ...]
    rounds: int
    status: Status


@dataclass(frozen=True)
class Fit:
    """One training set on its way down the path.

    Attributes
    ----------
    n : int
        Its patients.
    accepted, step : float arrays, shape (p + 1,)
        The last coefficients that lowered the penalised loss, and the step tried from there.
    loss : float
        At `accepted`; infinite before the first answer at a penalty.
    working : int array, shape (w,)
        Features asked for cross-products.
    path : tuple of float arrays, shape (p + 1,)
        Solutions found so far.
    log_likelihoods : tuple of float
        Of the held-out fold at each solution.
    rounds : int
        Asked at this penalty.
    """

    n: int
    accepted: Reals
    step: Reals
    loss: float
    working: Counts
    path: tuple[Reals, ...] = ()
    log_likelihoods: tuple[float, ...] = ()
    rounds: int = 0


def start_path(
    classes: Counts,
    features: int,
    minima: Minima = STANDARD,
    penalties: int = PENALTIES,
    *,
    wide_gram_accepted: bool = False,
) -> PathState:
    """The first question: the gradient of every fit without any feature.

    Parameters
    ----------
    classes : int array, shape (folds, 2)
        Pooled; negatives first, see `lasso.fold_classes`.
    wide_gram_accepted : bool
        The plan's waiver, see `lasso.gram_status`.
    """
    status = gram_status(classes, 0, minima, wide_gram_accepted=wide_gram_accepted)
    nothing = np.zeros(features + 1)
    training = np.vstack([classes.sum(axis=0) - classes, classes.sum(axis=0)])
    fits = [
        Fit(int(n0 + n1), _fit_intercept(int(n0), int(n1), features), nothing, np.inf, np.arange(0))
        for n0, n1 in (training if status.ok else ())
    ]
    shares = penalty_path(1.0, penalties)
    return PathState(_build_query(fits, penalties, features), classes, shares, tuple(fits), 0, status)


def local_path(features: Reals, labels: Flags, folds: Counts, scale: Scaling, query: PathQuery) -> Summary:
    """Gradients, weighted cross-products and log-likelihoods of every running fit at one site.

    Parameters
    ----------
    features : float array, shape (n, p)
    labels : bool array, shape (n,)
    folds : int array, shape (n,)
        As `common.stats.folds.deal_folds` deals them.

    Returns
    -------
    Summary
        Reals "gradient" (fits, p + 1), "gram" (fits, w + 1, w + 1), both with the intercept first, and
        "log_likelihood" (fits, 2): of the training patients, of the held-out.
    """
    fits, width = len(query.running), query.working.shape[1] + 1
    rows = np.column_stack([np.ones(len(labels)), scale.standardise(features)])
    gradient, gram = np.zeros((fits, rows.shape[1])), np.zeros((fits, width, width))
    log_likelihood = np.zeros((fits, 2))
    patients = weigh(rows.T[np.newaxis], np.where(labels, 1.0, -1.0), query.coefficients)
    held_out = np.clip(patients.log_likelihood, np.log(_CERTAIN), np.log1p(-_CERTAIN))
    for fit in np.flatnonzero(query.running):
        training = folds != fit
        working = query.working[fit][query.working[fit] >= 0]
        x = rows[training][:, np.append(0, working + 1)]
        gradient[fit] = patients.residual[fit, training] @ rows[training]
        gram[fit, : working.size + 1, : working.size + 1] = (x.T * patients.weight[fit, training]) @ x
        log_likelihood[fit] = patients.log_likelihood[fit, training].sum(), held_out[fit, ~training].sum()
    return Summary(reals={"gradient": gradient, "gram": gram, "log_likelihood": log_likelihood})


def advance_path(
    state: PathState, answer: Summary, minima: Minima = STANDARD, *, wide_gram_accepted: bool = False
) -> PathState:
    """The next question: each fit a step further at its penalty, or on to the next.

    A fold with fewer than two patients a feature asked for ends the path, its status suppressed, unless the
    plan waives that.
    """
    gradient, gram = answer.reals["gradient"], answer.reals["gram"]
    penalties = state.penalties
    if state.rounds == 0:
        # A hair more, so that rounding selects nothing at the first.
        largest = float(np.abs(gradient[-1, 1:]).max()) / state.fits[-1].n
        penalties = penalties * largest * (1 + 1e-12)
        fits = [_enter_penalty(fit, row, penalties) for fit, row in zip(state.fits, gradient, strict=True)]
    else:
        fits = [
            _advance_fit(
                fit, _Answer(gradient[row], gram[row], *answer.reals["log_likelihood"][row]), penalties
            )
            if state.query.running[row]
            else fit
            for row, fit in enumerate(state.fits)
        ]
    widest = max(fit.working.size for fit in fits)
    status = gram_status(state.classes, widest, minima, wide_gram_accepted=wide_gram_accepted)
    if status.ok and max(fit.rounds for fit in fits) > MAXIMUM_ROUNDS_LASSO:
        status = undefined("no convergence at a penalty: features repeat each other")
    query = _build_query(fits if status.ok else (), penalties.size, gradient.shape[1] - 1)
    return PathState(query, state.classes, penalties, tuple(fits), state.rounds + 1, status)


def finish_path(
    state: PathState,
    rule: LassoRule = "lambda_min",
    minima: Minima = STANDARD,
    *,
    wide_gram_accepted: bool = False,
) -> LassoResult:
    """Features selected at the penalty of least held-out deviance, or within one standard error of it.

    Folds weigh by their patients, as in glmnet.

    Raises
    ------
    ValueError
        If the path has not ended.
    """
    if state.query.running.any():
        raise ValueError("the path has not ended: ask the sites first")
    sizes = state.classes.sum(axis=1)
    n, method = int(sizes.sum()), name_method("binomial", len(sizes), rule, wide_gram_accepted)
    if not state.status.ok:
        return LassoResult((), None, (), None, (), (), (), minima.show(n), 0, method, state.status)
    *fold_fits, full_fit = state.fits
    deviance = -2 * np.array([fit.log_likelihoods for fit in fold_fits]) / sizes[:, np.newaxis]
    mean = np.average(deviance, axis=0, weights=sizes)
    error = np.sqrt(np.average((deviance - mean) ** 2, axis=0, weights=sizes) / (len(sizes) - 1))
    chosen = choose_penalty(mean, error, rule)
    path = np.array(full_fit.path)
    intercept, beta = path[chosen, 0], path[chosen, 1:]
    selected = np.flatnonzero(beta)
    return LassoResult(
        coefficients=tuple(beta.tolist()),
        intercept=float(intercept),
        selected=tuple(selected.tolist()),
        penalty=float(state.penalties[chosen]),
        penalties=tuple(state.penalties.tolist()),
        losses=tuple(mean.tolist()),
        standard_errors=tuple(error.tolist()),
        n_used=n,
        n_missing=0,
        method=method,
        status=OK,
        active=tuple(np.count_nonzero(path[:, 1:], axis=1).tolist()),
        profiles=tuple(tuple(row) for row in path[:, 1 + selected].T.tolist()),
    )


@dataclass(frozen=True)
class _Answer:
    """The pooled answer about one fit."""

    gradient: Reals
    gram: Reals
    training: float
    held_out: float


def _fit_intercept(negatives: int, positives: int, features: int) -> Reals:
    """The coefficients without any feature."""
    return np.append(np.log(positives / negatives), np.zeros(features))


def _build_query(fits: Sequence[Fit], penalties: int, features: int) -> PathQuery:
    """The question that the fits put next; every fit runs until its last solution is evaluated."""
    widest = max((fit.working.size for fit in fits), default=0)
    return PathQuery(
        np.array([fit.accepted + fit.step for fit in fits]).reshape(-1, features + 1),
        np.array(
            [np.pad(fit.working, (0, widest - fit.working.size), constant_values=-1) for fit in fits],
            dtype=np.int64,
        ).reshape(len(fits), widest),
        np.array([len(fit.log_likelihoods) < penalties for fit in fits], dtype=np.bool_),
    )


def _advance_fit(fit: Fit, answer: _Answer, penalties: Reals) -> Fit:
    if len(fit.log_likelihoods) < len(fit.path):
        fit = replace(fit, log_likelihoods=(*fit.log_likelihoods, float(answer.held_out)))
    if len(fit.path) == penalties.size:
        return fit
    penalty, trial = float(penalties[len(fit.path)]), fit.accepted + fit.step
    loss = penalty * float(np.abs(trial[1:]).sum()) - float(answer.training) / fit.n
    if loss > fit.loss + _SLACK * max(1.0, abs(loss)):
        return replace(fit, step=fit.step / 2, rounds=fit.rounds + 1)
    step, squared_move = _newton_step(fit, trial, answer, penalty)
    pull = np.abs(answer.gradient[1:]) / fit.n
    violating = np.setdiff1d(np.flatnonzero(pull > penalty * (1 + _SLACK)), fit.working)
    if squared_move < _CONVERGED and not violating.size:
        solved = replace(fit, accepted=trial + step, path=(*fit.path, trial + step))
        return _enter_penalty(solved, answer.gradient, penalties)
    working = np.union1d(fit.working, violating)
    return replace(fit, accepted=trial, step=step, loss=loss, working=working, rounds=fit.rounds + 1)


def _enter_penalty(fit: Fit, gradient: Reals, penalties: Reals) -> Fit:
    """At the next penalty, with the features of the model and those that the strong rule does not exclude."""
    following = len(fit.path)
    if following == penalties.size:
        candidates = np.zeros(gradient.size - 1, dtype=np.bool_)
    else:
        expected = 2 * penalties[following] - penalties[max(following - 1, 0)]
        candidates = (np.abs(gradient[1:]) >= fit.n * expected) | (fit.accepted[1:] != 0)
    return replace(
        fit, step=np.zeros(gradient.size), loss=np.inf, working=np.flatnonzero(candidates), rounds=0
    )


def _newton_step(fit: Fit, trial: Reals, answer: _Answer, penalty: float) -> tuple[Reals, float]:
    """Minimise the penalised quadratic over the working features; the intercept is eliminated."""
    columns = np.append(0, fit.working + 1)
    gradient, gram = answer.gradient[columns] / fit.n, answer.gram[: columns.size, : columns.size] / fit.n
    cross, weight, beta = gram[0, 1:], gram[0, 0], trial[fit.working + 1]
    xx = gram[1:, 1:] - np.outer(cross, cross) / weight
    xy = xx @ beta + gradient[1:] - cross * gradient[0] / weight
    moved = descend(xx, xy, penalty, beta) - beta
    step = np.zeros(trial.size)
    step[columns] = np.append((gradient[0] - cross @ moved) / weight, moved)
    return step, float(np.max(np.diag(gram) * step[columns] ** 2))
