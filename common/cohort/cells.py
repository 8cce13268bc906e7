"""One cell's value, or why it is refused; nothing is guessed.

Some spellings are accepted that the schema does not list, because they cannot be misread: surrounding blanks,
capitals in levels ("Deep"), Excel's TRUE and FALSE for 1 and 0, and backslashes in paths.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import TypeAlias

from common.cohort.cell_rule import CellRule, UnlistedCodeError
from common.cohort.schema import Variable
from common.cohort.sheet import ContestedCell, SheetCell, UncalculatedFormula
from common.cohort.spelling import settle_path
from common.cohort.units import guess_unit

VariableValue: TypeAlias = float | str | Path
"""A binary (0.0 or 1.0) or continuous variable's number, a level, an identifier or a path."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_THOUSANDS = re.compile(
    r"[+-]?[0-9]{1,3}"
    r"((,[0-9]{3})+(\.[0-9]+)?|(\.[0-9]{3})+(,[0-9]+)?|([ '\u2019][0-9]{3})+([.,][0-9]+)?)"
)
_DATE = re.compile(
    r"[0-9]{1,4}[-./][0-9]{1,2}([-./][0-9]{1,4})?"
    r"|[0-9]{1,2}[-. ]?[^\W\d]{3,9}([-. ][0-9]{2,4})?|[^\W\d]{3,9}[-. ][0-9]{1,4}"
)
_OF_FEW_VALUES, _REMEMBERED = frozenset({"binary", "categorical"}), 10_000
"""Kinds of variables of which many rows hold the same, and how many cells are remembered."""
_YES_OR_NO = "write 1 for yes, 0 for no, nothing for unknown"
_DRIVE = re.compile(r"[A-Za-z]:")
_MISSING_MARKS = frozenset(
    {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "/", "unknown", "missing", "n.a.", "nd"}
)
_EXCEL_ERROR = re.compile(r"#(N/A|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA)")


@dataclass(frozen=True)
class RefusedCell:
    """Why a cell has no value, and what to write instead.

    Attributes
    ----------
    what : str
        The violation, with the cell's content.
    remedy : str
        What to write or check.
    """

    what: str
    remedy: str


@dataclass(frozen=True)
class CellReader:
    """How the cells of one table are read.

    Attributes
    ----------
    typed : bool
        Whether cells have types of their own (XLSX).
    folder : Path
        What relative paths start from; absolute.
    root : Path
        The site's folder, which no path may leave; absolute.
    """

    typed: bool
    folder: Path
    root: Path
    _memory: dict[tuple[str, type, SheetCell], VariableValue | RefusedCell | None] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def read(
        self, variable: Variable, cell: SheetCell, rule: CellRule | None = None
    ) -> VariableValue | RefusedCell | None:
        """The cell's value, of a hospital's own table by its rule; None if blank, or a code of unknown."""
        if cell is None:
            return None
        if variable.kind not in _OF_FEW_VALUES:
            return self._read_cell(variable, cell, rule)
        key = (variable.name, cell.__class__, cell)
        if key not in self._memory:
            if len(self._memory) > _REMEMBERED:
                self._memory.clear()
            self._memory[key] = self._read_cell(variable, cell, rule)
        return self._memory[key]

    def _read_cell(
        self, variable: Variable, cell: SheetCell, rule: CellRule | None
    ) -> VariableValue | RefusedCell | None:
        if rule is None or isinstance(cell, UncalculatedFormula | ContestedCell):
            return self._read_plain(variable, cell)
        try:
            translated = rule.translate(cell)
        except UnlistedCodeError as refusal:
            what, _, remedy = str(refusal).partition(" -> ")
            return RefusedCell(what, remedy)
        value = self._read_plain(variable, translated)
        if isinstance(value, RefusedCell) and rule.unit and translated is not cell:
            return RefusedCell(f"{value.what}; the cell holds {cell} {rule.unit}", value.remedy)
        return value

    def _read_plain(self, variable: Variable, cell: SheetCell) -> VariableValue | RefusedCell | None:
        if cell is None:
            return None
        if isinstance(cell, ContestedCell):
            rows = ", ".join(map(str, cell.rows))
            what = f"the patient's rows {rows} of one event differ in it"
            return RefusedCell(what, "keep the right one")
        if isinstance(cell, UncalculatedFormula):
            return RefusedCell(
                f"the formula {ascii(cell.formula)[1:-1]} has no stored result",
                "open the workbook in Excel, let it calculate, and save",
            )
        refused = _refuse_in_any_column(variable, cell)
        if refused is not None:
            return refused
        if isinstance(cell, date | time):
            return RefusedCell(
                f"a date ({cell}): Excel turns numbers such as 1.5 or 3-4 into dates",
                "format the column as number or text and type the value again",
            )
        return self._read_kind(variable, str(cell) if isinstance(cell, timedelta) else cell)

    def _read_kind(self, variable: Variable, cell: str | float) -> VariableValue | RefusedCell:
        if variable.kind == "path":
            return self._read_path(cell)
        if variable.kind == "text":
            return _read_identifier(cell)
        if variable.kind == "categorical":
            return _read_level(variable, cell)
        return self._read_number(variable, cell)

    def _read_number(self, variable: Variable, cell: str | float) -> float | RefusedCell:
        if isinstance(cell, str):
            refused = self._refuse_text(variable, cell)
            if refused is not None:
                return refused
        elif isinstance(cell, bool) and variable.kind != "binary":
            return RefusedCell(f"{cell} is not a number", f"write {variable.allowed}")
        try:
            value = float(cell)
        except OverflowError:  # a workbook's whole number may have any number of digits
            value = math.inf
        if not math.isfinite(value):
            return RefusedCell(f"{cell} is not a finite number", f"write {variable.allowed}")
        if variable.kind == "binary" and value not in {0.0, 1.0}:
            return RefusedCell(f"{cell} is neither 0 nor 1", _YES_OR_NO)
        refused = _refuse_impossible(variable, value)
        return value if refused is None else refused

    def _refuse_text(self, variable: Variable, text: str) -> RefusedCell | None:
        """Why this text is not a number; None if it is one."""
        if variable.kind == "binary" and not any(character.isdigit() for character in text):
            return RefusedCell(f"{text!r} is neither 0 nor 1", _YES_OR_NO)
        if _DECIMAL_COMMA.fullmatch(text):
            # "1,245" may be a volume of 1.245 or a thousand and more: only the hospital knows
            certain = len(text.split(",")[1]) != 3
            remedy = f"write {text.replace(',', '.')}" if certain else "write it with a decimal point"
            return RefusedCell(f"{text!r} has a decimal comma", remedy)
        if not _NUMBER.fullmatch(text):
            return _explain_no_number(text)
        if self.typed:
            return RefusedCell(
                f"{text!r} is a number kept as text, which Excel may have misread",
                'in Excel: mark the column, then "Convert to Number"',
            )
        return None

    def _read_path(self, cell: str | float) -> Path | RefusedCell:
        if not isinstance(cell, str):
            return RefusedCell(f"{cell} is not a path", "write the path relative to the table's folder")
        # Tables are often written under Windows, and no hospital names a file with a backslash
        text = cell.replace("\\", "/")
        if _DRIVE.match(text):
            return RefusedCell(
                f"{cell!r} names a Windows drive", "write the path relative to the table's folder"
            )
        if not text.isprintable():
            return RefusedCell(f"{cell!r} holds control characters", "type the path again")
        # Lexically, not resolved: a link from here to the archive's disk is the hospital's own decision
        path = Path(os.path.normpath(self.folder / text))
        if self.root not in path.parents:
            return RefusedCell(
                f"{cell!r} leads out of the site's folder", "move or link the data into the site's folder"
            )
        return settle_path(path, self.root)


def _refuse_impossible(variable: Variable, value: float) -> RefusedCell | None:
    """Why a number is none of the variable's; None if it is one."""
    if variable.possible is not None and value not in variable.possible:
        what = f"{value:g} {variable.unit}".strip()
        guess = guess_unit(variable, value)
        remedy = f"check value and unit: {guess}" if guess else "check value and unit"
        return RefusedCell(f"{what} is impossible (possible: {variable.allowed})", remedy)
    if variable.whole and not value.is_integer():
        return RefusedCell(f"{value:g} is no whole number", "write a count")
    return None


def _explain_no_number(text: str) -> RefusedCell:
    """Why this text is no number, by its usual causes."""
    plain = unicodedata.normalize("NFKC", text)
    if _THOUSANDS.fullmatch(plain):
        separator = next(character for character in plain if character in ",. '\u2019")
        bare = plain.replace(separator, "").replace(",", ".")
        return RefusedCell(f"{text!r} is not a number: it has a thousands separator", f"write {bare}")
    if _DATE.fullmatch(text):
        return RefusedCell(
            f"{text!r} is not a number but a date: Excel turns numbers such as 1.5 or 3-4 into dates",
            "format the column as number or text and type the value again",
        )
    if plain != text and _NUMBER.fullmatch(plain):
        return RefusedCell(f"{text!r} is not a number: its digits are not the usual ones", f"write {plain}")
    return RefusedCell(f"{text!r} is not a number", "write digits with a decimal point and no unit")


def _refuse_in_any_column(variable: Variable, cell: SheetCell) -> RefusedCell | None:
    if not isinstance(cell, str):
        return None
    if _EXCEL_ERROR.fullmatch(cell):
        return RefusedCell(f"Excel's error {cell}", "mend the formula, or leave the cell blank")
    if cell.lower() in _MISSING_MARKS and variable.kind != "text":
        return RefusedCell(f"{cell!r} is no value", "leave the cell blank if the value is missing")
    return None


def _read_identifier(cell: str | float) -> str | RefusedCell:
    if isinstance(cell, bool) or (isinstance(cell, float) and not cell.is_integer()):
        return RefusedCell(f"{cell} is not an identifier", "write the patient's pseudonym")
    text = unicodedata.normalize("NFC", cell if isinstance(cell, str) else str(int(cell)))
    if not text.isprintable():
        return RefusedCell(f"{text!r} holds control characters", "type the pseudonym again")
    return text


def _read_level(variable: Variable, cell: str | float) -> str | RefusedCell:
    # A workbook holds the level "2" as the number 2.0
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).lower()
    levels = {level.lower(): level for level in variable.levels}
    if text in levels:
        return levels[text]
    near = [levels[level] for level in difflib.get_close_matches(text, levels, n=1)]
    begun = [level for plain, level in levels.items() if plain.startswith(text)]
    meant = near or (begun if len(begun) == 1 else [])
    remedy = f"did you mean {meant[0]!r}?" if meant else "write one of them, or nothing for unknown"
    return RefusedCell(f"{cell!r} is none of: {variable.allowed}", remedy)
