"""Agreement of readers on numbers: six intraclass correlations, for many features at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.errors import NonFiniteError
from common.stats.contract import Summary
from common.stats.estimate import (
    LEVEL,
    NO_DISAGREEMENT,
    Estimate,
    Interval,
    absent,
    explain_no_interval,
    suppressed,
    undefined,
)
from common.stats.minima import STANDARD, Minima
from common.types import Reals

IccForm: TypeAlias = Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]


@dataclass(frozen=True)
class MeanSquares:
    """The two-way analysis of variance of one feature.

    Attributes
    ----------
    n, k : int
        Subjects and raters.
    between, within, raters, error : float
        Mean squares, in the letters of Shrout and Fleiss: BMS (subjects), WMS, JMS (raters) and EMS.
    """

    n: int
    k: int
    between: float
    within: float
    raters: float
    error: float


@dataclass(frozen=True)
class RatingLocation:
    """Public constants by which all sites shift and scale each feature's ratings; no ICC depends on them.

    Attributes
    ----------
    centre : float array, shape (features,)
        Near the means: ratings near 10^9 that differ by 1 would otherwise lose all digits when squared.
    scale : float array, shape (features,)
        Powers of two near the mean magnitudes, so that scaling changes no bit of a mantissa.
    """

    centre: Reals
    scale: Reals

    def apply(self, ratings: Reals) -> Reals:
        """The shifted and scaled ratings, shape (features, n, raters), of magnitude about 1."""
        shifted: Reals = ratings - self.centre[:, np.newaxis, np.newaxis]
        return shifted / self.scale[:, np.newaxis, np.newaxis]


def local_location(ratings: Reals) -> Summary:
    """One site's sums for the round before: those from which `location_of` takes centres and scales.

    Parameters
    ----------
    ratings : float array, shape (features, n, raters)
        NaN where missing.

    Returns
    -------
    Summary
        Counts "n" (features,), the number of ratings; reals "sums" (2, features): of the ratings, and of
        their magnitudes.

    Raises
    ------
    NonFiniteError
        If a rating is infinite.
    """
    x = _require_finite(ratings)
    sums = np.stack([np.nansum(x, axis=(1, 2)), np.nansum(np.abs(x), axis=(1, 2))])
    return Summary({"n": np.count_nonzero(~np.isnan(x), axis=(1, 2))}, {"sums": sums})


def location_of(summary: Summary) -> RatingLocation:
    """The centres and scales from the sum of `local_location` over sites; 0 and 1 where nobody rated."""
    n = np.maximum(summary.counts["n"], 1)
    mean, magnitude = summary.reals["sums"] / n
    _, exponent = np.frexp(magnitude)
    return RatingLocation(mean, np.where(magnitude > 0, np.ldexp(1.0, exponent), 1.0))


def local_icc(ratings: Reals, centre: Reals) -> Summary:
    """One site's sums for every feature; a subject with a missing rating is left out of that feature.

    Parameters
    ----------
    ratings : float array, shape (features, n, raters)
        NaN where missing.
    centre : float array, shape (features,)
        Public constants near the means, subtracted from the ratings.

    Returns
    -------
    Summary
        Counts "n" and "missing" (features,), of subjects; reals "columns" (features, raters), "squares" and
        "rows" (features,): sums over subjects of x, of x squared, and of squared row sums.

    Raises
    ------
    NonFiniteError
        If a rating is infinite.
    """
    complete = np.asarray(~np.isnan(_require_finite(ratings)).any(axis=2))
    x = np.where(complete[:, :, np.newaxis], ratings - centre[:, np.newaxis, np.newaxis], 0.0)
    return Summary(
        counts={"n": complete.sum(axis=1), "missing": (~complete).sum(axis=1)},
        reals={
            "columns": x.sum(axis=1),
            "squares": (x**2).sum(axis=(1, 2)),
            "rows": (x.sum(axis=2) ** 2).sum(axis=1),
        },
    )


def _require_finite(ratings: Reals) -> Reals:
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
    total = squares - correction
    # A sum of squares that rounding alone explains counts as 0.
    floor = 2.0**-40 * squares
    between = _drop_rounding(rows / k - correction, floor)
    raters = _drop_rounding(float(columns @ columns) / n - correction, floor)
    within = _drop_rounding(total - between, floor)
    error = _drop_rounding(total - between - raters, floor)
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
    """The intraclass correlation of each feature.

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
    missing = minima.show(int(summary.counts["missing"][feature]))
    used = None if missing is None else minima.show(n)
    if n < minima.subjects:
        return absent(suppressed(f"fewer than {minima.subjects} subjects"), form, used, missing)
    if n < 2 or summary.reals["columns"].shape[1] < 2:
        return absent(undefined("fewer than two subjects or raters"), form, used, missing)
    ms = mean_squares(summary, feature)
    if ms.between == ms.within == 0:
        return absent(undefined("all ratings are equal"), form, used, missing)
    if (ms.within if form.startswith("ICC(1") else ms.error) == 0 and ms.between > 0:
        exact = not form.startswith("ICC(2") or ms.raters == 0
        value = 1.0 if exact else _single_rater_icc(ms, form)
        lack = "readings differ by a constant only" if ms.raters else NO_DISAGREEMENT
        bare = Estimate.of(_average_raters(value, ms.k, form), None, form, used, missing)
        return explain_no_interval(bare, lack)
    if ms.between == 0:
        return absent(undefined("the subjects do not differ"), form, used, missing)
    low, high = _single_rater_limits(ms, form)
    interval = Interval(_average_raters(low, ms.k, form), _average_raters(high, ms.k, form), "F")
    return Estimate.of(
        _average_raters(_single_rater_icc(ms, form), ms.k, form), interval, form, used, missing
    )


def _drop_rounding(value: float, floor: float) -> float:
    return value if value > floor else 0.0


def _average_raters(single: float, k: int, form: IccForm) -> float:
    """The ICC of the mean of k raters (Spearman-Brown) if the form asks for it, else of a single rater."""
    return k * single / (1 + (k - 1) * single) if form.endswith("k)") else single


def _single_rater_icc(ms: MeanSquares, form: IccForm) -> float:
    if form.startswith("ICC(1"):
        return (ms.between - ms.within) / (ms.between + (ms.k - 1) * ms.within)
    if form.startswith("ICC(3"):
        return (ms.between - ms.error) / (ms.between + (ms.k - 1) * ms.error)
    return (ms.between - ms.error) / (
        ms.between + (ms.k - 1) * ms.error + ms.k * (ms.raters - ms.error) / ms.n
    )


def _single_rater_limits(ms: MeanSquares, form: IccForm) -> tuple[float, float]:
    """The confidence limits of the ICC of a single rater."""
    tail = (1 - LEVEL) / 2
    n, k = ms.n, ms.k
    if form.startswith("ICC(2"):
        return _two_way_random_limits(ms, tail)
    noise, freedom = (ms.within, n * (k - 1)) if form.startswith("ICC(1") else (ms.error, (n - 1) * (k - 1))
    ratio = ms.between / noise
    low = ratio / _invert_f(tail, n - 1, freedom)
    high = ratio * _invert_f(tail, freedom, n - 1)
    return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _invert_f(tail: float, numerator: float, denominator: float) -> float:
    """What F with these degrees of freedom exceeds with a probability of `tail`.

    Bit for bit scipy's `stats.f.isf`, which takes thirty times as long, for each of hundreds of features.
    """
    from scipy import special

    return float(special.fdtri(numerator, denominator, 1 - tail))


def _two_way_random_limits(ms: MeanSquares, tail: float) -> tuple[float, float]:
    """The limits of ICC(2,1), by Satterthwaite's degrees of freedom, as in McGraw and Wong's Table 7."""
    n, k = ms.n, ms.k
    rho = _single_rater_icc(ms, "ICC(2,1)")
    a = k * rho / (n * (1 - rho))
    b = 1 + k * rho * (n - 1) / (n * (1 - rho))
    numerator = (a * ms.raters + b * ms.error) ** 2
    freedom = numerator / ((a * ms.raters) ** 2 / (k - 1) + (b * ms.error) ** 2 / ((n - 1) * (k - 1)))
    upper_f = _invert_f(tail, n - 1, freedom)
    lower_f = _invert_f(tail, freedom, n - 1)
    noise = k * ms.raters + (k * n - k - n) * ms.error
    low = n * (ms.between - upper_f * ms.error) / (upper_f * noise + n * ms.between)
    high = n * (lower_f * ms.between - ms.error) / (noise + n * lower_f * ms.between)
    return low, high
