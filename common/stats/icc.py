"""Agreement of readers on numbers: the six intraclass correlations, for many features at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from common.errors import NonFiniteError
from common.stats.contract import Summary
from common.stats.estimate import LEVEL, Estimate, Interval, absent, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.types import Reals

IccForm: TypeAlias = Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance of one feature.

    Attributes
    ----------
    n, k : int
        Subjects and raters.
    between, within, raters, error : float
        MSB (subjects), MSW, MSJ and MSE in the letters of Shrout and Fleiss.
    """

    n: int
    k: int
    between: float
    within: float
    raters: float
    error: float


@dataclass(frozen=True)
class Location:
    """Public constants by which all sites shift and scale each feature; no ICC depends on them.

    Attributes
    ----------
    centre : float array, shape (features,)
        Near the means: features of 10^9 that differ by 1 would else lose all digits in their squares.
    scale : float array, shape (features,)
        Powers of two near the mean magnitudes, so that no bit changes.
    """

    centre: Reals
    scale: Reals

    def applied(self, ratings: Reals) -> Reals:
        """The ratings, shape (features, n, raters), of the order of 1."""
        shifted: Reals = ratings - self.centre[:, np.newaxis, np.newaxis]
        return shifted / self.scale[:, np.newaxis, np.newaxis]


def local_location(ratings: Reals) -> Summary:
    """The round before: what the means of all ratings are made of.

    Parameters
    ----------
    ratings : float array, shape (features, n, raters)
        NaN where missing.

    Returns
    -------
    Summary
        Counts "n" (features,), of ratings; reals "sums" (2, features): of them and of their magnitudes.

    Raises
    ------
    NonFiniteError
        If a rating is infinite.
    """
    x = _finite(ratings)
    sums = np.stack([np.nansum(x, axis=(1, 2)), np.nansum(np.abs(x), axis=(1, 2))])
    return Summary({"n": np.count_nonzero(~np.isnan(x), axis=(1, 2))}, {"sums": sums})


def location_of(summary: Summary) -> Location:
    """Centres and scales from the sum over sites; 0 and 1 where nobody rated."""
    n = np.maximum(summary.counts["n"], 1)
    mean, magnitude = summary.reals["sums"] / n
    _, exponent = np.frexp(magnitude)
    return Location(mean, np.where(magnitude > 0, np.ldexp(1.0, exponent), 1.0))


def local_icc(ratings: Reals, centre: Reals) -> Summary:
    """Sums of every feature; a subject with a rating missing is left out of that feature.

    Parameters
    ----------
    ratings : float array, shape (features, n, raters)
        NaN where missing.
    centre : float array, shape (features,)
        Public constants near the means.

    Returns
    -------
    Summary
        Counts "n" and "missing" (features,); reals "columns" (features, raters), "squares" and "rows"
        (features,): sums over subjects of x, of x squared, and of squared row sums.

    Raises
    ------
    NonFiniteError
        If a rating is infinite.
    """
    complete = np.asarray(~np.isnan(_finite(ratings)).any(axis=2))
    x = np.where(complete[:, :, np.newaxis], ratings - centre[:, np.newaxis, np.newaxis], 0.0)
    return Summary(
        counts={"n": complete.sum(axis=1), "missing": (~complete).sum(axis=1)},
        reals={
            "columns": x.sum(axis=1),
            "squares": (x**2).sum(axis=(1, 2)),
            "rows": (x.sum(axis=2) ** 2).sum(axis=1),
        },
    )


def _finite(ratings: Reals) -> Reals:
    if np.isinf(ratings).any():
        raise NonFiniteError("a rating is infinite -> extract the features again")
    return ratings


def mean_squares(summary: Summary, feature: int) -> MeanSquares:
    """The analysis of variance of one feature with at least two subjects and two raters."""
    n = int(summary.counts["n"][feature])
    columns = summary.reals["columns"][feature]
    k = columns.size
    squares, rows = float(summary.reals["squares"][feature]), float(summary.reals["rows"][feature])
    correction = float(columns.sum()) ** 2 / (n * k)
    whole = squares - correction
    # A sum of squares that rounding alone explains is none.
    floor = 2.0**-40 * squares
    between = _above(rows / k - correction, floor)
    raters = _above(float(columns @ columns) / n - correction, floor)
    within = _above(whole - between, floor)
    error = _above(whole - between - raters, floor)
    return MeanSquares(
        n,
        k,
        between / (n - 1),
        within / (n * (k - 1)),
        raters / (k - 1),
        error / ((n - 1) * (k - 1)),
    )


def finish_icc(
    summary: Summary, form: IccForm, minima: Minima = STANDARD, *, same_raters: bool = True
) -> tuple[Estimate, ...]:
    """One intraclass correlation a feature.

    Parameters
    ----------
    same_raters : bool
        Whether the raters are the same persons at all sites; if not, only ICC(1) may be pooled.

    Raises
    ------
    ValueError
        If another form than ICC(1) is asked for while raters differ.

    References
    ----------
    Shrout PE, Fleiss JL. Psychol Bull 1979;86:420-428. McGraw KO, Wong SP. Psychol Methods 1996;1:30-46.
    """
    if not same_raters and not form.startswith("ICC(1"):
        raise ValueError(f"{form} needs the same raters at all sites -> use ICC(1) or report sites apart")
    return tuple(_finish(summary, feature, form, minima) for feature in range(summary.counts["n"].size))


def _finish(summary: Summary, feature: int, form: IccForm, minima: Minima) -> Estimate:
    n = int(summary.counts["n"][feature])
    missing = minima.shown(int(summary.counts["missing"][feature]))
    used = None if missing is None else minima.shown(n)
    if n < minima.subjects:
        return absent(suppressed(f"fewer than {minima.subjects} subjects"), form, used, missing)
    if n < 2 or summary.reals["columns"].shape[1] < 2:
        return absent(undefined("fewer than two subjects or raters"), form, used, missing)
    ms = mean_squares(summary, feature)
    if ms.between == ms.within == 0:
        return absent(undefined("all ratings are equal"), form, used, missing)
    if (ms.within if form.startswith("ICC(1") else ms.error) == 0 and ms.between > 0:
        exact = not form.startswith("ICC(2") or ms.raters == 0
        value = 1.0 if exact else _single(ms, form)
        return Estimate(_averaged(value, ms.k, form), None, used, missing, form)
    if ms.between == 0:
        return absent(undefined("the subjects do not differ"), form, used, missing)
    low, high = _limits(ms, form)
    interval = Interval(_averaged(low, ms.k, form), _averaged(high, ms.k, form), "F")
    return Estimate(_averaged(_single(ms, form), ms.k, form), interval, used, missing, form)


def _above(value: float, floor: float) -> float:
    return value if value > floor else 0.0


def _averaged(single: float, k: int, form: IccForm) -> float:
    """Of the mean of k raters (Spearman and Brown), if the form asks for it."""
    return k * single / (1 + (k - 1) * single) if form.endswith("k)") else single


def _single(ms: MeanSquares, form: IccForm) -> float:
    if form.startswith("ICC(1"):
        return (ms.between - ms.within) / (ms.between + (ms.k - 1) * ms.within)
    if form.startswith("ICC(3"):
        return (ms.between - ms.error) / (ms.between + (ms.k - 1) * ms.error)
    return (ms.between - ms.error) / (
        ms.between + (ms.k - 1) * ms.error + ms.k * (ms.raters - ms.error) / ms.n
    )


def _limits(ms: MeanSquares, form: IccForm) -> tuple[float, float]:
    """Of a single rater."""
    tail = (1 - LEVEL) / 2
    n, k = ms.n, ms.k
    if form.startswith("ICC(2"):
        return _limits_of_two_way_random(ms, tail)
    noise, freedom = (ms.within, n * (k - 1)) if form.startswith("ICC(1") else (ms.error, (n - 1) * (k - 1))
    ratio = ms.between / noise
    low = ratio / float(stats.f.isf(tail, n - 1, freedom))
    high = ratio * float(stats.f.isf(tail, freedom, n - 1))
    return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _limits_of_two_way_random(ms: MeanSquares, tail: float) -> tuple[float, float]:
    """Satterthwaite's degrees of freedom, as in McGraw and Wong's Table 7."""
    n, k = ms.n, ms.k
    rho = _single(ms, "ICC(2,1)")
    a = k * rho / (n * (1 - rho))
    b = 1 + k * rho * (n - 1) / (n * (1 - rho))
    numerator = (a * ms.raters + b * ms.error) ** 2
    freedom = numerator / ((a * ms.raters) ** 2 / (k - 1) + (b * ms.error) ** 2 / ((n - 1) * (k - 1)))
    upper_f = float(stats.f.isf(tail, n - 1, freedom))
    lower_f = float(stats.f.isf(tail, freedom, n - 1))
    noise = k * ms.raters + (k * n - k - n) * ms.error
    low = n * (ms.between - upper_f * ms.error) / (upper_f * noise + n * ms.between)
    high = n * (lower_f * ms.between - ms.error) / (noise + n * lower_f * ms.between)
    return low, high
