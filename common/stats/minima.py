"""The smallest numbers of patients that a result may be released from, by profile, and what to hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.profile import Profile
from common.types import Counts, Flags


@dataclass(frozen=True)
class Minima:
    """The smallest numbers that a result may be released from. Each is at least 1.

    Attributes
    ----------
    profile : {"standard", "replication", "simulation"}
        The study's profile, printed in every report.
    cell : int
        A released count of patients is 0 or at least this.
    group : int
        Patients behind a mean, SD or quantile.
    per_class : int
        Patients of each class behind an AUC or a calibration.
    model_class : int
        Patients of the smaller class behind a logistic model.
    model_rows : int
        Patients per coefficient of a logistic model.
    subjects : int
        Subjects behind an agreement.
    site_patients, site_per_class : int
        Patients, and patients of each class, behind a result of a single site.
    sites : int
        Sites that contribute to one sum.
    fold, fold_class : int
        Patients, and patients of each class, in a fold of the LASSO.
    """

    profile: Profile
    cell: int
    group: int
    per_class: int
    model_class: int
    model_rows: int
    subjects: int
    site_patients: int
    site_per_class: int
    sites: int
    fold: int
    fold_class: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "profile" and value < 1:
                raise ValueError(f"the minimum {name} is {value}; the smallest possible is 1")

    def may_release(self, counts: Counts) -> Flags:
        """Whether each count may be released: it is 0 or at least the cell minimum; same shape."""
        return np.asarray((counts == 0) | (counts >= self.cell))

    def show(self, count: int) -> int | None:
        """The count, or None if it may not be released."""
        return count if count == 0 or count >= self.cell else None


STANDARD = Minima(
    "standard",
    cell=5,
    group=10,
    per_class=10,
    model_class=10,
    model_rows=5,
    subjects=10,
    site_patients=20,
    site_per_class=10,
    sites=3,
    fold=20,
    fold_class=5,
)
REPLICATION = Minima("replication", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
SIMULATION = Minima("simulation", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)

_BY_PROFILE: dict[Profile, Minima] = {
    "standard": STANDARD,
    "replication": REPLICATION,
    "simulation": SIMULATION,
}


def minima_of(profile: Profile) -> Minima:
    """The minima of a study's profile."""
    return _BY_PROFILE[profile]


def hide_cells(table: Counts, minima: Minima) -> Flags:
    """Which cells of a table must be hidden so that no small one can be worked out from the margins.

    Small cells are hidden first. As long as a row or column has exactly one hidden cell, one more cell is
    hidden: the one that leaves the fewest such lines, among equals the smallest, and a zero only as the last
    resort.

    Parameters
    ----------
    table : int64 array, shape (rows, columns)
        Disjoint cells; the reader is taken to know the row and column sums.

    Returns
    -------
    bool array, shape (rows, columns)

    References
    ----------
    Hundepool A et al. Statistical Disclosure Control. Wiley 2012, chapter 4 (secondary suppression).
    """
    hidden = ~minima.may_release(table)
    while True:
        in_row, in_column = hidden.sum(axis=1, keepdims=True), hidden.sum(axis=0, keepdims=True)
        lonely_row, lonely_column = in_row == 1, in_column == 1
        candidates = np.argwhere(~hidden & (lonely_row | lonely_column))
        if not candidates.size:
            return hidden
        lines_made_lonely = (in_row == 0).astype(np.int64) + (in_column == 0)
        lines_mended = lonely_row.astype(np.int64) + lonely_column
        cells = tuple(candidates.T)
        best = np.lexsort((table[cells], table[cells] == 0, (lines_made_lonely - lines_mended)[cells]))[0]
        hidden[tuple(candidates[best])] = True
