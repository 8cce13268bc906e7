"""Columns that no schema lists: the scores that a study plan takes from the hospitals' tables."""

from __future__ import annotations

from collections.abc import Container, Iterable

from common.cohort.schema import BY_NAME, Range, Variable

_MEANING = "A score of the study plan; blank where a patient has none"


def find_score_columns(
    declared: Iterable[tuple[str, float, float]], own: Container[str] = ()
) -> tuple[Variable, ...]:
    """The declared score columns that are neither in the schema nor the plan's own variables, each once.

    A continuous variable of these may serve as a score, too. It keeps the schema's range in the table,
    because the study's criteria may exclude patients beyond the plan's range.

    Parameters
    ----------
    declared : iterable of (str, float, float)
        Heading, smallest and largest possible value of each score; several may take one column.
    own : container of str
        Headings of the plan's own variables.

    Raises
    ------
    ValueError
        If two scores of one column differ in their range, or two headings only in capitals.

    Examples
    --------
    >>> [column.name for column in score_columns([("vendor", 0, 1), ("age", 0, 120), ("vendor", 0, 1)])]
    ['vendor']
    """
    ranges: dict[str, Range] = {}
    for column, low, high in declared:
        possible = Range(low, high)
        other = ranges.setdefault(column, possible)
        if other != possible:
            raise ValueError(
                f"two scores take the column {column!r} with the ranges {other} and {possible} "
                "-> a column has one range"
            )
    _refuse_capitals([*ranges, *(name for name in BY_NAME if name not in ranges)])
    return tuple(
        Variable(column, "continuous", "scores", column, _MEANING, possible=possible)
        for column, possible in ranges.items()
        if column not in BY_NAME and column not in own
    )


def _refuse_capitals(names: list[str]) -> None:
    """Refuse two headings that differ in capitals only.

    Raises
    ------
    ValueError
        With both headings.
    """
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(
                f"the columns {other!r} and {name!r} differ in capitals only -> name one of them otherwise"
            )
