"""The curvature of a penalised likelihood, learned from how its score changes along the steps taken.

The information is known at each point; what the penalty adds is not. Both shrink together where probabilities
approach 0 and 1, so what is learned is kept as a ratio: the curvature is L R L', L L' being the information.

References
----------
Dennis JE, Gay DM, Welsch RE. An adaptive nonlinear least-squares algorithm. ACM Trans Math Softw
1981;7:348-368: a known part of the curvature, and a part that secants teach. The update is that of Broyden,
Fletcher, Goldfarb and Shanno: Nocedal J, Wright SJ. Numerical Optimization. 2nd ed. 2006, equation 6.19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.branches import find_below
from common.types import Flags, Reals

_LEAST, _MOST = 1e-3, 1e3
"""Times the expected curvature between which a step teaches; outside, the likelihood is not quadratic."""
_STEADY = 3.0
"""Times by which the information along a step may change for the step to teach what the penalty adds."""
_SINGULAR = 2.0**-48
"""Smallest over largest eigenvalue at which rounding leaves nothing of an inverse."""
_LOOSEST = 1e-11
"""Largest squared decrement that may count as 0: the coefficients are then within 3e-6 standard errors."""


@dataclass(frozen=True)
class Secant:
    """One step of each model, and what it did to the score.

    Attributes
    ----------
    step : float array, shape (models, d)
        How the coefficients changed; 0 where they are not free.
    fall : float array, shape (models, d)
        The score before the step minus that after it; 0 where a coefficient is not free.
    before : float array, shape (models, d, d)
        The information before the step.
    """

    step: Reals
    fall: Reals
    before: Reals


def keep_free(information: Reals, free: Flags) -> Reals:
    """The information, shape (models, d, d), with 1 on the diagonal alone where a coefficient is not free."""
    both = free[:, :, np.newaxis] & free[:, np.newaxis]
    return np.where(both, information, np.eye(free.shape[1]))


def find_singular(matrices: Reals) -> Flags:
    """Which symmetric matrices, shape (models, d, d), have no inverse worth the name."""
    # Where rounding leaves nothing of an inverse, two kernels differ by a good part of the eigenvalue
    return find_below(_find_spread(matrices), np.nextafter(_SINGULAR, 1.0), _SINGULAR / 4)


def find_rounding(matrices: Reals) -> tuple[Reals, Reals]:
    """What rounding leaves in the penalised log-likelihood and in the squared decrement, each (models,).

    Parameters
    ----------
    matrices : float array, shape (models, d, d)
        The information: its inverse enters the penalised score, its determinant the likelihood.
    """
    condition = 1 / np.maximum(_find_spread(matrices), _SINGULAR)
    relative = condition * np.finfo(np.float64).eps
    return relative, np.minimum(relative**2 * condition, _LOOSEST)


def _find_spread(matrices: Reals) -> Reals:
    """Smallest over largest eigenvalue, shape (models,); 0 where all are 0."""
    values = np.linalg.eigvalsh(matrices)
    return np.asarray(values[:, 0] / np.where(values[:, -1] > 0, values[:, -1], 1.0))


def start_ratios(models: int, width: int) -> Reals:
    """Curvature over information before any step, shape (models, d, d): as if they were equal."""
    return np.broadcast_to(np.eye(width), (models, width, width)).copy()


def bend_information(information: Reals, ratios: Reals) -> Reals:
    """The curvature, shape (models, d, d); the information must be positive definite."""
    root = np.linalg.cholesky(information)
    return np.asarray(root @ ratios @ root.transpose(0, 2, 1))


def learn_ratios(information: Reals, ratios: Reals, secant: Secant) -> Reals:
    """The ratios that explain how the score fell in the last step; positive definite, as they were.

    Parameters
    ----------
    information : float array, shape (models, d, d)
        After the step, of the free coefficients (`keep_free`), positive definite.
    ratios : float array, shape (models, d, d)
        Before the step.
    """
    along = secant.step[:, :, np.newaxis]
    # The score fell by the mean information times the step, and by what the penalty adds to it.
    fall_here = secant.fall[:, :, np.newaxis] + (information - secant.before) @ along / 2
    root = np.linalg.cholesky(information)
    step, fall = root.transpose(0, 2, 1) @ along, np.linalg.solve(root, fall_here)
    bent = ratios @ step
    met = np.sum(step * fall, axis=(1, 2))
    expected = np.sum(step * bent, axis=(1, 2))
    known, before = np.sum(step**2, axis=(1, 2)), np.sum(along * (secant.before @ along), axis=(1, 2))
    teaches = find_below(_LEAST * expected, met) & find_below(met, _MOST * expected)
    teaches &= find_below(known, _STEADY * before) & find_below(before, _STEADY * known)
    safe_met, safe_expected = np.where(teaches, met, 1.0), np.where(teaches, expected, 1.0)
    learned = (
        ratios
        + fall @ fall.transpose(0, 2, 1) / safe_met[:, np.newaxis, np.newaxis]
        - bent @ bent.transpose(0, 2, 1) / safe_expected[:, np.newaxis, np.newaxis]
    )
    return np.where(teaches[:, np.newaxis, np.newaxis], learned, ratios)
