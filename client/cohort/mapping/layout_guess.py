"""How a hospital's file is laid out: characters, separator, where the headings stand, what is no patient."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from client.cohort.mapping.concept_words import CONCEPTS
from client.cohort.mapping.heading_words import parse_heading, speaks_of
from common.cohort.cell_rule import normalise_code
from common.cohort.sheet import CSV, SheetCell, SheetOptions, SheetRow, TableSheet, read_heading, refuse_file
from common.cohort.sheet_file import read_content, read_sheet
from common.cohort.workbook import list_filled_sheets
from common.errors import CohortError

_ENCODINGS = ("utf-8", "gb18030", "shift_jis", "big5", "euc_kr", "cp1252", "cp1250", "cp1251")
_SEPARATORS = (",", ";", "\t", "|")
_ROWS = 15
"""Rows among which the headings are looked for."""
_COMMA, _POINT = re.compile(r"[+-]?[0-9]+,[0-9]+"), re.compile(r"[+-]?[0-9]+\.[0-9]+")
_SAID = frozenset(CONCEPTS) - {
    *("neutral", "serial", "kind_of", "use", "medication", "level", "interval"),
    *("past", "undone", "between", "treated", "place", "negated"),
}
_NOT_A_PATIENT = re.compile(
    r"(total|totals|sum|summe|gesamt|insgesamt|mean|average|median|mittel|mittelwert|moyenne|somme|media|promedio|suma|totale|"
    r"count|anzahl|n\b|std|sd\b|note|notes|comment|bemerkung|anmerkung|stand|quelle|source|remarque|nota|legende|legend|"
    r"合计|总计|平均|均值|小计|注|备注|说明|合計|計|注記|#|\*)"
)
_FEW_CELLS, _LOOKED_AT = 3, 200_000
_WIDE = "\\u3400-\\u9fff\\uac00-\\ud7af\\uff61-\\uff9f"
_RUN = re.compile(f"([a-z]?)[{_WIDE}]+([a-z]?)")
"""Chinese or Japanese characters, and the small Latin letters beside them."""


@dataclass(frozen=True)
class LayoutGuess:
    """How a file is read.

    Attributes
    ----------
    options : SheetOptions
        Characters, separator, sheet and headings.
    sheet : TableSheet
        The table, read so.
    decimal : str
        "," or ".".
    left_out : tuple of str
        Patterns of the first cells of rows that are no patients.
    doubts : tuple of str
        What a person has to look at.
    """

    options: SheetOptions
    sheet: TableSheet
    decimal: str = "."
    left_out: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def guess_layout(path: Path) -> LayoutGuess:
    """The layout under which most headings say something.

    Raises
    ------
    CohortError
        If the file cannot be read, or has no headings.
    """
    options = _guess_csv(path) if path.suffix.lower() == CSV else _guess_workbook(path)
    sheet = read_sheet(path, options)
    commas, points = _count_decimals(sheet.rows)
    doubts = []
    if commas and points:
        doubts.append(f"{commas} numbers have a decimal comma, {points} a point: which is right?")
    left_out = tuple(dict.fromkeys(_find_left_out(sheet)))
    return LayoutGuess(options, sheet, "," if commas > points else ".", left_out, tuple(doubts))


def count_known(cells: Sequence[object]) -> int:
    """How many headings of a row say something that a study asks for."""
    headings = {read_heading(cell) for cell in cells if isinstance(cell, str)}
    return sum(
        speaks_of(parse_heading(heading).text, _SAID) for heading in headings if 0 < len(heading) < 200
    )


def _guess_csv(path: Path) -> SheetOptions:
    content = read_content(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    elif _decodes(content, "utf-8"):
        encodings = ("utf-8",)
    else:
        encodings = tuple(name for name in _ENCODINGS if _decodes(content, name))
    best, options = (-1, -1), SheetOptions()
    for encoding in encodings:
        lines = content.decode(encoding).removeprefix("\ufeff")
        for separator in _SEPARATORS:
            reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator)
            try:
                rows = list(islice(reader, _ROWS))
            except csv.Error:
                continue
            row, score = _find_headings(rows)
            if score > best:
                best, options = score, SheetOptions("", encoding, separator, row)
    if best < (0, 2):
        refuse_file(path, "no row of it looks like headings", "is it a table, one row a patient?")
    return options


def _decodes(content: bytes, encoding: str) -> bool:
    """Whether a file may be of this encoding: nearly any bytes of Latin letters are Chinese ones, too."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return False
    runs = [match[1] or match[2] for match in _RUN.finditer(text[:_LOOKED_AT])]
    return 2 * sum(map(bool, runs)) <= len(runs)


def _find_headings(rows: Sequence[Sequence[object]]) -> tuple[int, tuple[int, int]]:
    """The row of the headings, from 1, and how much it says: known headings, then filled cells."""
    scores = [(count_known(row), sum(bool(cell) for cell in row)) for row in rows]
    best = max(scores, default=(0, 0))
    return (scores.index(best) + 1 if scores else 1), best


def _guess_workbook(path: Path) -> SheetOptions:
    best, options = (-1, -1), SheetOptions()
    titles = list_filled_sheets(path)
    for title in titles:
        named = SheetOptions(sheet=title if len(titles) > 1 else "")
        for row in range(1, _ROWS + 1):
            sheet = _try_headings(path, replace(named, headings_row=row))
            if sheet is not None:
                break
        else:
            continue
        rows = [sheet.header, *_pad(sheet.rows, sheet.headings_row)]
        found, score = _find_headings(rows)
        if score > best:
            best, options = score, replace(named, headings_row=sheet.headings_row + found - 1)
    return options


def _try_headings(path: Path, options: SheetOptions) -> TableSheet | None:
    """The sheet if the row has any text, which a blank line above the table has not.

    Raises
    ------
    CohortError
        If the file cannot be read.
    """
    try:
        return read_sheet(path, options)
    except CohortError as failure:
        if "no headings" in str(failure):
            return None
        raise


def _pad(rows: Sequence[SheetRow], headings_row: int) -> list[tuple[SheetCell, ...]]:
    """The first rows below, blank ones at their places."""
    by_number = {row.number: row.cells for row in rows[:_ROWS]}
    return [by_number.get(number, ()) for number in range(headings_row + 1, headings_row + _ROWS)]


def _count_decimals(rows: Sequence[SheetRow]) -> tuple[int, int]:
    texts = [cell for row in rows[:2000] for cell in row.cells if isinstance(cell, str) and len(cell) < 20]
    commas = sum(_COMMA.fullmatch(text) is not None for text in texts)
    return commas, sum(_POINT.fullmatch(text) is not None for text in texts) if commas else 0


def _find_left_out(sheet: TableSheet) -> Iterator[str]:
    """Patterns of rows that hold next to nothing, and begin with a word for totals or comments."""
    for row in sheet.rows:
        filled = [cell for cell in row.cells if cell is not None]
        sparse = len(filled) <= max(_FEW_CELLS, len(sheet.header) // 3)
        first = filled[0]
        if not sparse or not isinstance(first, str):
            continue
        text = normalise_code(first)
        if _NOT_A_PATIENT.match(text):
            head, sign, _ = re.sub(r"[\[\]*?]", "?", text).partition(":")
            yield f"{head}{sign}*" if sign or len(filled) == 1 else head
