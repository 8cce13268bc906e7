"""Confidence intervals of a proportion."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from common.stats.estimate import LEVEL, Interval, Z
from common.types import Counts, Reals

ProportionInterval: TypeAlias = Literal["wilson", "clopper-pearson"]


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of successes / trials.

    Raises
    ------
    ValueError
        If not 0 <= successes <= trials, or there are no trials.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209-212.
    """
    _check(successes, trials)
    low, high = wilson_limits(np.array([successes]), trials)
    return Interval(float(low[0]), float(high[0]), "wilson")


def wilson_limits(successes: Counts, trials: int) -> tuple[Reals, Reals]:
    """The lower and upper limits of Wilson's interval for many proportions with one denominator, shape (k,).

    Parameters
    ----------
    successes : int array, shape (k,)
        Each in 0 ... trials; trials > 0.
    """
    p = successes / trials
    centre = p + Z**2 / (2 * trials)
    half = Z * np.sqrt(p * (1 - p) / trials + (Z / (2 * trials)) ** 2)
    scale = 1 + Z**2 / trials
    low = np.where(successes == 0, 0.0, (centre - half) / scale)
    high = np.where(successes == trials, 1.0, (centre + half) / scale)
    return low, high


def clopper_pearson(successes: float, trials: int) -> Interval:
    """The exact interval; `successes` need not be an integer, because the Beta quantiles exist anyway.

    Raises
    ------
    ValueError
        If not 0 <= successes <= trials, or there are no trials.

    References
    ----------
    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413.
    """
    from scipy import stats

    _check(successes, trials)
    tail = (1 - LEVEL) / 2
    low = 0.0 if successes <= 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes >= trials else float(stats.beta.isf(tail, successes + 1, trials - successes))
    return Interval(low, high, "clopper-pearson")


def proportion_interval(method: ProportionInterval, successes: int, trials: int) -> Interval:
    """The interval of successes / trials by the named method.

    Raises
    ------
    ValueError
        If not 0 <= successes <= trials, or there are no trials.
    """
    return wilson(successes, trials) if method == "wilson" else clopper_pearson(successes, trials)


def _check(successes: float, trials: int) -> None:
    if not (0 <= successes <= trials and trials > 0):
        raise ValueError(f"{successes} successes of {trials} trials are no proportion")
