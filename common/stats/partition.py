"""Table 1 of the parts of a partition beside that of their union, which must not give a hidden part away."""

from __future__ import annotations

from collections.abc import Sequence

from common.stats.estimate import Status, suppressed
from common.stats.table_one import ContinuousRow, TableRow, withheld_row

_SUBTRACTED = suppressed("another part's hidden number could be worked out")


def protect_parts(
    parts: Sequence[tuple[TableRow, ...]], whole: tuple[TableRow, ...]
) -> tuple[tuple[TableRow, ...], ...]:
    """The parts' tables as they may be shown beside the whole's.

    Where the whole shows a number of a variable and a part hides one, that part would be the whole less the
    others: the variable is withheld in every part.

    Parameters
    ----------
    parts : sequence of tables
        Of disjoint cohorts, e.g. one a site.
    whole : table
        Of all their patients together.

    Raises
    ------
    ValueError
        If the tables are not of the same variables in the same order.
    """
    variables = tuple(row.variable for row in whole)
    for part in parts:
        if tuple(row.variable for row in part) != variables:
            raise ValueError("the tables of the parts and of the whole do not have the same variables")
    withheld = [_tells(row, [part[index] for part in parts]) for index, row in enumerate(whole)]
    return tuple(
        tuple(
            withheld_row(row, _SUBTRACTED) if hide else row for row, hide in zip(part, withheld, strict=True)
        )
        for part in parts
    )


def _tells(whole: TableRow, parts: Sequence[TableRow]) -> bool:
    """Whether the whole's row and the others' would tell what a part hides."""
    if not any(hides(row) for row in parts):
        return False
    if _shows_values(whole):
        return True
    # Only numbers of patients are left of it: they tell of those alone.
    of_parts = zip(*(_numbers(row) for row in parts), strict=True)
    return any(
        number is not None and None in hidden
        for number, hidden in zip(_numbers(whole), of_parts, strict=True)
    )


def hides(row: TableRow) -> bool:
    """Whether a number is withheld; one that does not exist is not."""
    if all(status.kind == "undefined" for status in _statuses(row)):
        return False
    if None in _numbers(row):
        return True
    if isinstance(row, ContinuousRow):
        return any(group.status.kind == "suppressed" for group in row.groups)
    return any(None in counts for counts in row.tabulation.counts)


def _shows_values(row: TableRow) -> bool:
    """Whether any group is described, or any level counted."""
    if isinstance(row, ContinuousRow):
        return any(group.status.ok for group in row.groups)
    return any(count is not None for counts in row.tabulation.counts for count in counts)


def _statuses(row: TableRow) -> tuple[Status, ...]:
    if isinstance(row, ContinuousRow):
        return tuple(group.status for group in row.groups)
    return (row.tabulation.status,)


def _numbers(row: TableRow) -> tuple[int | None, ...]:
    """Patients used and missing, by group."""
    if isinstance(row, ContinuousRow):
        used, missing = zip(*((group.n_used, group.n_missing) for group in row.groups), strict=True)
        return (*used, *missing)
    return (*row.tabulation.n_used, *row.tabulation.n_missing)
