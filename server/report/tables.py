"""The report's tables as CSV files, for a spreadsheet or a statistics program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.storage import write_atomically
from server.records import Described, Measure
from server.results import Cell, Results

Row = Sequence[object]

_METRICS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
_DESCRIBED = tuple(name for name in Described.model_fields if name != "standing")


def write_tables(results: Results, folder: Path) -> tuple[Path, ...]:
    """The files written: flow, parts, cohort, training, performance and roc; a blank cell is not shown.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    tables = {
        "flow": _flow(results),
        "parts": _parts(results),
        "cohort": _cohort(results),
        "training": _training(results),
        "performance": _performance(results),
        "roc": _roc(results),
    }
    return tuple(_write(folder / f"{name}.csv", rows) for name, rows in tables.items())


def _write(path: Path, rows: Iterable[Row]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(path, text.getvalue().encode())
    return path


def _together(site: str | None) -> str:
    return "all" if site is None else site


def _flow(results: Results) -> Iterable[Row]:
    yield ("site", "step", "patients", "status", "reason")
    for chart in results.flow:
        standing = (chart.standing.kind, chart.standing.reason)
        site = _together(chart.site)
        yield (site, "screened", chart.screened, *standing)
        for excluded in chart.excluded:
            yield (site, f"excluded: {' / '.join(excluded.reasons)}", excluded.patients, *standing)
        yield (site, "included", chart.included, *standing)
        yield (site, "with expansion", chart.positive, *standing)
        yield (site, "without expansion", chart.negative, *standing)


def _parts(results: Results) -> Iterable[Row]:
    yield ("site", "part", "positive", "negative")
    for part in results.parts:
        yield (part.site, part.part, part.positive, part.negative)


def _cohort(results: Results) -> Iterable[Row]:
    yield ("site", "variable", "level", "unit", "group", *_DESCRIBED, "status", "reason", "p_value", "test")
    for row in results.cohort:
        for group, described in (("negative", row.negative), ("positive", row.positive)):
            numbers = [getattr(described, name) for name in _DESCRIBED]
            standing = (described.standing.kind, described.standing.reason)
            yield (
                *(_together(row.site), row.label, row.level, row.unit, group),
                *(*numbers, *standing, row.p_value, row.test),
            )


def _training(results: Results) -> Iterable[Row]:
    yield ("model", "arm", "number", "loss", "validation_auc", "chosen")
    for curve in results.training:
        for point in curve.points:
            chosen = int(point.number == curve.chosen)
            yield (curve.model, curve.arm, point.number, point.loss, point.validation_auc, chosen)


def _key(cell: Cell) -> Row:
    return (cell.model, cell.arm, " + ".join(cell.cohort_sites), cell.part, cell.relation)


def _performance(results: Results) -> Iterable[Row]:
    metrics = [f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high", "_method", "_status")]
    yield (
        *("model", "arm", "cohort", "part", "relation", "positive", "negative"),
        *("auc_error_bound", "true_positive", "false_negative", "false_positive", "true_negative"),
        *metrics,
    )
    for cell in results.evaluation:
        calls = cell.confusion
        measures: list[Measure] = [getattr(cell, name) for name in _METRICS]
        yield (
            *(*_key(cell), cell.positive, cell.negative, cell.auc_error_bound),
            *(calls.true_positive, calls.false_negative, calls.false_positive, calls.true_negative),
            *(part for measure in measures for part in _measure(measure)),
        )


def _measure(measure: Measure) -> Row:
    standing = measure.standing
    status = f"{standing.kind}: {standing.reason}" if standing.reason else standing.kind
    return (measure.value, measure.low, measure.high, measure.method, status)


def _roc(results: Results) -> Iterable[Row]:
    yield (
        "model",
        "arm",
        "cohort",
        "part",
        "relation",
        "threshold",
        "false_positive_rate",
        "true_positive_rate",
    )
    for cell in results.evaluation:
        for point in cell.roc:
            yield (*_key(cell), point.threshold, point.false_positive_rate, point.true_positive_rate)
