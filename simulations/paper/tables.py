"""The comparison as tables for a terminal, laid out as the paper prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from simulations.paper.comparison import ComparedCell, Verdict

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.ERRATUM: "yellow",
    Verdict.NOT_REPRODUCIBLE: "dim",
    Verdict.MISMATCH: "bold red",
    Verdict.UNEXPECTED: "bold red",
}
_TITLES = {
    1: "Table 1: who the patients are",
    2: "Table 2: what predicts expansion",
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
        "AUC": ("auc",),
        "95 % CI": ("auc_low", "auc_high"),
        "Accuracy": ("accuracy",),
        "Sensitivity": ("sensitivity",),
        "Specificity": ("specificity",),
        "PPV": ("ppv",),
        "NPV": ("npv",),
        "F1": ("f1",),
    },
}


def comparison_tables(cells: Sequence[ComparedCell]) -> tuple[Table, ...]:
    """Tables 1 to 3 as printed, each number in the colour of what became of it.

    Green: reproduced; yellow: a known misprint, then the computed number; red: wrong, then the computed
    number; dim: not reproducible.
    """
    return tuple(_table(number, cells) for number in _TITLES)


def _table(number: int, cells: Sequence[ComparedCell]) -> Table:
    table = Table(title=_TITLES[number], title_justify="left")
    for heading in ("", "Cohort", *_COLUMNS[number], "Remark"):
        table.add_column(heading, overflow="fold")
    lines: dict[tuple[str, str, str], list[ComparedCell]] = {}
    for cell in cells:
        name = cell.printed.name
        if name.table == number:
            lines.setdefault((name.row, name.level, name.cohort), []).append(cell)
    for (row, level, cohort), of_line in lines.items():
        shown = [_shown(of_line, names) for names in _COLUMNS[number].values()]
        table.add_row(f"{row}, {level}" if level else row, cohort, *shown, _remark(of_line))
    return table


def _shown(line: Iterable[ComparedCell], names: Sequence[str]) -> Text:
    chosen = [cell for cell in line if cell.printed.name.cell in names]
    return Text(" ").join(_number(cell) for cell in chosen)


def _number(cell: ComparedCell) -> Text:
    text = cell.printed.text
    if cell.verdict is Verdict.ERRATUM or cell.verdict.wrong:
        text += " (none)" if cell.value is None else f" ({cell.value:.4g})"
    return Text(text, style=_STYLES[cell.verdict])


def _remark(line: Iterable[ComparedCell]) -> str:
    """Why numbers are not as printed."""
    reasons = dict.fromkeys(
        f"{cell.verdict}: {cell.reason}" if cell.verdict.wrong else cell.reason
        for cell in line
        if cell.verdict is not Verdict.REPRODUCED
    )
    return "; ".join(reasons)
