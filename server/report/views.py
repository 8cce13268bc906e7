"""The evaluation as the page lays it out: by model, cohorts down, arms across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from common.cards.contributors import PARTIAL
from common.plan.matrix import Part
from server.report.cohorts import ROLES, Role, StudyCentres, centres_of, keep_largest, key_of
from server.report.words import PART_NAMES, name_arm
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.regression import FittedModel
from server.results.training import LearningCurve

_Trained: TypeAlias = Cell | LearningCurve | FittedModel
_ORDER = tuple(PART_NAMES)
_LEADING = ("given", "earlier", "federated", "local", "pooled")
"""Kinds of arm; the first kind that a model has represents it beside other models."""


@dataclass(frozen=True)
class EvaluationRow:
    """One cohort and the result of each arm's model on it.

    Attributes
    ----------
    sites, part : str
        The cohort in words.
    cells : tuple of Cell or None
        In the order of the model's arms; None where the model was not judged on the cohort.
    """

    sites: str
    part: str
    cells: tuple[Cell | None, ...]

    @property
    def size(self) -> Cell:
        """One of the cells, for the number of patients: it is the same in all."""
        return next(cell for cell in self.cells if cell is not None)


@dataclass(frozen=True)
class ModelView:
    """Everything that the page shows of one model.

    Attributes
    ----------
    name : str
        The model's name in the plan.
    reference : bool
        Whether other models are compared with it.
    arms : tuple of str
        The names of its arms, in the study's order.
    labels : tuple of str
        The arms in words.
    leading : tuple of str
        The arms that represent the model beside others: given or federated ones, otherwise local ones.
    absences : mapping of str to str
        By arm, which centres missed rounds of the training, in words; an arm that all its centres trained is
        left out.
    curves : tuple of LearningCurve
        The learning curves of its arms; empty if it is not a network.
    cells : tuple of Cell
        All its results.
    rows : tuple of EvaluationRow
        The results by cohort.
    """

    name: str
    reference: bool
    arms: tuple[str, ...]
    labels: tuple[str, ...]
    leading: tuple[str, ...]
    absences: Mapping[str, str]
    curves: tuple[LearningCurve, ...]
    cells: tuple[Cell, ...]
    rows: tuple[EvaluationRow, ...]

    @property
    def carried(self) -> tuple[str, ...]:
        """The arms that show the model at centres new to it: leading ones, else others, never pooled."""
        arms = {cell.arm: cell.kind for cell in self.cells if is_carried_over(cell)}
        leading = tuple(arm for arm in self.leading if arm in arms)
        return leading or tuple(arm for arm in self.arms if arms.get(arm, "pooled") != "pooled")

    @property
    def title(self) -> str:
        """The model's name, with a mark if not all centres trained it in an arm that represents it."""
        return f"{self.name} ({PARTIAL})" if any(arm in self.absences for arm in self.leading) else self.name


@dataclass(frozen=True)
class CohortView:
    """One cohort on which models can be compared fairly, since none of its patients trained any of them.

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
        Training, internal test, external or everybody.
    label : str
        The row's name, with the centres if the role has several rows.
    cell : Cell
        The result.
    """

    role: Role
    label: str
    cell: Cell


def build_model_views(results: Results) -> tuple[ModelView, ...]:
    """All models, the reference first, then in the study's order."""
    named: tuple[_Trained, ...] = (*results.evaluation, *results.training, *results.fitted)
    names = list(dict.fromkeys(record.model for record in named))
    reference = results.study.reference_model
    names.sort(key=lambda name: name != reference)
    return tuple(_build_model_view(results, name) for name in names)


def _build_model_view(results: Results, name: str) -> ModelView:
    curves = tuple(curve for curve in results.training if curve.model == name)
    cells = tuple(cell for cell in results.evaluation if cell.model == name)
    fitted = tuple(fit for fit in results.fitted if fit.model == name)
    trained: tuple[_Trained, ...] = (*curves, *fitted, *cells)
    labels = {arm.arm: name_arm(arm) for arm in trained}
    kind = min((arm.kind for arm in trained), key=_LEADING.index)
    return ModelView(
        name=name,
        reference=name == results.study.reference_model,
        arms=tuple(labels),
        labels=tuple(labels.values()),
        leading=tuple(dict.fromkeys(arm.arm for arm in trained if arm.kind == kind)),
        absences={curve.arm: curve.describe_absence() for curve in curves if curve.partial},
        curves=curves,
        cells=cells,
        rows=tuple(_build_rows(cells, tuple(labels), centres_of(results))),
    )


def _build_rows(
    cells: Iterable[Cell], arms: tuple[str, ...], centres: StudyCentres
) -> Iterable[EvaluationRow]:
    by_cohort: dict[tuple[tuple[str, ...], Part], dict[str, Cell]] = {}
    for cell in cells:
        by_cohort.setdefault(key_of(cell), {})[cell.arm] = cell
    order = sorted(by_cohort, key=lambda key: (len(key[0]) > 1, key[0], _ORDER.index(key[1])))
    for key in order:
        row = by_cohort[key]
        first = next(iter(row.values()))
        yield EvaluationRow(
            centres.name_sites(first.cohort_sites),
            PART_NAMES[first.part],
            tuple(row.get(arm) for arm in arms),
        )


def find_fair_cohorts(model: ModelView) -> tuple[CohortView, ...]:
    """The cohorts whose patients did not train the models judged on them; held-out patients first."""
    cohorts = []
    for row in model.rows:
        fair = tuple(cell for cell in row.cells if cell is not None and is_fair(cell))
        if fair:
            cohorts.append(CohortView(row.sites, row.part, fair))
    return tuple(sorted(cohorts, key=lambda cohort: cohort.cells[0].part == "whole"))


def is_fair(cell: Cell) -> bool:
    """Whether the patients are an internal test, or test or all patients of a centre new to the model."""
    return cell.relation == "internal" or (
        cell.relation in {"external", "given"} and cell.part in {"test", "whole"}
    )


def list_printed_cells(model: ModelView, arm: str, centres: StudyCentres) -> tuple[PrintedCell, ...]:
    """One arm's rows of the paper's Table 3: training, internal test, external.

    A cohort whose centres are all in a larger cohort of the same role is left out.
    """
    by_role: dict[Role, list[Cell]] = {role: [] for role in ROLES}
    for cell in model.cells:
        role = centres.role_of(cell)
        if cell.arm == arm and role is not None:
            by_role[role].append(cell)
    return tuple(
        PrintedCell(role, _name_row(role, cell, cells, centres), cell)
        for role, cells in by_role.items()
        for cell in keep_largest(cells)
    )


def _name_row(role: Role, cell: Cell, cells: list[Cell], centres: StudyCentres) -> str:
    alone = len(keep_largest(cells)) == 1
    return ROLES[role] if alone else f"{ROLES[role]}, {centres.name_sites(cell.cohort_sites)}"


def dimensions_of(results: Results, model: str) -> int:
    """A network's dimensions, 2 or 3; of scores from hospitals' tables as the name says; else 0."""
    planned = {
        one.get("name"): int(one["dimensions"])
        for one in results.study.plan.get("models") or ()
        if one.get("dimensions")
    }
    return planned.get(model) or (int(model[0]) if model.startswith(("2D", "3D")) else 0)


def is_carried_over(cell: Cell) -> bool:
    """Whether the cell is a model's result on all patients of centres that did not train it."""
    return cell.relation == "external" and cell.part == "whole"
