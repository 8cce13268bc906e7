"""Coordinate descent: the minimum of 1/2 b'Ab - c'b + penalty |b|, which every step of a LASSO needs.

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
"""A feature whose variance is not above this is constant: its coefficient stays as it begins."""
_SINGULAR = 1e-12
"""A direction whose curvature is below this share of the greatest one has no curvature."""
_REPEATING = 1e-8
"""A feature repeats those before it if its variance, given them, is below this share of the greatest."""
_FLAT = 1e-9
"""A gradient below this share of the penalty counts as 0 along directions without curvature."""
_ROUNDING = 16 * np.finfo(np.float64).eps
"""Share of the terms of a gradient up to which their sum may be rounding alone."""
_TOLERANCE = 1e-22
"""Converged once no coefficient's squared move in a sweep, times its variance, reaches this."""
_SWEEPS = 10_000
"""Sweeps after which the descent gives up."""


def descend(xx: Reals, xy: Reals, penalty: float, start: Reals) -> Reals:
    """The coefficients with the least penalised loss, shape (p,).

    A sweep of coordinate descent finds which coefficients are not 0; their minimum is then solved for
    directly, which saves the many sweeps that similar features would need.

    Parameters
    ----------
    xx : float array, shape (p, p)
        A: symmetric, positive semi-definite.
    xy : float array, shape (p,)
        c.
    penalty : float
        Weight of the sum of the absolute coefficients; not negative.
    start : float array, shape (p,)
        Coefficients to begin with.

    Raises
    ------
    NonFiniteError
        If it does not converge.
    """
    beta = start.copy()
    usable = np.flatnonzero(np.diag(xx) > _CONSTANT)
    for _ in range(_SWEEPS):
        active = np.flatnonzero(beta)
        if _sweep(xx, penalty, (beta, xy - beta[active] @ xx[active]), usable) < _TOLERANCE:
            return beta
        while not _move_towards_minimum(xx, xy, penalty, beta):
            pass
    raise NonFiniteError("the LASSO did not converge -> drop features that repeat each other")


def _move_towards_minimum(xx: Reals, xy: Reals, penalty: float, beta: Reals) -> bool:
    """Whether the minimum of the nonzero coefficients was reached before one of them became 0.

    `beta` is changed in place: moved to that minimum, or as far as the first coefficient that becomes 0.
    """
    active = np.flatnonzero(beta)
    signs = np.sign(beta[active])
    curvature, pull = xx[np.ix_(active, active)], xy[active] - penalty * signs
    target = _solve(curvature, pull)
    direction = target - beta[active]
    # Features that repeat each other leave directions without curvature: follow the remaining gradient along
    # them until a coefficient becomes 0.
    gradient = pull - curvature @ target
    rounding = _ROUNDING * (np.abs(curvature) @ np.abs(target)).max(initial=0.0)
    flat = bool(np.abs(gradient).max(initial=0.0) > _FLAT * penalty + rounding)
    if flat:
        direction = gradient
    falling = direction * signs < 0
    share = np.full(active.size, np.inf)
    share[falling] = -beta[active][falling] / direction[falling]
    first = float(share.min(initial=np.inf))
    if first > 1 and not flat:
        beta[active] = target
        return True
    beta[active] = np.where(share <= first, 0.0, beta[active] + first * direction)
    return False


def _solve(curvature: Reals, pull: Reals) -> Reals:
    """The x of curvature @ x = pull: by Cholesky, or by the slower singular values if features repeat."""
    try:
        factor = np.linalg.cholesky(curvature)
    except np.linalg.LinAlgError:
        factor = np.zeros_like(curvature)
    smallest_pivot = np.diag(factor).min(initial=np.inf) ** 2
    if smallest_pivot < _REPEATING * np.diag(curvature).max(initial=0.0):
        return np.asarray(np.linalg.lstsq(curvature, pull, rcond=_SINGULAR)[0])
    return np.asarray(cho_solve((factor, True), pull, check_finite=False))


def _sweep(xx: Reals, penalty: float, state: tuple[Reals, Reals], columns: Counts) -> float:
    """The largest squared move, times its variance, in one pass over the coefficients off their minimum.

    The other coefficients are skipped, because most features stay at 0; if this pass moves the minimum of a
    skipped one, a later pass finds it. `state` is (coefficients, gradient), both changed in place.
    """
    beta, gradient = state
    scales = np.diag(xx)
    off_minimum = (beta != 0) | (np.abs(gradient + scales * beta) > penalty)
    largest = 0.0
    for j in columns[off_minimum[columns]]:
        scale = scales[j]
        pull = gradient[j] + scale * beta[j]
        new = np.sign(pull) * max(abs(pull) - penalty, 0.0) / scale
        move = new - beta[j]
        if move != 0:
            gradient -= xx[j] * move
            beta[j] = new
            largest = max(largest, float(scale * move**2))
    return largest
