"""The comparison as tables for a terminal, laid out as the paper prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from simulations.paper.against_print import ComparedCell, Verdict

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.ERRATUM: "yellow",
    Verdict.FINER: "cyan",
    Verdict.NOT_REPRODUCIBLE: "dim",
    Verdict.MISMATCH: "bold red",
    Verdict.UNEXPECTED: "bold red",
}
_TITLES = {
    1: "Table 1: who the patients are",
    2: "Table 2: what predicts expansion (training cohort)",
    3: "Table 3: how well models predict",
}
_GROUP = ("count", "percent", "mean", "sd", "median", "iqr")
_COLUMNS = {
    1: {
        "Without rHE": tuple(f"negative_{cell}" for cell in _GROUP),
        "With rHE": tuple(f"positive_{cell}" for cell in _GROUP),
        "P": ("p",),
    },
    2: {
        "Univariate OR": ("univariate_or", "univariate_low", "univariate_high"),
        "P": ("univariate_p",),
        "Multivariable OR": ("multivariable_or", "multivariable_low", "multivariable_high"),
        "P ": ("multivariable_p",),
    },
    3: {
        "AUC (95 % CI)": ("auc", "auc_low", "auc_high"),
        "Acc.": ("accuracy",),
        "Sens.": ("sensitivity",),
        "Spec.": ("specificity",),
        "PPV": ("ppv",),
        "NPV": ("npv",),
        "F1": ("f1",),
    },
}
_BETWEEN = {1: (), 2: (" (", ")"), 3: (" (", " to ", ")")}
"""The text between and after the numbers of one column, by how many numbers there are."""


def build_tables(cells: Sequence[ComparedCell]) -> tuple[Table, ...]:
    """Tables 1 to 3 as printed, each number in the colour of its verdict.

    Green: reproduced; yellow: a known misprint; cyan: more decimals than rhe keeps; red: wrong; dim: not
    reproducible. An unequal sign follows yellow, cyan and red numbers.
    """
    return tuple(_build_table(number, cells) for number in _TITLES)


def write_remarks(cells: Iterable[ComparedCell]) -> tuple[str, ...]:
    """A line for each erratum, with its name and reason, and each number that is wrong."""
    return tuple(
        f"{_name_verdict(cell)}: {cell.printed.name}: printed {cell.printed.text}, "
        f"computed {_format_value(cell)}; {cell.reason}"
        for cell in cells
        if cell.erratum is not None or cell.verdict.wrong
    )


def _name_verdict(cell: ComparedCell) -> str:
    """The verdict, and the name of an erratum: "erratum (misrounded)"."""
    if cell.erratum is None or cell.verdict is Verdict.FINER:
        return cell.verdict.value
    return f"{cell.verdict.value} ({cell.erratum.name.value})"


def _build_table(number: int, cells: Sequence[ComparedCell]) -> Table:
    table = Table(title=_TITLES[number], title_justify="left", box=SIMPLE)
    several = len({cell.printed.name.cohort for cell in cells if cell.printed.name.table == number}) > 1
    for heading in ("", *(["Cohort"] if several else []), *_COLUMNS[number]):
        table.add_column(heading, no_wrap=True)
    table.add_column("Remark")
    lines: dict[tuple[str, str, str], list[ComparedCell]] = {}
    for cell in cells:
        name = cell.printed.name
        if name.table == number:
            lines.setdefault((name.row, name.level, name.cohort), []).append(cell)
    for (row, level, cohort), line in lines.items():
        numbers = [_join_numbers(line, names) for names in _COLUMNS[number].values()]
        headings = [f"{row}, {level}" if level else row, *([cohort] if several else [])]
        table.add_row(*headings, *numbers, _write_remark(line))
    return table


def _join_numbers(line: Iterable[ComparedCell], names: Sequence[str]) -> Text:
    """The numbers of one column, e.g. "203 (74.9)" or "1.064 (0.649 to 1.742)"."""
    chosen = [cell for cell in line if cell.printed.name.cell in names]
    text = Text()
    for cell, after in zip_longest(chosen, _BETWEEN[len(chosen)] if chosen else (), fillvalue=None):
        if cell is not None:
            text.append(_style_number(cell))
        text.append(after or "")
    return text


def _style_number(cell: ComparedCell) -> Text:
    text = cell.printed.text
    if cell.verdict in {Verdict.ERRATUM, Verdict.FINER} or cell.verdict.wrong:
        text += "≠"
    return Text(text, style=_STYLES[cell.verdict])


def _format_value(cell: ComparedCell) -> str:
    if cell.verdict is Verdict.NOT_REPRODUCIBLE:
        return "nothing"
    return "missing" if cell.value is None else f"{cell.value:.4g}"


def _write_remark(line: Iterable[ComparedCell]) -> str:
    """The verdicts of the numbers that differ, or why a number cannot be computed."""
    remarks = dict.fromkeys(
        cell.reason if cell.verdict is Verdict.NOT_REPRODUCIBLE else _name_verdict(cell)
        for cell in line
        if cell.verdict is not Verdict.REPRODUCED
    )
    return "; ".join(remarks)
