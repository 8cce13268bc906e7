"""The numbers of a study's results that correspond to the paper's printed numbers."""

from __future__ import annotations

from collections.abc import Sequence

from server.results.cohort import CohortRow, VariableDescription
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.regression import Association
from simulations.hospitals.published import PaperCohort
from simulations.paper.printed_values import CellName
from simulations.paper.sampled_cohorts import SITES

_PARTS: dict[PaperCohort, str] = {"training": "train", "internal": "test", "external": "whole"}


def plan_name_of(printed: str) -> str:
    """The name in the plan of a model, from its printed name.

    Examples
    --------
    >>> plan_name_of("BRAIN score")
    'BRAIN-score'
    """
    return printed.replace(" ", "-")


def computed_value_of(results: Results, name: CellName) -> float | None:
    """The study's number for a printed cell, or None if it has none."""
    if name.table == 1:
        return _find_in_cohort(results.cohort, name)
    if name.table == 2:
        return _find_in_regression(results, name)
    return _find_in_evaluation(results.evaluation, name)


def _find_in_cohort(rows: Sequence[CohortRow], name: CellName) -> float | None:
    for row in rows:
        if (row.site, row.part, row.label) != (None, name.cohort, name.row):
            continue
        if name.cell == "p" and row.p_value is not None:
            return row.p_value
        if name.cell != "p" and name.level in {"", row.level}:
            group, _, cell = name.cell.partition("_")
            return _pick_description(row.positive if group == "positive" else row.negative, cell)
    return None


def _pick_description(group: VariableDescription, cell: str) -> float | None:
    if cell == "iqr":
        first, third = group.first_quartile, group.third_quartile
        return None if first is None or third is None else third - first
    return {
        "count": group.patients,
        "percent": group.percent,
        "mean": group.mean,
        "sd": group.sd,
        "median": group.median,
    }[cell]


def _find_in_regression(results: Results, name: CellName) -> float | None:
    if results.regression is None or results.regression.cohort_sites != SITES[name.cohort]:
        return None
    model, _, cell = name.cell.partition("_")
    for row in results.regression.rows:
        if row.label == name.row and not row.reference and name.level in {"", row.level}:
            return _pick_effect(row.univariate if model == "univariate" else row.multivariable, cell)
    return None


def _pick_effect(effect: Association | None, cell: str) -> float | None:
    if effect is None:
        return None
    ratio = effect.odds_ratio
    return {"or": ratio.value, "low": ratio.low, "high": ratio.high, "p": effect.p_value}[cell]


def _find_in_evaluation(cells: Sequence[Cell], name: CellName) -> float | None:
    wanted = (plan_name_of(name.row), SITES[name.cohort], _PARTS[name.cohort])
    for cell in cells:
        if (cell.model, cell.cohort_sites, cell.part) == wanted:
            return {
                "auc": cell.auc.value,
                "auc_low": cell.auc.low,
                "auc_high": cell.auc.high,
                "accuracy": cell.accuracy.value,
                "sensitivity": cell.sensitivity.value,
                "specificity": cell.specificity.value,
                "ppv": cell.ppv.value,
                "npv": cell.npv.value,
                "f1": cell.f1.value,
            }[name.cell]
    return None
