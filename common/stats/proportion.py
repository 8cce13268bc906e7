"""Confidence intervals of a proportion."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from scipy import stats
from scipy.special import ndtri

from common.stats.estimate import LEVEL, Interval
from common.types import Counts, Reals

ProportionInterval: TypeAlias = Literal["wilson", "clopper-pearson"]


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The score interval.

    Raises
    ------
    ValueError
        If not 0 <= successes <= trials, or there are no trials.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209-212.
    """
    _check(successes, trials)
    low, high = wilson_limits(np.array([successes]), trials, level)
    return Interval(float(low[0]), float(high[0]), "wilson", level)


def wilson_limits(successes: Counts, trials: int, level: float = LEVEL) -> tuple[Reals, Reals]:
    """The limits of many score intervals of proportions with one denominator, each as `wilson` has them.

    Parameters
    ----------
    successes : int array, shape (k,)
        Each in 0 ... trials; trials > 0.
    """
    z = float(ndtri((1 + level) / 2))
    p = successes / trials
    centre = p + z**2 / (2 * trials)
    half = z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z**2 / trials
    low = np.where(successes == 0, 0.0, (centre - half) / scale)
    high = np.where(successes == trials, 1.0, (centre + half) / scale)
    return low, high


def clopper_pearson(successes: float, trials: int, level: float = LEVEL) -> Interval:
    """The exact interval; `successes` need not be an integer, the Beta quantiles exist all the same.

    Raises
    ------
    ValueError
        If not 0 <= successes <= trials, or there are no trials.

    References
    ----------
    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413.
    """
    _check(successes, trials)
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes >= trials else float(stats.beta.isf(tail, successes + 1, trials - successes))
    return Interval(low, high, "clopper-pearson", level)


def proportion_interval(method: ProportionInterval, successes: int, trials: int) -> Interval:
    """The interval of the named kind."""
    return wilson(successes, trials) if method == "wilson" else clopper_pearson(successes, trials)


def _check(successes: float, trials: int) -> None:
    if not (0 <= successes <= trials and trials > 0):
        raise ValueError(f"{successes} successes of {trials} trials are no proportion")
