"""CSV files that a spreadsheet opens: what came from elsewhere, such as a name, is no formula there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_BEGINS_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Also the wide forms of the first four, which some spreadsheets take for them."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_END = "\r\n"


def escape_formula(cell: object) -> object:
    """The cell; a text that a spreadsheet would compute has an apostrophe before it, a number has not.

    References
    ----------
    OWASP, CSV Injection.

    Examples
    --------
    >>> [escape_formula(cell) for cell in ("=1+1", "-", "-1.5", "P-7", -1.5, None)]
    ["'=1+1", "'-", '-1.5', 'P-7', -1.5, None]
    """
    if isinstance(cell, str) and cell[:1] in _BEGINS_FORMULA and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def format_csv(rows: Iterable[Iterable[object]]) -> str:
    """The text of a CSV file; None is a blank cell, a float has every digit."""
    return "".join(_format_row(row) for row in rows)


def _format_row(row: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    # The writer quotes a cell that holds a character of the line's end, and of this one alone
    csv.writer(line, lineterminator=_END).writerow([escape_formula(cell) for cell in row])
    return f"{line.getvalue().removesuffix(_END)}\n"
