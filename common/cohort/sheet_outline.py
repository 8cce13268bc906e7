"""What a worksheet's XML says before any value is read: how far values reach, and what is merged or hidden.

References
----------
ECMA-376-1:2016, 18.3.1 (worksheets): row, c, f, v, col, mergeCell, autoFilter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.cohort.sheet import MOST_CELLS, MOST_COLUMNS, CellRange, SheetLayout

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384
"""Of any worksheet."""
_CELL = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_NUMBER = re.compile(r"[0-9]{1,9}")
_YES = frozenset({"1", "true"})
_NO_HEIGHT = frozenset({"0", "0.0"})


class OddSheetError(ValueError):
    """A worksheet breaks the format's rules; the text says how."""


@dataclass
class SheetOutline:
    """What is known of a worksheet.

    Attributes
    ----------
    rows, columns : int
        How far cells with content reach; 0 where there are none.
    uncalculated : list of tuple of (int, int, str)
        Row, column (from 0) and formula of the cells whose formula has no result.
    merged : list of CellRange
        Merged cells.
    hidden_rows, hidden_columns : set of int
        Rows as a spreadsheet counts them; columns from 0.
    filtered : bool
        Whether a filter stands on the sheet.
    """

    rows: int = 0
    columns: int = 0
    uncalculated: list[tuple[int, int, str]] = field(default_factory=list)
    merged: list[CellRange] = field(default_factory=list)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    filtered: bool = False
    _row: int = 0
    _merged_rows: int = 0

    @property
    def layout(self) -> SheetLayout:
        """What is shown beside the values."""
        return SheetLayout(
            merged=tuple(self.merged),
            hidden_rows=frozenset(self.hidden_rows),
            hidden_columns=frozenset(self.hidden_columns),
            filtered=self.filtered,
        )

    def add_row(self, element: Element) -> None:
        """Take note of a row and its cells.

        Raises
        ------
        OddSheetError
            If rows or cells are out of order or beyond the sheet.
        """
        row = _read_number(element.get("r", str(self._row + 1)))
        if not self._row < row <= _LAST_ROW:
            raise OddSheetError(f"row {row} stands behind row {self._row}")
        self._row = row
        if element.get("hidden") in _YES or (
            element.get("customHeight") in _YES and element.get("ht") in _NO_HEIGHT
        ):
            self.hidden_rows.add(row)
        last = -1
        for cell in element:
            column = self._find_column(cell.get("r"), last)
            last = column
            self._add_cell(cell, column)

    def _find_column(self, reference: str | None, last: int) -> int:
        """The column of the next cell, from 0.

        Raises
        ------
        OddSheetError
            If the cell stands in another row or before the last one.
        """
        row, column = (self._row, last + 1) if reference is None else _read_cell(reference)
        if row != self._row or not last < column < _LAST_COLUMN:
            raise OddSheetError(f"cell {reference!a} in row {self._row} is out of order")
        return column

    def _add_cell(self, cell: Element, column: int) -> None:
        parts = {_name(part): part for part in cell}
        result = parts.get("v")
        if "f" in parts and not (result is not None and (result.text or cell.get("t") == "str")):
            self.uncalculated.append((self._row, column, f"={parts['f'].text or ''}"))
        if "is" in parts or "f" in parts or (result is not None and result.text):
            self.rows = self._row
            self.columns = max(self.columns, column + 1)

    def add_columns(self, element: Element) -> None:
        """Take note of hidden columns.

        Raises
        ------
        OddSheetError
            If their numbers are none.
        """
        if element.get("hidden") in _YES or element.get("width") == "0":
            first, last = _read_number(element.get("min", "1")), _read_number(element.get("max", "1"))
            self.hidden_columns.update(range(first - 1, min(last, MOST_COLUMNS)))

    def add_merged(self, element: Element) -> None:
        """Take note of merged cells.

        Raises
        ------
        OddSheetError
            If they are no rectangle, or overlap.
        """
        name = element.get("ref", "")
        first, _, last = name.partition(":")
        (top, left), (bottom, right) = _read_cell(first), _read_cell(last or first)
        # Ranges that do not overlap cover at most every cell of a table
        self._merged_rows += max(bottom - top, 0) + 1
        if self._merged_rows > MOST_CELLS:
            raise OddSheetError("merged ranges overlap")
        self.merged.append(CellRange((top, bottom), (left, right), name))


def outline_sheet(elements: Iterable[Element]) -> SheetOutline:
    """The outline of a worksheet.

    Parameters
    ----------
    elements : iterable of Element
        Those of its XML, each when it ends; rows are cleared when they were looked at.

    Raises
    ------
    OddSheetError
        If the sheet breaks the format's rules.
    """
    outline = SheetOutline()
    for element in elements:
        name = _name(element)
        if name == "row":
            outline.add_row(element)
            element.clear()
        elif name == "col":
            outline.add_columns(element)
        elif name == "mergeCell":
            outline.add_merged(element)
        elif name == "filterColumn":
            outline.filtered = True
    return outline


def _name(element: Element) -> str:
    """The element's name without its namespace: strict and transitional files differ in that alone."""
    return element.tag.rpartition("}")[2]


def _read_number(text: str) -> int:
    """The number in an attribute.

    Raises
    ------
    OddSheetError
        If it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise OddSheetError(f"{text[:20]!a} is no number of a row or column")
    return int(text)


def _read_cell(reference: str) -> tuple[int, int]:
    """Row (from 1) and column (from 0) of a cell's name.

    Raises
    ------
    OddSheetError
        If it is none.
    """
    match = _CELL.fullmatch(reference)
    if match is None:
        raise OddSheetError(f"{reference[:20]!a} is no cell")
    column = 0
    for letter in match[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(match[2]), column - 1
