"""A table as it was written: its cells, unchanged, and what its look says about them.

pandas' own readers guess: they fill short rows, drop surplus cells into an index, turn "NA" and Excel's
"#DIV/0!" into missing values and "1_000" into a number. A cohort must not be guessed. So the rows are read
with csv and openpyxl directly (`sheet_file`, `workbook`); `cells` and `table` decide what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NoReturn, TypeAlias

from common.errors import CohortError, Finding

CSV, XLSX = ".csv", ".xlsx"
"""Suffixes of the files that can hold a cohort table."""

LARGEST_FILE = 100_000_000
"""Bytes of a CSV, or of a workbook's parts after they are inflated; 100,000 patients need less."""
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 100_000, 2_000, 4_000_000
"""Bounds of a table; a cohort has thousands of patients and some 50 columns."""


@dataclass(frozen=True)
class UncalculatedFormula:
    """A cell whose formula has no stored result, which another program wrote and no spreadsheet calculated.

    Attributes
    ----------
    formula : str
        As it was written, with its "=".
    """

    formula: str


@dataclass(frozen=True)
class ContestedCell:
    """A value that several rows of one patient give differently, in a long export.

    Attributes
    ----------
    rows : tuple of int
        As a spreadsheet shows them.
    """

    rows: tuple[int, ...]


SheetCell: TypeAlias = (
    str | int | float | bool | date | datetime | time | timedelta | UncalculatedFormula | ContestedCell | None
)
"""What a cell holds; None where it is blank. A CSV has only text."""


@dataclass(frozen=True)
class SheetOptions:
    """How a hospital's own file is read.

    Attributes
    ----------
    sheet : str
        The worksheet; empty: the only one with content, or "patients".
    encoding : str
        Of a CSV.
    separator : str
        Of a CSV's columns.
    headings_row : int
        The row of the headings, from 1.
    """

    sheet: str = ""
    encoding: str = "utf-8"
    separator: str = ","
    headings_row: int = 1


AS_PRESCRIBED = SheetOptions()
"""A table as the documentation describes it."""

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters that no reader of the table can see; they come with text copied from web pages and PDFs."""
_REMOVED = dict.fromkeys(map(ord, _INVISIBLE))
_BLANKS = (
    " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""Every character that is white space in Unicode, as Python's str.isspace tells it."""


@dataclass(frozen=True)
class CellRange:
    """A rectangle of cells.

    Attributes
    ----------
    rows, columns : tuple of 2 int
        First and last, both included; rows as a spreadsheet counts them, columns from 0.
    name : str
        As a spreadsheet names it, e.g. "C5:C6".
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    name: str


@dataclass(frozen=True)
class SheetLayout:
    """What a workbook shows beside the values of its cells; a CSV shows nothing.

    Attributes
    ----------
    merged : tuple of CellRange
        Cells shown as one, of which the first alone has a value.
    hidden_rows, struck_rows : frozenset of int
        Rows that are not shown, and rows with a value that is struck through.
    hidden_columns : frozenset of int
        From 0.
    filtered : bool
        Whether a filter stands on the sheet.
    hidden : bool
        Whether the sheet itself is not shown.
    """

    merged: tuple[CellRange, ...] = ()
    hidden_rows: frozenset[int] = frozenset()
    struck_rows: frozenset[int] = frozenset()
    hidden_columns: frozenset[int] = frozenset()
    filtered: bool = False
    hidden: bool = False


NO_LAYOUT = SheetLayout()
"""Of a CSV."""


@dataclass(frozen=True)
class SheetRow:
    """One line of the table.

    Attributes
    ----------
    number : int
        As a spreadsheet shows it: the heading is row 1.
    cells : tuple of SheetCell
        Not padded: shorter or longer than the heading where the file's row is.
    extra : tuple of SheetCell
        What other rows of the same patient hold, in a long export; see `common.cohort.arrangement`.
    """

    number: int
    cells: tuple[SheetCell, ...]
    extra: tuple[SheetCell, ...] = ()


@dataclass(frozen=True)
class TableSheet:
    """A table as it was written.

    Attributes
    ----------
    header : tuple of str
        Headings without surrounding blanks and invisible characters; empty where a heading is blank.
    rows : tuple of SheetRow
        Rows with any content below the heading.
    typed : bool
        True if cells have types of their own (XLSX), so that a number kept as text is a mistake.
    layout : SheetLayout
        What the sheet shows beside the values.
    headings_row : int
        Where the headings stand, from 1.
    """

    header: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    typed: bool
    layout: SheetLayout = NO_LAYOUT
    headings_row: int = 1


def refuse_file(path: Path, what: str, remedy: str) -> NoReturn:
    """Refuse the file for one reason.

    Raises
    ------
    CohortError
        Always, with that reason alone.
    """
    raise CohortError((Finding(path.name, what, remedy),)) from None


def strip_text(text: str) -> str | None:
    """The text without blanks and invisible characters at its ends; None if nothing is left.

    Within the text they stay: there they can tell one identifier from another, and the reader refuses them.
    """
    return text.strip(_BLANKS + _INVISIBLE) or None


def make_sheet(
    path: Path,
    rows: list[tuple[SheetCell, ...]],
    *,
    typed: bool,
    layout: SheetLayout = NO_LAYOUT,
    headings_row: int = 1,
) -> TableSheet:
    """The table of these rows, of which the first, or the one of that number, holds the headings.

    Raises
    ------
    CohortError
        If there are no headings, or more rows, columns or cells than a table may have.
    """
    header = tuple(map(read_heading, rows[headings_row - 1])) if len(rows) >= headings_row else ()
    if not any(header) and headings_row == 1:
        refuse_file(path, "the first row has no headings", "put the column names into row 1")
    if not any(header):
        what = f"row {headings_row} has no headings"
        refuse_file(path, what, "correct mapping.headings_row in site.toml")
    refuse_size(path, len(rows) - headings_row, len(header))
    return TableSheet(
        header=header,
        rows=tuple(
            SheetRow(number, cells)
            for number, cells in enumerate(rows[headings_row:], start=headings_row + 1)
            if any(cell is not None for cell in cells)
        ),
        typed=typed,
        layout=layout,
        headings_row=headings_row,
    )


def read_heading(cell: SheetCell) -> str:
    """The heading in a cell, without invisible characters and doubled blanks; empty where it is blank."""
    return "" if cell is None else " ".join(str(cell).translate(_REMOVED).split())


def refuse_size(path: Path, rows: int, columns: int) -> None:
    """Refuse a table that is larger than any cohort's.

    Raises
    ------
    CohortError
        If it has more rows, columns or cells than a table may have.
    """
    for number, most, name in (
        (rows, MOST_ROWS, "rows"),
        (columns, MOST_COLUMNS, "columns"),
        (rows * columns, MOST_CELLS, "cells"),
    ):
        if number > most:
            what = f"the table reaches over {number:,} {name}, more than {most:,}"
            refuse_file(path, what, "delete what stands far below or beside the table")
