"""A categorical variable by group: a table of counts in which small counts are hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from common.stats.contract import Summary
from common.stats.descriptive import check_groups
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import STANDARD, Minima, hide_cells
from common.types import Counts, Flags

CellValue = TypeVar("CellValue", int, float)

MISSING = -1
"""Code of a patient whose level is unknown."""


@dataclass(frozen=True)
class Tabulation:
    """One categorical variable by group.

    Attributes
    ----------
    counts : tuple (level) of tuples (group) of int or None
        Patients; None where hidden.
    percentages : tuple (level) of tuples (group) of float or None
        Share of the group's patients with a known level, in percent; None where hidden.
    n_used, n_missing : tuple (group) of int or None
        Patients with a known level, and those without; None where hidden.
    method : str
        How missing values are treated.
    status : Status
        Suppressed if anything is hidden; then a test of this table may not be shown either.
    """

    counts: tuple[tuple[int | None, ...], ...]
    percentages: tuple[tuple[float | None, ...], ...]
    n_used: tuple[int | None, ...]
    n_missing: tuple[int | None, ...]
    method: str
    status: Status


def local_contingency(codes: Counts, groups: Counts, n_groups: int, levels: int) -> Summary:
    """One site's patients by level and group.

    Parameters
    ----------
    codes : int array, shape (n,)
        In 0 ... levels - 1, or `MISSING`.
    groups : int array, shape (n,)
        In 0 ... n_groups - 1.

    Returns
    -------
    Summary
        Counts "table" (levels, groups) and "missing" (groups,).

    Raises
    ------
    ValueError
        If shapes differ, or a group or level is unknown.
    """
    check_groups(codes, groups, n_groups)
    if codes.size and (codes.min() < MISSING or codes.max() >= levels):
        raise ValueError(f"levels {codes.min()} ... {codes.max()} are not all among {levels}")
    table = np.zeros((levels + 1, n_groups), dtype=np.int64)
    np.add.at(table, (codes, groups), 1)
    return Summary(counts={"table": table[:-1], "missing": table[-1]})


def finish_contingency(summary: Summary, minima: Minima = STANDARD) -> Tabulation:
    """The table as it may be shown, given that the reader knows its row and group totals.

    The missing values count as one more row, because they could be worked out from the others. Where their
    number is hidden, the group's percentages are hidden too, because their denominator would tell it.
    """
    table, missing = summary.counts["table"], summary.counts["missing"]
    hidden = hide_cells(np.vstack([table, missing[np.newaxis]]), minima)
    known = table.sum(axis=0)
    size_hidden = hidden[-1]
    if hidden.any():
        status = suppressed("a count below the minimum")
    else:
        status = OK if known.sum() else undefined("no values")
    return Tabulation(
        counts=tuple(
            _hide_marked(row.tolist(), marks) for row, marks in zip(table, hidden[:-1], strict=True)
        ),
        percentages=tuple(
            _hide_marked((100 * row / np.maximum(known, 1)).tolist(), marks | size_hidden | (known == 0))
            for row, marks in zip(table, hidden[:-1], strict=True)
        ),
        n_used=_hide_marked(known.tolist(), size_hidden),
        n_missing=_hide_marked(missing.tolist(), size_hidden),
        method="complete cases",
        status=status,
    )


def withhold_tabulation(tabulation: Tabulation, status: Status) -> Tabulation:
    """A table of the same shape without any number, and the status that says why."""
    hidden_rows = tuple(tuple(None for _ in row) for row in tabulation.counts)
    hidden_groups = tuple(None for _ in tabulation.n_used)
    return Tabulation(hidden_rows, hidden_rows, hidden_groups, hidden_groups, tabulation.method, status)


def _hide_marked(values: list[CellValue], hidden: Flags) -> tuple[CellValue | None, ...]:
    return tuple(None if mark else value for value, mark in zip(values, hidden, strict=True))
