"""The operating point, chosen on the training cohort and frozen before any test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Status
from common.stats.minima import STANDARD, Minima
from common.stats.roc import class_status
from common.stats.score_grid import ScoreGrid


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold that separates the classes of the training cohort best.

    Attributes
    ----------
    threshold : float or None
        A patient is called positive if the score is at least this. It is the lowest score of a bin.
    index : float or None
        Youden's index, sensitivity + specificity - 1; None where it would disclose a small count.
    n_used, n_missing : int or None
        Patients with a score, and those without; None where hidden.
    method : str
        How the threshold was chosen.
    status : Status
        Whether there is a threshold, and if not, why.
    """

    threshold: float | None
    index: float | None
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def finish_youden(
    training: Summary, grid: ScoreGrid, minima: Minima = STANDARD, model: int = 0
) -> OperatingPoint:
    """The bin edge with the largest index; among equals the one nearest to 0.5, then the larger.

    Parameters
    ----------
    training : Summary
        The sum of `roc.local_roc` over the sites' training patients.
    grid : ScoreGrid
        On which the sites counted.
    model : int
        Which row of the summary.

    References
    ----------
    Youden WJ. Cancer 1950;3:32-35.
    """
    negatives, positives = training.counts["histogram"][model]
    n0, n1 = int(negatives.sum()), int(positives.sum())
    method = "Youden's index on the training histogram"
    missing = minima.show(int(training.counts["missing"][model]))
    used = None if missing is None else minima.show(n0 + n1)
    status = class_status(n0, n1, minima)
    if not status.ok:
        return OperatingPoint(None, None, used, missing, method, status)
    true_negative = np.cumsum(negatives) - negatives
    false_negative = np.cumsum(positives) - positives
    # Multiplied by n0 n1, so that equal indices are equal integers.
    index = (n1 - false_negative) * n0 + true_negative * n1 - n0 * n1
    starts = grid.starts
    best = int(np.lexsort((-starts, np.abs(starts - 0.5), -index))[0])
    cells = np.array([true_negative[best], false_negative[best]])
    shown = minima.may_release(np.concatenate([cells, [n0, n1] - cells])).all()
    value = float(index[best]) / (n0 * n1) if shown else None
    return OperatingPoint(float(starts[best]), value, used, missing, method, OK)
