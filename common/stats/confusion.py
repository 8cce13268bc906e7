"""The confusion matrix at a fixed threshold, and six metrics computed from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Estimate, Interval, Status, absent, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.proportion import ProportionInterval, proportion_interval
from common.types import Flags, Reals


@dataclass(frozen=True)
class ConfusionMatrix:
    """Patients by class and call, as the results file holds them.

    Attributes
    ----------
    true_positive, false_negative : int or None
        Patients of the positive class who were called positive, and negative; None where one of the two
        counts may not be shown.
    false_positive, true_negative : int or None
        Patients of the negative class who were called positive, and negative; likewise.
    """

    true_positive: int | None
    false_negative: int | None
    false_positive: int | None
    true_negative: int | None

    def __post_init__(self) -> None:
        counts = (self.true_positive, self.false_negative, self.false_positive, self.true_negative)
        if any(count is not None and count < 0 for count in counts):
            raise ValueError(f"patients cannot be {counts}")


@dataclass(frozen=True)
class ConfusionResult:
    """One model at one threshold in one cohort.

    Attributes
    ----------
    matrix : ConfusionMatrix
        Patients by class and call.
    accuracy, sensitivity, specificity, ppv, npv, f1 : Estimate
        Shares from 0 to 1; undefined where the denominator is 0.
    n_used, n_missing : int or None
        Patients with a score, and those without; None where hidden.
    method : str
        Kind of the intervals, see `ProportionInterval`.
    status : Status
        Suppressed if any count is.
    """

    matrix: ConfusionMatrix
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def local_confusion(scores: Reals, labels: Flags, threshold: float) -> Summary:
    """One site's patients by class and call; a patient without a score (NaN) is left out and counted.

    Parameters
    ----------
    scores : float array, shape (n,) or (models, n)
        The raw scores, not their bins.
    labels : bool array, shape (n,)
        True for the positive class.
    threshold : float
        A score of at least this is called positive.

    Returns
    -------
    Summary
        Counts "table" (models, 2, 2), axes (class, call), negatives first, and "missing" (models,).

    Raises
    ------
    ValueError
        If shapes differ.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positive = np.asarray(labels, dtype=np.bool_)
    if positive.shape != rows.shape[1:]:
        raise ValueError(f"scores {rows.shape} and labels {positive.shape} do not belong together")
    present = ~np.isnan(rows)
    called = rows >= threshold
    cells = [
        [np.count_nonzero(present & (called == call) & (positive == label), axis=1) for call in (False, True)]
        for label in (False, True)
    ]
    table = np.moveaxis(np.array(cells, dtype=np.int64), -1, 0)
    return Summary(counts={"table": table, "missing": np.count_nonzero(~present, axis=1)})


def finish_confusion(
    summary: Summary, interval: ProportionInterval = "wilson", minima: Minima = STANDARD, model: int = 0
) -> ConfusionResult:
    """The confusion matrix of one model and its metrics.

    If a count of a class is below the cell minimum, both counts of that class are hidden, because the size
    of the class is known; metrics that need them are hidden too. If the number of patients without a score
    is hidden, everything is, because the size of the cohort is known too. The interval of F1 is that of
    Jaccard's index J = TP / (TP + FP + FN), mapped by F1 = 2 J / (1 + J).

    Parameters
    ----------
    summary : Summary
        The sum of `local_confusion` over the sites.
    model : int
        Which row of the summary.
    """
    (tn, fp), (fn, tp) = summary.counts["table"][model].tolist()
    missing = int(summary.counts["missing"][model])
    shown = minima.may_release(summary.counts["table"][model])
    known = minima.show(missing) is not None
    negatives, positives = known and bool(shown[0].all()), known and bool(shown[1].all())
    all_shown = negatives and positives

    def rate(successes: int, trials: int, *, visible: bool) -> Estimate:
        return _estimate_rate(successes, trials, interval, visible=visible)

    return ConfusionResult(
        matrix=ConfusionMatrix(
            true_positive=tp if positives else None,
            false_negative=fn if positives else None,
            false_positive=fp if negatives else None,
            true_negative=tn if negatives else None,
        ),
        accuracy=rate(tp + tn, tp + tn + fp + fn, visible=all_shown),
        sensitivity=rate(tp, tp + fn, visible=positives),
        specificity=rate(tn, tn + fp, visible=negatives),
        ppv=rate(tp, tp + fp, visible=all_shown),
        npv=rate(tn, tn + fn, visible=all_shown),
        f1=_f1_of(rate(tp, tp + fp + fn, visible=all_shown)),
        n_used=minima.show(tn + fp + fn + tp) if known else None,
        n_missing=minima.show(missing),
        method=interval,
        status=OK if all_shown else _HIDDEN,
    )


def withhold_class(result: ConfusionResult, *, positive: bool) -> ConfusionResult:
    """The result without one class' counts and all metrics that need them.

    Used where a small count could be worked out from them and other cohorts' counts.
    """
    hidden = absent(_HIDDEN, result.method)
    partial = replace(result, accuracy=hidden, ppv=hidden, npv=hidden, f1=hidden, status=_HIDDEN)
    if positive:
        matrix = replace(result.matrix, true_positive=None, false_negative=None)
        return replace(partial, matrix=matrix, sensitivity=hidden)
    matrix = replace(result.matrix, true_negative=None, false_positive=None)
    return replace(partial, matrix=matrix, specificity=hidden)


def withhold_confusion(interval: ProportionInterval, status: Status) -> ConfusionResult:
    """The result of a matrix whose sums were not asked for: no number, and the status that says why."""
    nothing = absent(status, interval)
    matrix = ConfusionMatrix(None, None, None, None)
    return ConfusionResult(matrix, *(nothing,) * 6, None, None, interval, status)


_HIDDEN = suppressed("a count below the minimum")


def _estimate_rate(successes: int, trials: int, method: ProportionInterval, *, visible: bool) -> Estimate:
    if not visible:
        return absent(_HIDDEN, method)
    if trials == 0:
        return absent(undefined("0/0"), method, n_used=0)
    chosen = proportion_interval(method, successes, trials)
    return Estimate.of(successes / trials, chosen, method, trials, 0)


def _f1_of(jaccard: Estimate) -> Estimate:
    if jaccard.value is None or jaccard.low is None or jaccard.high is None:
        return jaccard
    low, high = jaccard.low, jaccard.high
    mapped = Interval(2 * low / (1 + low), 2 * high / (1 + high), f"{jaccard.method} of Jaccard's index")
    return Estimate.of(2 * jaccard.value / (1 + jaccard.value), mapped, jaccard.method, jaccard.n_used, 0)
