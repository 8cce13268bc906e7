"""The evaluation as the page lays it out: by model, cohorts down, arms across."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from server.analyses import FittedModel, Part
from server.report.cohorts import ROLES, Places, Role, key_of, largest, places_of
from server.report.words import PARTS, arm_label
from server.results import Cell, LearningCurve, Results

_Trained: TypeAlias = Cell | LearningCurve | FittedModel
_ORDER = tuple(PARTS)
_LEADING = ("given", "federated", "local", "pooled")
"""Kinds of arm, the first that a model has stands for it beside other models."""


@dataclass(frozen=True)
class CohortRow:
    """One cohort and how each arm's model did on it.

    Attributes
    ----------
    sites, part : str
        The cohort in words.
    cells : tuple of Cell or None
        In the order of the model's arms; None where the model did not come to the cohort.
    """

    sites: str
    part: str
    cells: tuple[Cell | None, ...]

    @property
    def size(self) -> Cell:
        """Any of the cells: all count the same patients."""
        return next(cell for cell in self.cells if cell is not None)


@dataclass(frozen=True)
class ModelView:
    """Everything that the page shows of one model.

    Attributes
    ----------
    name : str
    reference : bool
        Whether the others are compared with it.
    arms : tuple of str
        Their names, in the study's order.
    labels : tuple of str
        The same in words.
    leading : tuple of str
        The arms that stand for the model beside others: federated ones, else local ones.
    curves : tuple of LearningCurve
    cells : tuple of Cell
    rows : tuple of CohortRow
    """

    name: str
    reference: bool
    arms: tuple[str, ...]
    labels: tuple[str, ...]
    leading: tuple[str, ...]
    curves: tuple[LearningCurve, ...]
    cells: tuple[Cell, ...]
    rows: tuple[CohortRow, ...]


@dataclass(frozen=True)
class CohortView:
    """One cohort on which models can be compared fairly: nobody in it trained any of them.

    Attributes
    ----------
    sites, part : str
        The cohort in words.
    cells : tuple of Cell
        At least one.
    """

    sites: str
    part: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PrintedCell:
    """One row of the paper's Table 3.

    Attributes
    ----------
    role : Role
    label : str
        The row's name, with the centre where it is not the only one.
    cell : Cell
    """

    role: Role
    label: str
    cell: Cell


def model_views(results: Results) -> tuple[ModelView, ...]:
    """The models, the reference first, then in the study's order."""
    named: tuple[_Trained, ...] = (*results.evaluation, *results.training, *results.fitted)
    names = list(dict.fromkeys(one.model for one in named))
    reference = results.study.reference_model
    names.sort(key=lambda name: name != reference)
    return tuple(_model(results, name) for name in names)


def _model(results: Results, name: str) -> ModelView:
    curves = tuple(curve for curve in results.training if curve.model == name)
    cells = tuple(cell for cell in results.evaluation if cell.model == name)
    fitted = tuple(fit for fit in results.fitted if fit.model == name)
    trained: tuple[_Trained, ...] = (*curves, *fitted, *cells)
    labels = {arm.arm: arm_label(arm) for arm in trained}
    kind = min((arm.kind for arm in trained), key=_LEADING.index)
    return ModelView(
        name=name,
        reference=name == results.study.reference_model,
        arms=tuple(labels),
        labels=tuple(labels.values()),
        leading=tuple(dict.fromkeys(arm.arm for arm in trained if arm.kind == kind)),
        curves=curves,
        cells=cells,
        rows=tuple(_rows(cells, tuple(labels), places_of(results))),
    )


def _rows(cells: Iterable[Cell], arms: tuple[str, ...], places: Places) -> Iterable[CohortRow]:
    by_cohort: dict[tuple[tuple[str, ...], Part], dict[str, Cell]] = {}
    for cell in cells:
        by_cohort.setdefault(key_of(cell), {})[cell.arm] = cell
    order = sorted(by_cohort, key=lambda key: (len(key[0]) > 1, key[0], _ORDER.index(key[1])))
    for key in order:
        row = by_cohort[key]
        first = next(iter(row.values()))
        yield CohortRow(
            places.label(first.cohort_sites), PARTS[first.part], tuple(row.get(arm) for arm in arms)
        )


def fair_cohorts(model: ModelView) -> tuple[CohortView, ...]:
    """The cohorts whose patients trained none of the models shown with them; held-out patients first."""
    found = []
    for row in model.rows:
        fair = tuple(cell for cell in row.cells if cell is not None and _is_fair(cell))
        if fair:
            found.append(CohortView(row.sites, row.part, fair))
    return tuple(sorted(found, key=lambda cohort: cohort.cells[0].part == "whole"))


def _is_fair(cell: Cell) -> bool:
    """Internal tests, and for models carried over the same patients and everybody else of that centre."""
    return cell.relation == "internal" or (
        cell.relation in {"external", "given"} and cell.part in {"test", "whole"}
    )


def printed_cells(model: ModelView, arm: str, places: Places) -> tuple[PrintedCell, ...]:
    """One arm's rows of the paper's Table 3: training, internal test, external; centres together if they are.

    A cohort whose centres are all in a larger one of the same role is left out.
    """
    by_role: dict[Role, list[Cell]] = {role: [] for role in ROLES}
    for cell in model.cells:
        role = places.role(cell)
        if cell.arm == arm and role is not None:
            by_role[role].append(cell)
    return tuple(
        PrintedCell(role, _row_label(role, cell, cells, places), cell)
        for role, cells in by_role.items()
        for cell in largest(cells)
    )


def _row_label(role: Role, cell: Cell, cells: list[Cell], places: Places) -> str:
    alone = len(largest(cells)) == 1
    return ROLES[role] if alone else f"{ROLES[role]}, {places.label(cell.cohort_sites)}"


def is_carried_over(cell: Cell) -> bool:
    """Whether the cell is a model on everybody of centres that it was not trained on."""
    return cell.relation == "external" and cell.part == "whole"
