"""The report's numbers as CSV files, for a statistics program or a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from common.runtime.csv_file import format_csv
from common.runtime.storage import write_atomically
from server.report.agreement_tables import READING_TABLES
from server.report.analysis_tables import ANALYSIS_TABLES, CsvRow, flatten_estimate, flatten_key
from server.report.carry_over_csv import CARRY_OVER_TABLES
from server.report.column_words import COLUMNS_HEADING, list_column_meanings
from server.report.journal_style import JournalStyle
from server.report.model_tables import MODEL_TABLES
from server.report.printed_tables import build_printed_tables
from server.report.seeds_csv import SEED_TABLES
from server.report.words import name_outcome
from server.results.cohort import VariableDescription
from server.results.file import Results

_METRICS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
_DESCRIBED = tuple(name for name in VariableDescription.model_fields if name != "standing")


def write_tables(
    results: Results, folder: Path, style: JournalStyle = JournalStyle.PAPER
) -> tuple[Path, ...]:
    """Write the CSV files and return their paths; status or reason say why a cell is blank.

    flow, parts, cohort, training, performance, roc, regression, fitted, comparisons,
    net_benefit_differences, calibration, reliability, decision, subgroups, heterogeneity, centre_aucs,
    mean_attention, carry_over, seeds, agreement, feature_agreement, selections, lasso_path,
    lasso_coefficients, machines and contributors (of each federated network) hold every number in full;
    columns says what each table and each column means. table1, table2, table3 and table_s3 have the page's
    layout, with the journal's P-values and a byte-order mark, so that a spreadsheet reads them. Tables of
    phases that the study did not run are left out, except for the first six.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    files, headings = [], {}
    for name, make in (_ALWAYS | _WHERE_RUN).items():
        heading, *rows = make(results)
        if rows or name in _ALWAYS:
            files.append(_write_file(folder / f"{name}.csv", (heading, *rows)))
            headings[name] = tuple(str(column) for column in heading)
    for name, lines in build_printed_tables(results, style).items():
        files.append(_write_file(folder / f"{name}.csv", lines, mark="\N{ZERO WIDTH NO-BREAK SPACE}"))
        headings[name] = ()
    files.append(_write_file(folder / "columns.csv", (COLUMNS_HEADING, *list_column_meanings(headings))))
    return tuple(files)


def _write_file(path: Path, rows: Iterable[CsvRow], mark: str = "") -> Path:
    write_atomically(path, f"{mark}{format_csv(rows)}".encode(), private=False)
    return path


def _name_site(site: str | None) -> str:
    return "all" if site is None else site


def _write_flow(results: Results) -> Iterable[CsvRow]:
    yield ("site", "step", "patients", "status", "reason")
    for chart in results.flow:
        standing = (chart.standing.kind, chart.standing.reason)
        site = _name_site(chart.site)
        yield (site, "screened", chart.screened, *standing)
        for excluded in chart.excluded:
            yield (site, f"excluded: {' / '.join(excluded.reasons)}", excluded.patients, *standing)
        yield (site, "included", chart.included, *standing)
        outcome = name_outcome(results.study)
        yield (site, f"with {outcome}", chart.positive, *standing)
        yield (site, f"without {outcome}", chart.negative, *standing)


def _write_parts(results: Results) -> Iterable[CsvRow]:
    yield ("site", "part", "positive", "negative")
    for part in results.parts:
        yield (part.site, part.part, part.positive, part.negative)


def _write_cohort(results: Results) -> Iterable[CsvRow]:
    yield (
        *("site", "part", "variable", "level", "unit", "group", *_DESCRIBED, "status", "reason"),
        *("p_value", "test", "statistic", "note", "smd", "resolution"),
    )
    for row in results.cohort:
        for group, described in (("negative", row.negative), ("positive", row.positive)):
            numbers = [getattr(described, name) for name in _DESCRIBED]
            standing = (described.standing.kind, described.standing.reason)
            yield (
                *(_name_site(row.site), row.part, row.label, row.level, row.unit, group),
                *(*numbers, *standing, row.p_value, row.test),
                *(row.statistic, row.note, row.smd, row.resolution),
            )


def _write_training(results: Results) -> Iterable[CsvRow]:
    yield ("model", "arm", "number", "loss", "validation_auc", "chosen", "contributors", "patients")
    for curve in results.training:
        for point in curve.points:
            chosen = int(point.number == curve.chosen)
            numbers = (point.number, point.loss, point.validation_auc, chosen)
            contributors = " + ".join(
                (point.contributors or ()) if curve.kind == "federated" else curve.sites
            )
            yield (curve.model, curve.arm, *numbers, contributors, point.patients)


def _write_performance(results: Results) -> Iterable[CsvRow]:
    metrics = [f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high", "_method", "_status")]
    yield (
        *("model", "arm", "cohort", "part", "relation", "trained_by", "partial"),
        *("positive", "negative", "missing"),
        *(
            "called",
            "threshold",
            "auc_error_bound",
            "auc_interval_bound",
            "true_positive",
            "false_negative",
            "false_positive",
            "true_negative",
        ),
        *metrics,
    )
    for cell in results.evaluation:
        calls = cell.confusion
        estimates = [getattr(cell, name) for name in _METRICS]
        yield (
            *(
                *flatten_key(cell),
                " + ".join(cell.training_sites),
                int(cell.partial),
                cell.positive,
                cell.negative,
                cell.missing,
                "up to" if cell.falling else "from",
                cell.threshold,
                cell.auc_error_bound,
                cell.auc_interval_bound,
            ),
            *(calls.true_positive, calls.false_negative, calls.false_positive, calls.true_negative),
            *(part for estimate in estimates for part in flatten_estimate(estimate)),
        )


def _write_roc(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", "cohort", "part", "relation", "threshold"),
        *("false_positive_rate", "true_positive_rate", "low", "high"),
    )
    for cell in results.evaluation:
        for point in cell.roc:
            rates = (point.false_positive_rate, point.true_positive_rate, point.low, point.high)
            yield (*flatten_key(cell), point.threshold, *rates)


_ALWAYS = {
    "flow": _write_flow,
    "parts": _write_parts,
    "cohort": _write_cohort,
    "training": _write_training,
    "performance": _write_performance,
    "roc": _write_roc,
}
_WHERE_RUN = ANALYSIS_TABLES | CARRY_OVER_TABLES | SEED_TABLES | READING_TABLES | MODEL_TABLES
