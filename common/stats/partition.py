"""Table 1 of disjoint cohorts beside that of their union, which must not disclose a hidden number of one."""

from __future__ import annotations

from collections.abc import Sequence

from common.stats.estimate import Status, suppressed
from common.stats.table_one import ContinuousRow, TableRow, withhold_row

_SUBTRACTED = suppressed("another part's hidden number could be worked out")


def protect_parts(
    parts: Sequence[tuple[TableRow, ...]], union: tuple[TableRow, ...]
) -> tuple[tuple[TableRow, ...], ...]:
    """The parts' tables as they may be shown beside the table of the union.

    If the union shows a number of a variable that a part hides, the hidden number would be the union's minus
    the other parts': then the variable is withheld in every part.

    Parameters
    ----------
    parts : sequence of tables
        Of disjoint cohorts, e.g. one per site.
    union : table
        Of all their patients together.

    Raises
    ------
    ValueError
        If the tables do not have the same variables in the same order.
    """
    variables = tuple(row.variable for row in union)
    for part in parts:
        if tuple(row.variable for row in part) != variables:
            raise ValueError("the tables of the parts and of their union do not have the same variables")
    withheld = [_discloses(row, [part[index] for part in parts]) for index, row in enumerate(union)]
    return tuple(
        tuple(
            withhold_row(row, _SUBTRACTED) if hide else row for row, hide in zip(part, withheld, strict=True)
        )
        for part in parts
    )


def _discloses(union: TableRow, parts: Sequence[TableRow]) -> bool:
    """Whether the union's row, less the other parts', would disclose a number that a part hides."""
    if not any(hides(row) for row in parts):
        return False
    if _shows_values(union):
        return True
    # The union shows numbers of patients alone, which disclose only those of the parts.
    of_parts = zip(*(_numbers_of(row) for row in parts), strict=True)
    return any(
        number is not None and None in hidden
        for number, hidden in zip(_numbers_of(union), of_parts, strict=True)
    )


def hides(row: TableRow) -> bool:
    """Whether the row withholds a number; a number that does not exist is not withheld."""
    if all(status.kind == "undefined" for status in _statuses_of(row)):
        return False
    if None in _numbers_of(row):
        return True
    if isinstance(row, ContinuousRow):
        return any(group.status.kind == "suppressed" for group in row.groups)
    return any(None in counts for counts in row.tabulation.counts)


def _shows_values(row: TableRow) -> bool:
    """Whether the row describes any group or counts any level."""
    if isinstance(row, ContinuousRow):
        return any(group.status.ok for group in row.groups)
    return any(count is not None for counts in row.tabulation.counts for count in counts)


def _statuses_of(row: TableRow) -> tuple[Status, ...]:
    if isinstance(row, ContinuousRow):
        return tuple(group.status for group in row.groups)
    return (row.tabulation.status,)


def _numbers_of(row: TableRow) -> tuple[int | None, ...]:
    """The numbers of patients used, then those missing, by group."""
    if isinstance(row, ContinuousRow):
        used, missing = zip(*((group.n_used, group.n_missing) for group in row.groups), strict=True)
        return (*used, *missing)
    return (*row.tabulation.n_used, *row.tabulation.n_missing)
