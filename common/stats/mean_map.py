"""Means of maps over patients, cell by cell, without cells that rest on few patients of a site.

A mean over ten patients is one patient's value in a cell where that one alone has something. So a site adds
to a cell only where enough of its own patients have something there, and a cell to which not every site adds
is left out. Then a sum less other sites' parts rests on no fewer, either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from common.stats.contract import Summary
from common.types import Counts, Reals

QUANTA: Final = 1_000_000
"""A value in [0, 1] travels as a whole number of these: a mean is exact to half of one."""
_SOMETHING = QUANTA // 20
"""From here on a patient has something in a cell: below .05 attention is not visible."""


@dataclass(frozen=True, eq=False)
class MeanMap:
    """Means over patients.

    Attributes
    ----------
    attention, lesion : float array, shape (cells, cells)
        In [0, 1]; NaN where a site has too few patients with something there.
    """

    attention: Reals
    lesion: Reals


def encode_map(attention: Reals, lesion: Reals) -> Counts:
    """One patient's maps, which lie in [0, 1], as whole numbers, shape (2, cells, cells).

    Raises
    ------
    ValueError
        If a value lies outside.
    """
    maps = np.stack([attention, lesion])
    if not (maps >= 0).all() or not (maps <= 1).all():
        raise ValueError(f"a map has values from {maps.min()} to {maps.max()}, outside of [0, 1]")
    return np.rint(maps * QUANTA).astype(np.int64)


def local_mean_map(maps: Counts, fewest: int) -> Summary:
    """What a site adds.

    Parameters
    ----------
    maps : int array, shape (n, 2, cells, cells)
        Of its patients, by `encode_map`; n may be 0.
    fewest : int
        Patients who must have something in a cell.

    Returns
    -------
    Summary
        Counts "map" (2, cells, cells), the sum, 0 where too few have something; and "reached", 1 elsewhere.
    """
    reached = (maps >= _SOMETHING).sum(axis=0) >= fewest
    return Summary({"map": maps.sum(axis=0) * reached, "reached": reached.astype(np.int64)})


def finish_mean_map(summary: Summary, patients: int, sites: int) -> MeanMap:
    """The means.

    Parameters
    ----------
    patients, sites : int
        Who stands behind the sum, and at how many sites; each at least 1.
    """
    reached = summary.counts["reached"] == sites
    means = np.where(reached, summary.counts["map"] / (patients * QUANTA), np.nan)
    return MeanMap(means[0], means[1])
