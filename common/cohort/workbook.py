"""The cells of an Excel workbook (XLSX), and what it shows beside their values.

openpyxl reads the values row by row and knows nothing then of merged and hidden cells; its other mode makes a
cell of every place up to the last formatted one, which can be row 1,048,576. So the sheet's own XML is looked
through first: it tells how far the values reach, which rows are hidden, and which formulas have no result.

References
----------
ECMA-376-1:2016, 18.3.1 (worksheets).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, TypeVar
from xml.etree.ElementTree import iterparse

from common.cohort.column_letters import column_letter
from common.cohort.sheet import (
    AS_PRESCRIBED,
    LARGEST_FILE,
    XLSX,
    SheetCell,
    SheetOptions,
    TableSheet,
    UncalculatedFormula,
    make_sheet,
    refuse_file,
    refuse_size,
    strip_text,
)
from common.cohort.sheet_outline import OddSheetError, SheetOutline, outline_sheet
from common.cohort.spelling import compare_heading
from common.errors import CohortError, Finding

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from openpyxl.cell.read_only import ReadOnlyCell
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

PATIENTS_SHEET = "patients"
"""The worksheet that is read where a workbook has several with content."""

_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_Read = TypeVar("_Read")


def read_workbook(path: Path, content: bytes, options: SheetOptions = AS_PRESCRIBED) -> TableSheet:
    """The table of a workbook.

    Raises
    ------
    CohortError
        If it is damaged, protected by a password or too large, or the sheet cannot be told.
    """
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        refuse_file(path, "is an old or a password-protected workbook", f"save it as {XLSX} without password")
    archive = _guard(path, lambda: zipfile.ZipFile(io.BytesIO(content)))
    _refuse_bomb(path, archive)
    workbook = _guard(path, lambda: _open_workbook(content))
    outlines = {sheet.title: _outline(path, archive, sheet) for sheet in workbook.worksheets}
    sheet = _choose_sheet(path, workbook, outlines, options.sheet)
    outline = outlines[sheet.title]
    _refuse_uncalculated_headings(path, outline, options.headings_row)
    refuse_size(path, outline.rows - options.headings_row, outline.columns)
    sheet.reset_dimensions()
    cells = _guard(path, lambda: list(sheet.iter_rows(max_row=outline.rows, max_col=outline.columns)))
    struck = _guard(path, lambda: _find_struck(cells))
    rows = _read_rows(cells, outline)
    layout = replace(outline.layout, struck_rows=struck, hidden=sheet.sheet_state != "visible")
    return make_sheet(path, rows, typed=True, layout=layout, headings_row=options.headings_row)


def list_filled_sheets(path: Path) -> list[str]:
    """The titles of the worksheets that hold data.

    Raises
    ------
    CohortError
        If the workbook is missing, damaged, protected by a password or too large.
    """
    content = _guard(path, path.read_bytes)
    archive = _guard(path, lambda: zipfile.ZipFile(io.BytesIO(content)))
    _refuse_bomb(path, archive)
    workbook = _guard(path, lambda: _open_workbook(content))
    return [sheet.title for sheet in workbook.worksheets if _outline(path, archive, sheet).rows]


def _guard(path: Path, read: Callable[[], _Read]) -> _Read:
    """What a library's reading of the workbook gives.

    Raises
    ------
    CohortError
        If it fails.
    """
    try:
        with warnings.catch_warnings():
            # openpyxl warns of drop-down lists and styles that it does not keep; cells are unaffected
            warnings.simplefilter("ignore", UserWarning)
            return read()
    except Exception as failure:  # noqa: BLE001 - openpyxl has no error class for a damaged workbook
        _refuse_damaged(path, ascii(str(failure))[1:-1][:200] or type(failure).__name__)


def _refuse_damaged(path: Path, why: str) -> NoReturn:
    refuse_file(path, f"is not a readable workbook ({why})", "open and save it in Excel")


def _refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that inflates beyond bounds, and XML that defines entities, which no workbook does.

    Raises
    ------
    CohortError
        If it is one of them.
    """
    size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_FILE:
        what = f"its parts have {size:,} bytes when inflated, more than {LARGEST_FILE:,}"
        refuse_file(path, what, "copy the cohort's cells alone into a new workbook")
    for member in archive.infolist():
        part = _guard(path, lambda member=member: archive.read(member))  # type: ignore[misc]
        if any(mark in part for mark in _DOCTYPES):
            _refuse_damaged(path, f"{member.filename!a} holds a document type")


def _outline(path: Path, archive: zipfile.ZipFile, sheet: ReadOnlyWorksheet) -> SheetOutline:
    """What the sheet's XML says before any value is read.

    Raises
    ------
    CohortError
        If the XML is damaged or breaks the format's rules.
    """
    part = _guard(path, lambda: archive.open(sheet._worksheet_path))  # noqa: SLF001 - no public name
    try:
        return outline_sheet(_parse(path, part))
    except OddSheetError as oddity:
        _refuse_damaged(path, str(oddity))


def _parse(path: Path, part: IO[bytes]) -> Iterator[Element]:
    """The elements of a sheet when they end; rows that were looked at are let go."""
    events = iterparse(part, ("start", "end"))  # noqa: S314 - document types were refused
    data = None
    while True:
        try:
            kind, element = next(events)
        except StopIteration:
            return
        except Exception as failure:  # noqa: BLE001 - zip and XML have an error class for each kind of damage
            _refuse_damaged(path, ascii(str(failure))[1:-1])
        if kind == "end":
            yield element
            if data is not None and element.tag.endswith("}row"):
                data.clear()
        elif element.tag.endswith("}sheetData"):
            data = element


def _open_workbook(content: bytes) -> Workbook:
    """The workbook, with results of formulas as values."""
    import openpyxl

    return openpyxl.load_workbook(io.BytesIO(content), data_only=True, read_only=True)


def _choose_sheet(
    path: Path, workbook: Workbook, outlines: Mapping[str, SheetOutline], wanted: str
) -> ReadOnlyWorksheet:
    filled = [sheet for sheet in workbook.worksheets if outlines[sheet.title].rows]
    if wanted:
        chosen = [sheet for sheet in filled if compare_heading(sheet.title) == compare_heading(wanted)]
        if len(chosen) == 1:
            return chosen[0]
        titles = ", ".join(repr(sheet.title) for sheet in filled) or "none"
        what = f"no sheet {wanted!r} holds data; those that do: {titles}"
        refuse_file(path, what, "correct mapping.sheet in site.toml")
    named = [sheet for sheet in filled if sheet.title.strip().lower() == PATIENTS_SHEET]
    if len(filled) == 1 or named:
        return (named or filled)[0]
    if filled:
        titles = ", ".join(repr(sheet.title) for sheet in filled)
        refuse_file(path, f"several sheets hold data: {titles}", f"name the right one {PATIENTS_SHEET!r}")
    return refuse_file(path, "the workbook is empty", "export the table again")


def _refuse_uncalculated_headings(path: Path, outline: SheetOutline, headings_row: int) -> None:
    """Refuse headings that are formulas without a stored result: no column can be told by them.

    Raises
    ------
    CohortError
        With every such heading.
    """
    findings = tuple(
        Finding(
            f"{path.name}, row {headings_row}, column {column_letter(column)}",
            f"the formula {ascii(formula)[1:-1]} has no stored result",
            "open the workbook in Excel, let it calculate, and save",
        )
        for row, column, formula in outline.uncalculated
        if row == headings_row
    )
    if findings:
        raise CohortError(findings)


def _read_rows(cells: Sequence[Sequence[ReadOnlyCell]], outline: SheetOutline) -> list[tuple[SheetCell, ...]]:
    """The rows' values; a formula without a stored result, which openpyxl reads as blank, stands as such."""
    formulas = {(row, column): UncalculatedFormula(text) for row, column, text in outline.uncalculated}
    return [
        tuple(formulas.get((number, column)) or _read_cell(cell.value) for column, cell in enumerate(row))
        for number, row in enumerate(cells, start=1)
    ]


def _find_struck(rows: Sequence[Sequence[ReadOnlyCell]]) -> frozenset[int]:
    """Rows with a value that is struck through; those of merged and blank cells do not count."""
    return frozenset(cell.row for row in rows for cell in row if cell.value is not None and cell.font.strike)


def _read_cell(value: object) -> SheetCell:
    if isinstance(value, str):
        return strip_text(value)
    if value is None or isinstance(value, bool | int | float | datetime | date | time | timedelta):
        return value
    return str(value)
