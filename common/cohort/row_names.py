"""How rows of a table are named where there are many."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 12
"""Runs of rows that a message names."""


def name_rows(rows: Sequence[int], shown: int = _SHOWN) -> str:
    """Runs of rows, each once, the first of them where there are many.

    Examples
    --------
    >>> name_rows([3, 7, 8, 9]), name_rows([4])
    ('rows 3, 7-9', 'row 4')
    """
    names = shorten_rows(rows, shown)
    return f"row {names}" if len(set(rows)) == 1 else f"rows {names}"


def shorten_rows(rows: Sequence[int], shown: int = _SHOWN) -> str:
    """As `name_rows`, without the word: "3, 7-9"."""
    runs: list[list[int]] = []
    for row in sorted(set(rows)):
        if runs and runs[-1][1] == row - 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    names = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
