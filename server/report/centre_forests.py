"""AUC and calibration of every model at each centre, as forests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.stats.estimate import Estimate
from server.report.subject import Subject
from server.report.views import ModelView, is_fair
from server.report.words import name_arm
from server.results.evaluation import Cell

SCALES = {
    "auc": ("AUC", 0.0, 1.0, 0.5),
    "intercept": ("Calibration intercept", -3.0, 3.0, 0.0),
    "slope": ("Calibration slope", -1.0, 3.0, 1.0),
}
"""Of each measure: its name, the ends of its axis, and the value of chance or of right risks."""


@dataclass(frozen=True)
class CentreLine:
    """One model at one centre.

    Attributes
    ----------
    centre, arm : str
        Whose patients, and what was trained, in words.
    cell : Cell
        The result.
    estimates : tuple of Estimate or None
        AUC, intercept and slope; None for scores that are no predicted risks.
    """

    centre: str
    arm: str
    cell: Cell
    estimates: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class CentreForest:
    """One model's lines.

    Attributes
    ----------
    model : ModelView
        The model.
    lines : tuple of CentreLine
        By centre.
    """

    model: ModelView
    lines: tuple[CentreLine, ...]


@dataclass(frozen=True)
class Mark:
    """An interval on an axis, in per cent of its length.

    Attributes
    ----------
    low, value, high : float or None
        Cut off at the axis' ends; None where the number is absent or, for the value, beyond an end.
    beyond_low, beyond_high : bool
        Whether the interval goes on beyond that end.
    """

    low: float | None
    value: float | None
    high: float | None
    beyond_low: bool = False
    beyond_high: bool = False


def build_forests(subject: Subject) -> tuple[CentreForest, ...]:
    """Every model that single centres judge on patients who did not train it; the reference first."""
    forests = (CentreForest(model, tuple(_list_lines(subject, model.cells))) for model in subject.models)
    return tuple(forest for forest in forests if forest.lines)


def _list_lines(subject: Subject, cells: Iterable[Cell]) -> list[CentreLine]:
    alone = [cell for cell in cells if len(cell.cohort_sites) == 1 and is_fair(cell)]
    wanted = [cell for cell in alone if cell.part == _choose_part(cell, alone)]
    wanted.sort(key=lambda cell: (cell.cohort_sites, cell.relation != "external"))
    return [
        CentreLine(subject.centres.name_cohort(cell), name_arm(cell), cell, _list_estimates(cell))
        for cell in wanted
    ]


def _choose_part(cell: Cell, cells: Iterable[Cell]) -> str:
    """All patients where the same model was judged on them, else its test patients."""
    same = {other.part for other in cells if (other.arm, other.cohort_sites) == (cell.arm, cell.cohort_sites)}
    return "whole" if "whole" in same else "test"


def _list_estimates(cell: Cell) -> tuple[Estimate | None, ...]:
    calibration = cell.calibration
    if calibration is None:
        return cell.auc, None, None
    return cell.auc, calibration.intercept, calibration.slope


def place_mark(estimate: Estimate, measure: str) -> Mark:
    """Where an estimate lies on the axis of its measure."""
    _, left, right, _ = SCALES[measure]

    def share(value: float) -> float:
        return round(100 * (min(max(value, left), right) - left) / (right - left), 2)

    if estimate.value is None:
        return Mark(None, None, None)
    inside = left <= estimate.value <= right
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return Mark(None, share(estimate.value) if inside else None, None)
    return Mark(share(low), share(estimate.value) if inside else None, share(high), low < left, high > right)
