"""Radiomics features, support vector machines and who trained networks as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import CsvRow, format_status
from server.report.selections import coefficient_per_unit
from server.results.file import Results


def _write_selections(results: Results) -> Iterable[CsvRow]:
    yield (
        *("arm", "feature", "coefficient_per_sd", "coefficient_per_unit", "mean", "sd", "penalty"),
        *("candidates", "prescreened", "used", "method", "status"),
        *("family", "rounds", "folds", "planned_folds", "fold_reason"),
    )
    for selection in results.selections:
        summary = (
            selection.penalty,
            selection.candidates,
            selection.prescreened,
            selection.used,
            selection.method,
            format_status(selection.standing),
            selection.family,
            selection.rounds,
            selection.folds,
            selection.planned_folds,
            selection.fold_reason,
        )
        if not selection.features:
            yield (selection.arm, *[""] * 5, *summary)
        for feature in selection.features:
            coefficients = (feature.coefficient, coefficient_per_unit(feature))
            yield (selection.arm, feature.name, *coefficients, feature.mean, feature.sd, *summary)


def _write_lasso_path(results: Results) -> Iterable[CsvRow]:
    yield ("arm", "penalty", "validation_error", "standard_error", "features", "chosen")
    for selection in results.selections:
        for point in selection.path:
            chosen = int(point.penalty == selection.penalty)
            yield (selection.arm, point.penalty, point.loss, point.standard_error, point.active, chosen)


def _write_lasso_coefficients(results: Results) -> Iterable[CsvRow]:
    yield ("arm", "feature", "penalty", "coefficient_per_sd")
    for selection in results.selections:
        for feature in selection.features:
            for point, coefficient in zip(selection.path, feature.profile, strict=True):
                yield (selection.arm, feature.name, point.penalty, coefficient)


def _write_machines(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", "covariates", "c", "gamma", "fourier_features", "criterion", "deviation"),
        *("used", "missing", "method", "status", "folds", "fold_reason"),
    )
    for machine in results.machines:
        chosen = (machine.c, machine.gamma, machine.features, machine.criterion, machine.deviation)
        standing = format_status(machine.standing)
        numbers = (
            machine.used,
            machine.missing,
            machine.method,
            standing,
            machine.folds,
            machine.fold_reason,
        )
        yield (machine.model, machine.arm, " + ".join(machine.covariates), *chosen, *numbers)


def _write_contributors(results: Results) -> Iterable[CsvRow]:
    yield ("model", "arm", "site", "rounds", "chosen", "patients", "partial")
    for curve in results.training:
        for part in curve.contributions:
            numbers = (part.rounds, curve.chosen, part.patients, int(curve.partial))
            yield (curve.model, curve.arm, part.site, *numbers)


MODEL_TABLES = {
    "selections": _write_selections,
    "lasso_path": _write_lasso_path,
    "lasso_coefficients": _write_lasso_coefficients,
    "machines": _write_machines,
    "contributors": _write_contributors,
}
"""What writes each file's rows, by the file's name; the first row is the heading."""
