"""Positive and negative predictive values at a prevalence that the patients at hand need not have."""

from __future__ import annotations

from math import sqrt

from common.stats.estimate import Estimate, Interval, absent, undefined

_NOBODY = undefined("nobody would be called so")
METHOD = "Bayes, ratio of sensitivity and specificity by Donner and Zou"


def predict_values(
    sensitivity: Estimate, specificity: Estimate, prevalence: float
) -> tuple[Estimate, Estimate]:
    """The positive and the negative predictive value at a prevalence, by Bayes' rule.

    Each depends on one likelihood ratio, whose limits follow from those of sensitivity and specificity, since
    the two are of different patients. There is no interval where one of them has none.

    Raises
    ------
    ValueError
        If the prevalence is not between 0 and 1.

    References
    ----------
    Mercaldo ND, Lau KF, Zhou XH. Stat Med 2007;26:2170-2183 (predictive values at a given prevalence).
    Donner A, Zou GY. Stat Methods Med Res 2012;21:347-359 (limits of a ratio).
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence must lie between 0 and 1, not {prevalence}")
    for rate in (sensitivity, specificity):
        if rate.value is None:
            return absent(rate.standing, METHOD), absent(rate.standing, METHOD)
    odds = prevalence / (1 - prevalence)
    return (
        _share(sensitivity, _complement(specificity), odds),
        _share(specificity, _complement(sensitivity), 1 / odds),
    )


def _complement(rate: Estimate) -> Estimate:
    """1 minus a rate, with its limits exchanged."""
    value = 1 - (rate.value or 0.0)
    if rate.low is None or rate.high is None:
        return Estimate(value, method=rate.method)
    return Estimate(value, 1 - rate.high, 1 - rate.low, rate.method)


def _share(right: Estimate, wrong: Estimate, odds: float) -> Estimate:
    """Of those called so, the share who are so: right and wrong are the calls' rates in the two classes."""
    hits, misses = (right.value or 0.0) * odds, wrong.value or 0.0
    if hits + misses == 0:
        return absent(_NOBODY, METHOD)
    ratio = _find_ratio_limits(right, wrong)
    if ratio is None:
        return Estimate(hits / (hits + misses), method=METHOD)
    low, high = ratio
    # The limits never lie on the wrong side of the value by rounding alone
    value = hits / (hits + misses)
    limits = Interval(
        min(value, low * odds / (low * odds + 1)),
        1.0 if high is None else max(value, high * odds / (high * odds + 1)),
        METHOD,
    )
    return Estimate.of(value, limits, METHOD)


def _find_ratio_limits(first: Estimate, second: Estimate) -> tuple[float, float | None] | None:
    """Limits of the quotient of two independent rates; an upper limit of None is infinite."""
    limits = (first.low, first.high, second.low, second.high)
    if any(limit is None for limit in limits):
        return None
    a, b = first.value or 0.0, second.value or 0.0
    a_low, a_high, b_low, b_high = (limit or 0.0 for limit in limits)
    product = a * b
    low_root = product**2 - a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    # Donner and Zou's lower limit with its numerator made rational: it holds for second = 0, too
    divisor = product + sqrt(max(0.0, low_root))
    low = a_low * (2 * a - a_low) / divisor if divisor > 0 else 0.0
    if b_low <= 0:
        return low, None
    high_root = product**2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    return low, (product + sqrt(max(0.0, high_root))) / (b_low * (2 * b - b_low))
