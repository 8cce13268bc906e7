"""Who differs from the value that most patients share: of a few, sums over all patients tell their values.

The shared value may be subtracted from the sums, whatever it is: what is left is of those who differ.
"""

from __future__ import annotations

import numpy as np

from common.stats.contract import Summary
from common.stats.minima import Minima
from common.types import Counts, Flags, Reals


def find_unusual(rows: Reals) -> Flags:
    """Who differs from a column's usual value, which half the patients share; everybody without such a value.

    Parameters
    ----------
    rows : float array, shape (n, columns)
        Of one site, without missing values.

    Returns
    -------
    bool array, shape (n, columns)

    Examples
    --------
    >>> find_unusual(np.array([[0.0, 1.0], [0.0, 2.0], [9.5, 3.0]])).T.tolist()
    [[False, False, True], [True, True, True]]
    """
    unusual = np.ones(rows.shape, dtype=np.bool_)
    for column, values in enumerate(rows.T):
        known, counts = np.unique(values, return_counts=True)
        most = int(counts.max(initial=0))
        # One patient alone shares nothing: at another site the value may be unusual
        if most > 1 and 2 * most >= len(values):
            unusual[:, column] = values != known[counts.argmax()]
    return unusual


def count_unusual(rows: Reals, folds: Counts, n_folds: int) -> Summary:
    """One site's patients of each fold who differ from a column's usual value.

    Parameters
    ----------
    rows : float array, shape (n, columns)
    folds : int array, shape (n,)
        In 0 ... n_folds - 1.

    Returns
    -------
    Summary
        Counts "unusual" (folds, columns).
    """
    unusual = find_unusual(rows)
    return Summary({"unusual": np.stack([unusual[folds == fold].sum(axis=0) for fold in range(n_folds)])})


def find_shown_columns(summary: Summary, minima: Minima) -> Flags:
    """Columns of which products may be summed by fold, from the sum of `count_unusual`; shape (columns,)."""
    return np.asarray(minima.may_release(summary.counts["unusual"]).all(axis=0))
