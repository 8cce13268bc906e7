"""Counts of overlapping cohorts: no small count may be worked out from those that are shown."""

from __future__ import annotations

import numpy as np

from common.stats.minima import STANDARD, Minima
from common.types import Counts, Flags

_EXACT = 1e-9
"""Largest deviation of a union's members from a combination of shown cohorts that rounding explains."""


def choose_shown_cohorts(cohorts: Flags, counts: Counts, unions: Flags, minima: Minima = STANDARD) -> Flags:
    """Which cohorts' counts may be shown beside each other; earlier cohorts take precedence.

    If the members of a union are a sum or difference of shown cohorts, the reader can work out its counts,
    which must then be 0 or at least the cell minimum, like those of a cohort.

    Parameters
    ----------
    cohorts : bool array, shape (cohorts, atoms)
        Which disjoint groups of patients ("atoms") each cohort consists of.
    counts : int64 array, shape (cohorts, cells)
        Patients of each cohort by cell, e.g. by class.
    unions : bool array, shape (unions, atoms)
        The groups and unions of groups of which nobody may learn a small count.

    Returns
    -------
    bool array, shape (cohorts,)

    References
    ----------
    Hundepool A et al. Statistical Disclosure Control. Wiley 2012, chapter 4 (linked tables).
    """
    releasable: Flags = np.logical_and.reduce(minima.may_release(counts), axis=1)
    if not _discloses(cohorts[releasable], counts[releasable], unions, minima):
        return releasable
    shown = np.zeros(len(cohorts), dtype=np.bool_)
    for index in np.flatnonzero(releasable):
        shown[index] = True
        shown[index] = not _discloses(cohorts[shown], counts[shown], unions, minima)
    return shown


def _discloses(cohorts: Flags, counts: Counts, unions: Flags, minima: Minima) -> bool:
    """Whether these cohorts' counts determine a small count of a union."""
    if not len(cohorts):
        return False
    shown, sought = cohorts.astype(np.float64), unions.astype(np.float64)
    weights = sought @ np.linalg.pinv(shown)
    determined = np.abs(weights @ shown - sought).max(axis=1) < _EXACT
    union_counts = np.rint(weights[determined] @ counts).astype(np.int64)
    return not bool(minima.may_release(union_counts).all())
