"""The report's numbers as CSV files, for a statistics program or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from common.storage import write_atomically
from server.records import Described
from server.report.agreement_tables import READINGS
from server.report.analysis_tables import ANALYSES, Row, cell_key, measure_cells
from server.report.model_tables import MODELS
from server.report.printed_tables import printed_tables
from server.results import Results

_METRICS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
_DESCRIBED = tuple(name for name in Described.model_fields if name != "standing")


def write_tables(results: Results, folder: Path) -> tuple[Path, ...]:
    """The files written; a blank cell is not shown, and status or reason say why.

    flow, parts, cohort, training, performance, roc, regression, fitted, comparisons, net_benefit_differences,
    calibration, reliability, decision, subgroups, heterogeneity, agreement, feature_agreement, selections,
    lasso_path, lasso_coefficients and machines hold every number in full; table1, table2, table3 and table_s3
    are laid out as the page prints them, with a byte-order mark so that a spreadsheet reads them. Tables of
    what the study did not do are left out, but for the first six.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    files = [_write(folder / f"{name}.csv", rows(results)) for name, rows in _ALWAYS.items()]
    for name, make in (ANALYSES | READINGS | MODELS).items():
        heading, *rows = make(results)
        if rows:
            files.append(_write(folder / f"{name}.csv", (heading, *rows)))
    for name, lines in printed_tables(results).items():
        files.append(_write(folder / f"{name}.csv", lines, mark="\N{ZERO WIDTH NO-BREAK SPACE}"))
    return tuple(files)


def _write(path: Path, rows: Iterable[Row], mark: str = "") -> Path:
    text = io.StringIO(newline="")
    text.write(mark)
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
    yield (
        *("site", "part", "variable", "level", "unit", "group", *_DESCRIBED, "status", "reason"),
        *("p_value", "test", "statistic", "note", "smd"),
    )
    for row in results.cohort:
        for group, described in (("negative", row.negative), ("positive", row.positive)):
            numbers = [getattr(described, name) for name in _DESCRIBED]
            standing = (described.standing.kind, described.standing.reason)
            yield (
                *(_together(row.site), row.part, row.label, row.level, row.unit, group),
                *(*numbers, *standing, row.p_value, row.test),
                *(row.statistic, row.note, row.smd),
            )


def _training(results: Results) -> Iterable[Row]:
    yield ("model", "arm", "number", "loss", "validation_auc", "chosen")
    for curve in results.training:
        for point in curve.points:
            chosen = int(point.number == curve.chosen)
            yield (curve.model, curve.arm, point.number, point.loss, point.validation_auc, chosen)


def _performance(results: Results) -> Iterable[Row]:
    metrics = [f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high", "_method", "_status")]
    yield (
        *("model", "arm", "cohort", "part", "relation", "positive", "negative", "missing"),
        *(
            "called",
            "threshold",
            "auc_error_bound",
            "true_positive",
            "false_negative",
            "false_positive",
            "true_negative",
        ),
        *metrics,
    )
    for cell in results.evaluation:
        calls = cell.confusion
        measures = [getattr(cell, name) for name in _METRICS]
        yield (
            *(
                *cell_key(cell),
                cell.positive,
                cell.negative,
                cell.missing,
                "up to" if cell.falling else "from",
                cell.threshold,
                cell.auc_error_bound,
            ),
            *(calls.true_positive, calls.false_negative, calls.false_positive, calls.true_negative),
            *(part for measure in measures for part in measure_cells(measure)),
        )


def _roc(results: Results) -> Iterable[Row]:
    yield (
        *("model", "arm", "cohort", "part", "relation", "threshold"),
        *("false_positive_rate", "true_positive_rate", "low", "high"),
    )
    for cell in results.evaluation:
        for point in cell.roc:
            rates = (point.false_positive_rate, point.true_positive_rate, point.low, point.high)
            yield (*cell_key(cell), point.threshold, *rates)


_ALWAYS = {
    "flow": _flow,
    "parts": _parts,
    "cohort": _cohort,
    "training": _training,
    "performance": _performance,
    "roc": _roc,
}
