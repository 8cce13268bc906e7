"""Tests of two groups from summed moments, histograms and tables, chosen by the plan or by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt
from typing import Literal, TypeAlias

import numpy as np

from common.stats.estimate import OK, Status, undefined
from common.stats.moments import Moments
from common.types import Counts

ContinuousTest: TypeAlias = Literal["student", "welch", "mann-whitney", "auto", "auto-student"]
"""auto: Welch's t-test if both groups look normal, else Mann-Whitney; auto-student: Student's for Welch's."""


@dataclass(frozen=True)
class TestResult:
    """The result of one test of no difference.

    Attributes
    ----------
    statistic : float or None
        t, U or chi-squared; None for Fisher's exact test.
    degrees_of_freedom : float or None
        None for tests that have none.
    p : float or None
        Two-sided.
    n_used : int or None
        Patients of both groups; None where hidden.
    method : str
        Name of the test.
    status : Status
        Whether the test may be shown and exists.
    note : str
        For a footnote, e.g. that many expected counts are small.
    """

    __test__ = False  # pytest must not collect it, though its name begins with "Test"

    statistic: float | None
    degrees_of_freedom: float | None
    p: float | None
    n_used: int | None
    method: str
    status: Status = OK
    note: str = ""


def student(first: Moments, second: Moments) -> TestResult:
    """Student's t-test with the pooled variance, first minus second."""
    freedom = first.n + second.n - 2
    if min(first.n, second.n) == 0 or freedom < 1:
        return _refuse_test("Student t", first.n + second.n, "too few values")
    pooled = (first.m2 + second.m2) / freedom
    variance = pooled * (1 / first.n + 1 / second.n)
    return _finish_t(first, second, variance, freedom, "Student t")


def welch(first: Moments, second: Moments) -> TestResult:
    """Welch's t-test, first minus second.

    References
    ----------
    Welch BL. Biometrika 1947;34:28-35.
    """
    if min(first.n, second.n) < 2:
        return _refuse_test("Welch t", first.n + second.n, "too few values")
    a, b = first.variance / first.n, second.variance / second.n
    if a + b == 0:
        return _refuse_test("Welch t", first.n + second.n, "no variance")
    freedom = (a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1))
    return _finish_t(first, second, a + b, freedom, "Welch t")


def mann_whitney(first: Counts, second: Counts, *, continuity: bool = False) -> TestResult:
    """The Mann-Whitney U of `first`, by the normal approximation with ties, from two histograms.

    Parameters
    ----------
    first, second : int arrays, shape (K,)
        How often each of K ascending values occurs.
    continuity : bool
        Apply R's continuity correction; SPSS and the paper do not.

    References
    ----------
    Mann HB, Whitney DR. Ann Math Stat 1947;18:50-60. Lehmann EL. Nonparametrics 1975, eq. 1.25 (ties).
    """
    from scipy import stats

    method = "Mann-Whitney U" + (", continuity-corrected" if continuity else "")
    n1, n0 = int(first.sum()), int(second.sum())
    n = n1 + n0
    if min(n1, n0) == 0:
        return _refuse_test(method, n, "no values in a group")
    below = np.cumsum(second) - second
    u = int(first @ (2 * below + second)) / 2
    ties = [count**3 - count for count in (first + second).tolist()]
    variance = n1 * n0 / 12 * ((n + 1) - sum(ties) / (n * (n - 1)))
    if variance <= 0:
        return TestResult(u, None, 1.0, n, method, note="all values are equal")
    distance = abs(u - n1 * n0 / 2)
    z = max(0.0, distance - (0.5 if continuity else 0.0)) / sqrt(variance)
    return TestResult(u, None, float(2 * stats.norm.sf(z)), n, method)


def normality(moments: Moments) -> float | None:
    """The p of D'Agostino and Pearson's K-squared test; None below 20 values or without variance.

    References
    ----------
    D'Agostino RB. Biometrika 1970;57:679-681. Anscombe FJ, Glynn WJ. Biometrika 1983;70:227-234.
    """
    from scipy import stats

    n = moments.n
    if n < 20 or moments.m2 == 0:
        return None
    skewness = (moments.m3 / n) / (moments.m2 / n) ** 1.5
    kurtosis = (moments.m4 / n) / (moments.m2 / n) ** 2
    return float(stats.chi2.sf(_skewness_z(skewness, n) ** 2 + _kurtosis_z(kurtosis, n) ** 2, 2))


def are_both_normal(first: Moments, second: Moments) -> bool:
    """Whether both groups have 20 values and a p of K-squared of at least 0.05: the rule for "auto"."""
    return all(p is not None and p >= 0.05 for p in (normality(first), normality(second)))


def settle_test(test: ContinuousTest, *, normal: bool) -> ContinuousTest:
    """The test that the plan names, or that its rule chooses for values that look normal, or do not."""
    if test not in {"auto", "auto-student"}:
        return test
    if not normal:
        return "mann-whitney"
    return "welch" if test == "auto" else "student"


def compare_continuous(
    moments: tuple[Moments, Moments], histograms: tuple[Counts, Counts], test: ContinuousTest
) -> TestResult:
    """The chosen test, first group minus second; "auto": a t-test if both look normal, else Mann-Whitney."""
    if test in {"auto", "auto-student"}:
        test = settle_test(test, normal=are_both_normal(*moments))
    if test == "student":
        return student(*moments)
    if test == "welch":
        return welch(*moments)
    return mann_whitney(*histograms)


def compare_categorical(table: Counts) -> TestResult:
    """Pearson's, Yates' or Fisher's test, chosen by the smallest expected count.

    Two by two: Pearson if that is at least 5; Yates if it is at least 1 and there are 40 patients; else
    Fisher. Larger tables: Pearson, with a note if more than a fifth of the expected counts are below 5.

    Parameters
    ----------
    table : int array, shape (levels, groups)
        Empty rows and columns are dropped.
    """
    from scipy import stats

    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n = int(kept.sum())
    if min(kept.shape) < 2:
        return _refuse_test("Pearson chi-squared", n, "a single level or group")
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / n
    if kept.shape != (2, 2):
        few = bool(np.mean(expected < 5) > 0.2)
        note = "more than 20% of expected counts are below 5" if few else ""
        return _chi_squared(kept, corrected=False, note=note)
    if expected.min() >= 5:
        return _chi_squared(kept, corrected=False)
    if expected.min() >= 1 and n >= 40:
        return _chi_squared(kept, corrected=True)
    return TestResult(None, None, float(stats.fisher_exact(kept).pvalue), n, "Fisher exact")


def _chi_squared(table: Counts, *, corrected: bool, note: str = "") -> TestResult:
    from scipy import stats

    result = stats.chi2_contingency(table, correction=corrected)
    method = "Yates chi-squared" if corrected else "Pearson chi-squared"
    return TestResult(
        float(result.statistic), float(result.dof), float(result.pvalue), int(table.sum()), method, note=note
    )


def _finish_t(first: Moments, second: Moments, variance: float, freedom: float, method: str) -> TestResult:
    from scipy import stats

    if variance == 0 or isnan(variance):
        return _refuse_test(method, first.n + second.n, "no variance")
    t = (first.mean - second.mean) / sqrt(variance)
    return TestResult(t, freedom, float(2 * stats.t.sf(abs(t), freedom)), first.n + second.n, method)


def _refuse_test(method: str, n: int, reason: str) -> TestResult:
    return TestResult(None, None, None, n, method, undefined(reason))


def _skewness_z(skewness: float, n: int) -> float:
    y = skewness * sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    beta2 = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = -1 + sqrt(2 * (beta2 - 1))
    delta = 1 / sqrt(0.5 * np.log(w2))
    alpha = sqrt(2 / (w2 - 1))
    return float(delta * np.arcsinh(y / alpha))


def _kurtosis_z(kurtosis: float, n: int) -> float:
    mean = 3 * (n - 1) / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (kurtosis - mean) / sqrt(variance)
    root_beta1 = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9))
    root_beta1 *= sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    a = 6 + 8 / root_beta1 * (2 / root_beta1 + sqrt(1 + 4 / root_beta1**2))
    ratio = (1 - 2 / a) / (1 + x * sqrt(2 / (a - 4)))
    return float((1 - 2 / (9 * a) - np.cbrt(ratio)) / sqrt(2 / (9 * a)))
