"""How one column of a hospital's own table is read: its codes, its decimal sign, its unit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from functools import lru_cache
from typing import NoReturn

from common.cohort.sheet import SheetCell
from common.cohort.table_mapping import ColumnMapping, read_meaning
from common.cohort.unit_conversions import AS_IT_IS, Conversion, find_conversion
from common.cohort.variable import Variable

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9]))?")
_CLOCK_UNIT = "h:mm"


class UnlistedCodeError(ValueError):
    """A cell holds a code that the mapping does not list, or a number that it cannot read."""


@lru_cache(maxsize=8192, typed=True)
def normalise_code(cell: object) -> str:
    """The text by which codes are compared: capitals, width and doubled blanks do not count, 1.0 is 1.

    Examples
    --------
    >>> normalise_code(" JA "), normalise_code(1.0), normalise_code("01")
    ('ja', '1', '01')
    """
    if isinstance(cell, bool):
        return str(cell).casefold()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = " ".join(unicodedata.normalize("NFKC", str(cell)).casefold().split())
    return text.partition(".")[0] if re.fullmatch(r"-?[0-9]+\.0+", text) else text


@dataclass(frozen=True)
class CellRule:
    """How the cells of one column are read.

    Attributes
    ----------
    variable : Variable
        What they hold.
    codes : mapping of str to (float, str or None)
        Meanings by `normalise_code`; None stands for unknown.
    conversion : Conversion
        To the variable's unit.
    unit : str
        The cells' unit; empty if it is the variable's.
    comma : bool
        Whether text has decimal commas.
    """

    variable: Variable
    codes: Mapping[str, float | str | None] = field(default_factory=dict, hash=False)
    conversion: Conversion = AS_IT_IS
    unit: str = ""
    comma: bool = False

    def translate(self, cell: SheetCell) -> SheetCell:
        """The cell as the study's own table would have it.

        Raises
        ------
        UnlistedCodeError
            If the mapping does not say what it means.
        """
        if cell is None or self.variable.kind in {"path", "text"}:
            return cell
        code = normalise_code(cell)
        if code in self.codes:
            return self.codes[code]
        if self.variable.kind != "continuous":
            if self.codes:
                self._refuse_code(cell)
            return cell
        number = self._read_number(cell)
        return cell if number is None else self.conversion.convert(number)

    def _refuse_code(self, cell: SheetCell) -> NoReturn:
        raise UnlistedCodeError(
            f"{cell!s} is none of the codes in site.toml: {', '.join(self.codes)} -> correct the cell, or "
            f"say what it means in mapping.columns.{self.variable.name}.values"
        )

    def _read_number(self, cell: SheetCell) -> float | None:
        """The number in a cell; None if it is none, which the reader explains.

        Raises
        ------
        UnlistedCodeError
            If the decimal sign is not the table's.
        """
        if isinstance(cell, bool):
            return None
        if isinstance(cell, int | float):
            return float(cell)
        if self.unit == _CLOCK_UNIT and isinstance(cell, str | time | timedelta):
            return _read_clock(cell)
        if not isinstance(cell, str):
            return None
        if self.comma and "." in cell:
            raise UnlistedCodeError(
                f"{cell!r} has a point, and site.toml says that numbers have decimal commas -> write it with "
                "a decimal comma and without thousands separators"
            )
        text = cell.replace(",", ".") if self.comma else cell
        return float(text) if _NUMBER.fullmatch(text) else None


def _read_clock(cell: str | time | timedelta) -> float | None:
    """Hours in "1:30", or in a cell that Excel keeps as a time of day."""
    if isinstance(cell, timedelta):
        return cell.total_seconds() / 3600
    match = _CLOCK.fullmatch(str(cell))
    if match is None:
        return None
    return int(match[1]) + int(match[2]) / 60 + int(match[3] or 0) / 3600


def make_rule(variable: Variable, column: ColumnMapping, *, comma: bool) -> CellRule:
    """The rule of a column; a meaning or a unit that the variable does not have is left out."""
    meanings = {
        normalise_code(code): None if meaning == "" else read_meaning(variable, meaning)
        for code, meaning in column.values.items()
        if meaning == "" or read_meaning(variable, meaning) is not None
    }
    conversion = find_conversion(variable, column.unit) or AS_IT_IS
    return CellRule(variable, meanings, conversion, column.unit, comma)
