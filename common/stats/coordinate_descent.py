"""Coordinate descent: the minimum of 1/2 b'Ab - c'b + penalty |b|, what each step of a LASSO comes to.

References
----------
Friedman J, Hastie T, Tibshirani R. J Stat Softw 2010;33(1), section 2. Lee H et al. NIPS 2006:801-808,
algorithm 1 (feature-sign search).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve

from common.errors import NonFiniteError
from common.types import Counts, Reals

_CONSTANT = 1e-12
"""A variance up to this is none: the coefficient stays as it begins."""
_SINGULAR = 1e-12
"""Share of the greatest curvature below which a direction has none."""
_REPEATING = 1e-8
"""Share of the greatest variance that must be left of a feature once those before it are known."""
_FLAT = 1e-9
"""Share of the penalty below which nothing is left along such directions."""
_TOLERANCE = 1e-22
"""Of the squared move of a coefficient."""
_SWEEPS = 10_000


def descend(xx: Reals, xy: Reals, penalty: float, start: Reals) -> Reals:
    """The coefficients of least penalised loss.

    A sweep of coordinate descent finds which are not 0; for those the minimum is then solved for outright,
    which spares the many sweeps that features alike would take.

    Parameters
    ----------
    xx : float array, shape (p, p)
        A: symmetric, positive semi-definite.
    xy : float array, shape (p,)
        c.
    start : float array, shape (p,)

    Raises
    ------
    NonFiniteError
        If it does not come to rest.
    """
    beta = start.copy()
    usable = np.flatnonzero(np.diag(xx) > _CONSTANT)
    for _ in range(_SWEEPS):
        active = np.flatnonzero(beta)
        if _sweep(xx, penalty, (beta, xy - beta[active] @ xx[active]), usable) < _TOLERANCE:
            return beta
        while not _towards_minimum(xx, xy, penalty, beta):
            pass
    raise NonFiniteError("the LASSO did not converge -> drop features that repeat each other")


def _towards_minimum(xx: Reals, xy: Reals, penalty: float, beta: Reals) -> bool:
    """Moves what is not 0 to its minimum, or as far as the first that becomes 0; whether it got there."""
    active = np.flatnonzero(beta)
    signs = np.sign(beta[active])
    curvature, pull = xx[np.ix_(active, active)], xy[active] - penalty * signs
    target = _solved(curvature, pull)
    direction = target - beta[active]
    # Features that repeat each other trade without curvature: along what is left, down to the first 0.
    left = pull - curvature @ target
    flat = bool(np.abs(left).max(initial=0.0) > _FLAT * penalty)
    if flat:
        direction = left
    falling = direction * signs < 0
    share = np.full(active.size, np.inf)
    share[falling] = -beta[active][falling] / direction[falling]
    first = float(share.min(initial=np.inf))
    if first > 1 and not flat:
        beta[active] = target
        return True
    beta[active] = np.where(share <= first, 0.0, beta[active] + first * direction)
    return False


def _solved(curvature: Reals, pull: Reals) -> Reals:
    """The solution: by Cholesky, or by singular values, far slower, where a feature nearly repeats others."""
    try:
        factor = np.linalg.cholesky(curvature)
    except np.linalg.LinAlgError:
        factor = np.zeros_like(curvature)
    left = np.diag(factor).min(initial=np.inf) ** 2
    if left < _REPEATING * np.diag(curvature).max(initial=0.0):
        return np.asarray(np.linalg.lstsq(curvature, pull, rcond=_SINGULAR)[0])
    return np.asarray(cho_solve((factor, True), pull, check_finite=False))


def _sweep(xx: Reals, penalty: float, state: tuple[Reals, Reals], columns: Counts) -> float:
    """The largest squared move of a coefficient in one pass over those that begin it off their minimum.

    The others are left out, because most of many features stay at 0; a later pass finds whom this one woke.
    """
    beta, gradient = state
    scales = np.diag(xx)
    awake = (beta != 0) | (np.abs(gradient + scales * beta) > penalty)
    largest = 0.0
    for j in columns[awake[columns]]:
        scale = scales[j]
        pull = gradient[j] + scale * beta[j]
        new = np.sign(pull) * max(abs(pull) - penalty, 0.0) / scale
        move = new - beta[j]
        if move != 0:
            gradient -= xx[j] * move
            beta[j] = new
            largest = max(largest, float(scale * move**2))
    return largest
