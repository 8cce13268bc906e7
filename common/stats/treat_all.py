"""Whether acting on a model's calls does more good than treating everybody."""

from __future__ import annotations

from math import sqrt

from common.stats.confusion import ConfusionMatrix
from common.stats.estimate import Estimate, Interval, Z, absent, suppressed, undefined

_METHOD = "net benefit, paired"
_HIDDEN = suppressed("a count below the minimum")


def compare_with_treat_all(calls: ConfusionMatrix, threshold: float) -> Estimate:
    """Net benefit of the calls minus that of treating everybody, in net true positives a patient.

    Both are of the same patients, and differ only in those who are called negative: each of them without the
    outcome gains the weight threshold / (1 - threshold), each with it loses 1. Normal interval, as for the
    decision curve itself.

    Parameters
    ----------
    calls : ConfusionMatrix
        At this threshold.
    threshold : float
        Probability from which a patient is treated, in (0, 1).

    Raises
    ------
    ValueError
        If the threshold is not between 0 and 1.

    References
    ----------
    Vickers AJ, Cronin AM, Elkin EB, Gonen M. BMC Med Inform Decis Mak 2008;8:53.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold probability must lie between 0 and 1, not {threshold}")
    counts = (calls.true_positive, calls.false_negative, calls.false_positive, calls.true_negative)
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return absent(_HIDDEN, _METHOD)
    n = sum(known)
    if n == 0:
        return absent(undefined("no patient"), _METHOD)
    _, lost, _, spared = known
    weight = threshold / (1 - threshold)
    difference = (weight * spared - lost) / n
    half = Z * sqrt(max(0.0, ((weight**2 * spared + lost) / n - difference**2) / n))
    return Estimate.of(difference, Interval(difference - half, difference + half, _METHOD), _METHOD, n)
