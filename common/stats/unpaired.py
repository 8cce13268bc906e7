"""The AUCs of two separate groups of patients compared, also where one of them is exactly 0 or 1.

Such an AUC has a DeLong variance of 0, so that a test by variances cannot use it. Its distance to the nearer
confidence limit is Newcombe's, who solves for the limit with a variance that depends on the limit itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

from scipy.special import ndtr

from common.stats.delong import AucDifference
from common.stats.estimate import OK, Estimate, Interval, Status, Z, absent, coarse, undefined
from common.stats.roc import RocResult

_NO_VARIANCE = 1e-14
"""A variance of an AUC below this is rounding alone."""
_LARGEST_Z = 40.0
"""Its p-value is the smallest that a float64 holds."""


@dataclass(frozen=True)
class _Auc:
    """One of the two AUCs.

    Attributes
    ----------
    value : float
        In [0, 1].
    variance : float
        DeLong's; 0 if the value is 0 or 1.
    n_positive, n_negative : int
        Patients of each class; only used if the value is 0 or 1.
    """

    value: float
    variance: float
    n_positive: int
    n_negative: int

    def distance(self, z: float, *, inwards: bool = True) -> float:
        """How far the limit at a normal quantile lies from the value.

        Of a value of 0 or 1, towards 0.5; in the other direction there is no room.
        """
        if self.value not in {0.0, 1.0}:
            return z * sqrt(self.variance)
        return boundary_distance(z, self.n_positive, self.n_negative) if inwards else 0.0

    def side(self, z: float, *, upper: bool) -> float:
        """The distance of the upper or lower limit."""
        return self.distance(z, inwards=upper != (self.value == 1.0))


def compare_unpaired(first: RocResult, second: RocResult) -> AucDifference:
    """The difference of the AUCs of two groups that share no patient: centres, or subgroups (an interaction).

    The interval adds the squares of the distances between each AUC and its limit. Where both have a variance
    this is the difference plus or minus 1.96 standard errors. The p-value is that of the quantile at which
    the interval would end at 0, so that the two never contradict each other.

    References
    ----------
    Hanley JA, McNeil BJ. Radiology 1982;143:29-36, with DeLong's variances. Zou GY, Donner A. Stat Med
    2008;27:1693-1702 (sum of squares). Newcombe RG. Stat Med 2006;25:559-573, method 5 (AUC of 0 or 1).
    """
    numbers = (
        _add_if_known(first.auc.n_used, second.auc.n_used),
        _add_if_known(first.auc.n_missing, second.auc.n_missing),
    )
    for group in (first, second):
        status = explain_unusable(group)
        if not status.ok:
            return AucDifference(absent(status, "DeLong, unpaired", *numbers))
    a, b = _read_auc(first), _read_auc(second)
    difference = a.value - b.value
    low = difference - hypot(a.side(Z, upper=False), b.side(Z, upper=True))
    high = difference + hypot(a.side(Z, upper=True), b.side(Z, upper=False))
    extreme = {a.value, b.value} & {0.0, 1.0}
    method = "sum of squares: DeLong, Newcombe at 0 or 1" if extreme else "DeLong, unpaired"
    interval: Interval | None = Interval(max(-1.0, low), min(1.0, high), method)
    z = _find_touching_quantile(a, b)
    if numbers[1] is None:
        difference, interval = coarse(difference, interval)
    p = float(2 * ndtr(-abs(z)))
    exact = not any(bound for group in (first, second) for bound in (group.error_bound, group.interval_bound))
    return AucDifference(
        Estimate.of(difference, interval, method, *numbers),
        z,
        p,
        error_bound=(first.error_bound or 0.0) + (second.error_bound or 0.0),
        p_range=(p, p) if exact else None,
    )


def explain_unusable(group: RocResult) -> Status:
    """Why a group's AUC cannot be compared with another's; OK if it can."""
    if group.auc.value is None:
        return group.auc.standing
    if group.variance is None:
        return undefined("one patient of a class has no variance")
    if group.auc.value in {0.0, 1.0}:
        if group.n_positive is None or group.n_negative is None:
            return undefined(f"an AUC of {group.auc.value:.0f} whose number of patients may not be shown")
        return OK
    return OK if group.variance > _NO_VARIANCE else undefined("the score is the same for all patients")


def boundary_distance(z: float, n_positive: int, n_negative: int) -> float:
    """How far from 1 (or 0) the confidence limit of an AUC of 1 (or 0) lies, in (0, 1).

    It is the limit t that solves (1 - t)^2 = z^2 V(t), with the variance of Hanley and McNeil in which both
    numbers of patients are replaced by their mean N within the brackets:
    V(t) = t (1 - t) [1 + (N - 1) ((1 - t) / (2 - t) + t / (1 + t))] / (n1 n0).

    References
    ----------
    Newcombe RG. Stat Med 2006;25:559-573, method 5.
    """
    from scipy.optimize import brentq

    mean, pairs = (n_positive + n_negative) / 2, n_positive * n_negative

    def exceed(distance: float) -> float:
        t = 1 - distance
        spread = 1 + (mean - 1) * (distance / (1 + distance) + t / (1 + t))
        return distance - z * z * t * spread / pairs

    return float(brentq(exceed, 0.0, 1.0, xtol=1e-15, rtol=8.9e-16)) if z > 0 else 0.0


def _read_auc(group: RocResult) -> _Auc:
    return _Auc(group.auc.value or 0.0, group.variance or 0.0, group.n_positive or 0, group.n_negative or 0)


def _find_touching_quantile(a: _Auc, b: _Auc) -> float:
    """The normal quantile at which the interval of the difference ends at 0, with the difference's sign."""
    from scipy.optimize import brentq

    difference = a.value - b.value
    if difference == 0:
        return 0.0

    def exceed(z: float) -> float:
        return hypot(a.side(z, upper=difference < 0), b.side(z, upper=difference > 0)) - abs(difference)

    if exceed(_LARGEST_Z) <= 0:
        return _LARGEST_Z if difference > 0 else -_LARGEST_Z
    touching = float(brentq(exceed, 0.0, _LARGEST_Z, xtol=1e-13, rtol=8.9e-16))
    return touching if difference > 0 else -touching


def _add_if_known(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
