"""An empty cohort table for a hospital that has none: a workbook that offers what cells hold, or a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.cohort.column_letters import column_letter
from common.cohort.variable import Variable
from common.cohort.workbook import PATIENTS_SHEET

if TYPE_CHECKING:
    from openpyxl.worksheet.datavalidation import DataValidation

_LAST_ROW = 5000
"""Down to which cells are checked as they are typed."""
_LONGEST_LIST = 250
"""Characters of a list that Excel takes."""
_WIDEST = 24
_PROMPT, _TITLE = 255, 32


def write_workbook(variables: Sequence[Variable]) -> bytes:
    """A workbook with one column for each variable, and a second sheet that explains them."""
    import openpyxl
    from openpyxl.styles import Font

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = PATIENTS_SHEET
    sheet.append([variable.name for variable in variables])
    for index, variable in enumerate(variables):
        letter = column_letter(index)
        sheet[f"{letter}1"].font = Font(bold=True)
        sheet.column_dimensions[letter].width = min(_WIDEST, len(variable.name) + 3)
        if variable.kind == "text":
            for row in range(2, _LAST_ROW // 10):
                sheet[f"{letter}{row}"].number_format = "@"
        check = _make_check(variable)
        sheet.add_data_validation(check)
        check.add(f"{letter}2:{letter}{_LAST_ROW}")
    sheet.freeze_panes = "B2"
    meanings = book.create_sheet("columns")
    meanings.append(["column", "holds", "meaning"])
    for variable in variables:
        meanings.append([variable.name, variable.allowed, variable.meaning])
    for letter, width in (("A", _WIDEST), ("B", _WIDEST), ("C", 90)):
        meanings.column_dimensions[letter].width = width
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def write_csv_table(variables: Sequence[Variable]) -> bytes:
    """The headings alone, as UTF-8 that Excel opens rightly."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow([variable.name for variable in variables])
    return text.getvalue().encode("utf-8-sig")


def _make_check(variable: Variable) -> DataValidation:
    """What Excel lets somebody type into the column, with its meaning beside the cell."""
    from openpyxl.worksheet.datavalidation import DataValidation

    levels = ("0", "1") if variable.kind == "binary" else variable.levels
    listed = ",".join(levels)
    if levels and len(listed) <= _LONGEST_LIST and not any("," in level or '"' in level for level in levels):
        check = DataValidation(type="list", formula1=f'"{listed}"')
    elif variable.possible is not None:
        kind = "whole" if variable.whole else "decimal"
        low, high = f"{variable.possible.low:g}", f"{variable.possible.high:g}"
        check = DataValidation(type=kind, operator="between", formula1=low, formula2=high)
    else:
        check = DataValidation()
    check.allow_blank, check.showInputMessage, check.showErrorMessage = True, True, True
    check.promptTitle, check.prompt = (
        variable.name[:_TITLE],
        f"{variable.meaning}: {variable.allowed}"[:_PROMPT],
    )
    check.errorTitle, check.error = variable.name[:_TITLE], f"possible: {variable.allowed}"[:_PROMPT]
    return check
