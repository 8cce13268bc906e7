"""Counts of cohorts that overlap: no small one may be worked out from those that are shown."""

from __future__ import annotations

import numpy as np

from common.stats.minima import STANDARD, Minima
from common.types import Counts, Flags

_EXACT = 1e-9


def shown_together(cohorts: Flags, counts: Counts, unions: Flags, minima: Minima = STANDARD) -> Flags:
    """Which cohorts' counts may be shown beside each other; the first ones take precedence.

    A union whose members are a sum and difference of shown cohorts is known to the reader: then its counts
    must be 0 or at least the cell minimum, as a cohort's own.

    Parameters
    ----------
    cohorts : bool array, shape (cohorts, atoms)
        Which disjoint groups of patients each cohort is made of.
    counts : int64 array, shape (cohorts, cells)
    unions : bool array, shape (unions, atoms)
        Groups, and unions of them, of which nobody may learn a small count.

    Returns
    -------
    bool array, shape (cohorts,)

    References
    ----------
    Hundepool A et al. Statistical Disclosure Control. Wiley 2012, chapter 4 (linked tables).
    """
    own: Flags = np.logical_and.reduce(minima.releasable(counts), axis=1)
    if not _tells(cohorts[own], counts[own], unions, minima):
        return own
    shown = np.zeros(len(cohorts), dtype=np.bool_)
    for index in np.flatnonzero(own):
        shown[index] = True
        shown[index] = not _tells(cohorts[shown], counts[shown], unions, minima)
    return shown


def _tells(cohorts: Flags, counts: Counts, unions: Flags, minima: Minima) -> bool:
    """Whether a union has a small count that these cohorts' determine."""
    if not len(cohorts):
        return False
    known, sought = cohorts.astype(np.float64), unions.astype(np.float64)
    weights = sought @ np.linalg.pinv(known)
    determined = np.abs(weights @ known - sought).max(axis=1) < _EXACT
    found = np.rint(weights[determined] @ counts).astype(np.int64)
    return not bool(minima.releasable(found).all())
