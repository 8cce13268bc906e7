"""The cells of a CSV or XLSX file, unchanged: `cells` and `table` decide what they mean.

pandas' own readers guess: they fill short rows, drop surplus cells into an index, turn "NA" and Excel's
"#DIV/0!" into missing values and "1_000" into a number. A cohort must not be guessed. So the rows are read
with csv and openpyxl directly, and pandas receives values that have been checked.
"""

from __future__ import annotations

import csv
import io
import warnings
import zlib
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias
from zipfile import BadZipFile

from common.errors import CohortError, Finding

if TYPE_CHECKING:
    from openpyxl.cell.cell import SheetCell as ExcelCell
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

CSV, XLSX = ".csv", ".xlsx"
"""Suffixes of the files that can hold a cohort table."""

SheetCell: TypeAlias = str | int | float | bool | date | time | None
"""What a cell holds; None where it is blank. A CSV has only text."""

PATIENTS_SHEET = "patients"
"""The worksheet that is read where a workbook has several with content."""


@dataclass(frozen=True)
class SheetRow:
    """One line of the table.

    Attributes
    ----------
    number : int
        As a spreadsheet shows it: the heading is row 1.
    cells : tuple of SheetCell
        Not padded: shorter or longer than the heading where the file's row is.
    """

    number: int
    cells: tuple[SheetCell, ...]


@dataclass(frozen=True)
class TableSheet:
    """A table as it was written.

    Attributes
    ----------
    header : tuple of str
        Headings without surrounding blanks; empty where a heading is blank.
    rows : tuple of SheetRow
        Rows with any content below the heading.
    typed : bool
        True if cells have types of their own (XLSX), so that a number kept as text is a mistake.
    """

    header: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    typed: bool


def read_sheet(path: Path) -> TableSheet:
    """The cells of a table file.

    Raises
    ------
    CohortError
        If the file is missing, damaged, of another format or encoding, or has no heading.
    """
    readers = {CSV: _read_csv, XLSX: _read_xlsx}
    if path.suffix.lower() not in readers:
        _refuse(path, f"{path.suffix or 'no'} extension", f"save the table as {XLSX} or as {CSV} (UTF-8)")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse(path, "no such file", "correct `table` in site.toml")
    except OSError as failure:
        _refuse(path, f"cannot be read ({failure.strerror})", "check the file's permissions")
    if not content:
        _refuse(path, "the file is empty", "export the table again")
    return readers[path.suffix.lower()](path, content)


def _refuse(path: Path, what: str, remedy: str) -> NoReturn:
    """Refuse the file for one reason.

    Raises
    ------
    CohortError
        Always, with that reason alone.
    """
    raise CohortError((Finding(path.name, what, remedy),)) from None


def _read_csv(path: Path, content: bytes) -> TableSheet:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        _refuse(path, f"is an Excel workbook with the extension {CSV}", f"rename it to {XLSX}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content:
        _refuse(path, "is not UTF-8 text (UTF-16 or binary)", 'save as "CSV UTF-8 (comma delimited)"')
    try:
        # utf-8-sig drops the byte-order mark that Excel writes before the first heading
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        what = f"line {line} holds a byte that is not UTF-8 (0x{content[failure.start]:02x})"
        _refuse(path, what, 'save as "CSV UTF-8 (comma delimited)"')
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as failure:
        _refuse(path, f"is not valid CSV: {failure}", "look for an unclosed quotation mark")
    rows: list[tuple[SheetCell, ...]] = [tuple(cell.strip() or None for cell in record) for record in records]
    _refuse_delimiter(path, records[0] if records else [])
    return _make_sheet(path, rows, typed=False)


def _refuse_delimiter(path: Path, header: list[str]) -> None:
    """Refuse a heading that is one cell only because another character separates its columns."""
    if len(header) != 1:
        return
    for delimiter, name in ((";", "semicolons"), ("\t", "tabulators"), ("|", "vertical bars")):
        if delimiter in header[0]:
            _refuse(
                path,
                f"its columns are separated by {name}, not by commas",
                f"save it as {XLSX}, or as CSV with commas and decimal points",
            )


def _read_xlsx(path: Path, content: bytes) -> TableSheet:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        _refuse(path, "is an old or a password-protected workbook", f"save it as {XLSX} without password")
    values, formulas = _open_workbook(path, content, values=True), _open_workbook(path, content, values=False)
    sheet = _choose_sheet(path, values)
    _refuse_uncalculated(path, sheet, formulas[sheet.title])
    return _make_sheet(path, [tuple(map(_read_cell, row)) for row in sheet.iter_rows()], typed=True)


def _open_workbook(path: Path, content: bytes, *, values: bool) -> Workbook:
    """The workbook, with results of formulas as values or with the formulas themselves."""
    import openpyxl

    try:
        with warnings.catch_warnings():
            # openpyxl warns of drop-down lists and styles that it does not keep; cells are unaffected
            warnings.simplefilter("ignore", UserWarning)
            return openpyxl.load_workbook(io.BytesIO(content), data_only=values)
    except (
        BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
        RuntimeError,
        SyntaxError,
    ) as failure:
        # openpyxl has no error class for a damaged archive; a SyntaxError comes from the XML parser, a
        # RuntimeError from an encrypted member
        _refuse(path, f"is not a readable workbook ({failure})", "open and save it in Excel")


def _choose_sheet(path: Path, workbook: Workbook) -> Worksheet:
    filled = [
        sheet
        for sheet in workbook.worksheets
        if any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)
    ]
    named = [sheet for sheet in filled if sheet.title.strip().lower() == PATIENTS_SHEET]
    if len(filled) == 1 or named:
        return (named or filled)[0]
    if not filled:
        _refuse(path, "the workbook is empty", "export the table again")
    titles = ", ".join(repr(sheet.title) for sheet in filled)
    _refuse(path, f"several sheets hold data: {titles}", f"name the right one {PATIENTS_SHEET!r}")


def _refuse_uncalculated(path: Path, values: Worksheet, formulas: Worksheet) -> None:
    """Refuse formulas without a stored result: they would read as blank.

    Raises
    ------
    CohortError
        With every such cell.
    """
    findings = tuple(
        Finding(
            f"{path.name}, row {cell.row}, column {cell.column_letter}",
            f"the formula {cell.value} has no stored result",
            "open the workbook in Excel, let it calculate, and save",
        )
        for row in formulas.iter_rows()
        for cell in row
        if cell.data_type == "f" and values[cell.coordinate].value is None
    )
    if findings:
        raise CohortError(findings)


def _read_cell(cell: ExcelCell) -> SheetCell:
    value = cell.value
    if isinstance(value, str):
        return value.strip() or None
    if value is None or isinstance(value, bool | int | float | datetime | date | time):
        return value
    return str(value)


def _make_sheet(path: Path, rows: list[tuple[SheetCell, ...]], *, typed: bool) -> TableSheet:
    header = tuple("" if cell is None else str(cell) for cell in rows[0]) if rows else ()
    if not any(header):
        _refuse(path, "the first row has no headings", "put the column names into row 1")
    return TableSheet(
        header=header,
        rows=tuple(
            SheetRow(number, cells)
            for number, cells in enumerate(rows[1:], start=2)
            if any(cell is not None for cell in cells)
        ),
        typed=typed,
    )
