"""The evaluation as the page lays it out: by model, cohorts down, arms across."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.records import CohortRow
from server.report.words import arm_label, part_label, sites_label
from server.results import Cell, LearningCurve, Results

_PARTS = ("train", "validation", "test", "whole")


@dataclass(frozen=True)
class MatrixRow:
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
    curves : tuple of LearningCurve
    cells : tuple of Cell
    rows : tuple of MatrixRow
    """

    name: str
    reference: bool
    arms: tuple[str, ...]
    labels: tuple[str, ...]
    curves: tuple[LearningCurve, ...]
    cells: tuple[Cell, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class CohortView:
    """One cohort on which models of several arms can be compared fairly: nobody in it trained any of them.

    Attributes
    ----------
    sites, part : str
        The cohort in words.
    cells : tuple of Cell
    """

    sites: str
    part: str
    cells: tuple[Cell, ...]


def model_views(results: Results) -> tuple[ModelView, ...]:
    """The models, the reference first, then in the study's order."""
    names = list(
        dict.fromkeys(
            [curve.model for curve in results.training] + [cell.model for cell in results.evaluation]
        )
    )
    reference = results.study.reference_model
    names.sort(key=lambda name: name != reference)
    return tuple(_model(results, name) for name in names)


def _model(results: Results, name: str) -> ModelView:
    curves = tuple(curve for curve in results.training if curve.model == name)
    cells = tuple(cell for cell in results.evaluation if cell.model == name)
    trained: tuple[Cell | LearningCurve, ...] = (*curves, *cells)
    labels = {arm.arm: arm_label(arm) for arm in trained}
    arms = tuple(labels)
    return ModelView(
        name=name,
        reference=name == results.study.reference_model,
        arms=arms,
        labels=tuple(labels.values()),
        curves=curves,
        cells=cells,
        rows=tuple(_rows(cells, arms)),
    )


def _rows(cells: Iterable[Cell], arms: tuple[str, ...]) -> Iterable[MatrixRow]:
    by_cohort: dict[tuple[tuple[str, ...], str], dict[str, Cell]] = {}
    for cell in cells:
        by_cohort.setdefault((cell.cohort_sites, cell.part), {})[cell.arm] = cell
    order = sorted(by_cohort, key=lambda key: (len(key[0]) > 1, key[0], _PARTS.index(key[1])))
    for key in order:
        row = by_cohort[key]
        first = next(iter(row.values()))
        yield MatrixRow(sites_label(first), part_label(first), tuple(row.get(arm) for arm in arms))


@dataclass(frozen=True)
class CohortLine:
    """One variable, or one level of it, at every centre.

    Attributes
    ----------
    label : str
        With unit or level.
    rows : tuple of CohortRow or None
        In the order of the centres; None where a centre has no such line.
    """

    label: str
    rows: tuple[CohortRow | None, ...]


def cohort_sites(results: Results) -> tuple[str | None, ...]:
    """The columns of the cohort's table: centres, and None for all together."""
    return tuple(dict.fromkeys(row.site for row in results.cohort))


def cohort_lines(results: Results) -> tuple[CohortLine, ...]:
    """The cohort's table as the paper's Table 1 has it: variables down, centres across."""
    by_line: dict[str, dict[str | None, CohortRow]] = {}
    for row in results.cohort:
        unit = f" ({row.unit})" if row.unit else ""
        level = f", {row.level}" if row.level else ""
        by_line.setdefault(f"{row.label}{unit}{level}", {})[row.site] = row
    sites = cohort_sites(results)
    return tuple(
        CohortLine(label, tuple(line.get(site) for site in sites)) for label, line in by_line.items()
    )


def fair_cohorts(model: ModelView) -> tuple[CohortView, ...]:
    """The cohorts of one centre whose patients trained none of the models shown with them."""
    found = []
    for row in model.rows:
        fair = tuple(cell for cell in row.cells if cell is not None and _is_fair(cell))
        if fair:
            found.append(CohortView(row.sites, row.part, fair))
    return tuple(sorted(found, key=lambda cohort: all(cell.part == "whole" for cell in cohort.cells)))


def _is_fair(cell: Cell) -> bool:
    """Internal tests, and for models carried over the same patients and everybody else of that centre."""
    if len(cell.cohort_sites) > 1:
        return False
    return cell.relation == "internal" or (cell.relation == "external" and cell.part in {"test", "whole"})


def printed_cells(model: ModelView) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """The rows of the paper's Table 3, by arm: training, internal test, external."""
    order = ("apparent", "internal", "external")
    table = []
    for arm, label in zip(model.arms, model.labels, strict=True):
        cells = [cell for cell in model.cells if cell.arm == arm and _is_printed(cell)]
        cells.sort(key=lambda cell: (order.index(cell.relation), len(cell.cohort_sites), cell.cohort_sites))
        if cells:
            table.append((label, tuple(cells)))
    return tuple(table)


def _is_printed(cell: Cell) -> bool:
    return cell.relation in {"apparent", "internal"} or is_carried_over(cell)


def is_carried_over(cell: Cell) -> bool:
    """Whether the cell is a model on everybody of one centre that it was not trained on."""
    return cell.relation == "external" and cell.part == "whole" and len(cell.cohort_sites) == 1
