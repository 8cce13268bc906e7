"""Selected radiomics features and support vector machines as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import Row, status
from server.report.selections import per_unit
from server.results import Results


def _selections(results: Results) -> Iterable[Row]:
    yield (
        *("arm", "feature", "coefficient_per_sd", "coefficient_per_unit", "mean", "sd", "penalty"),
        *("candidates", "prescreened", "used", "method", "status"),
    )
    for one in results.selections:
        whole = (one.penalty, one.candidates, one.prescreened, one.used, one.method, status(one.standing))
        if not one.features:
            yield (one.arm, *[""] * 5, *whole)
        for feature in one.features:
            coefficients = (feature.coefficient, per_unit(feature))
            yield (one.arm, feature.name, *coefficients, feature.mean, feature.sd, *whole)


def _lasso_path(results: Results) -> Iterable[Row]:
    yield ("arm", "penalty", "validation_error", "standard_error", "features", "chosen")
    for one in results.selections:
        for point in one.path:
            chosen = int(point.penalty == one.penalty)
            yield (one.arm, point.penalty, point.loss, point.standard_error, point.active, chosen)


def _lasso_coefficients(results: Results) -> Iterable[Row]:
    yield ("arm", "feature", "penalty", "coefficient_per_sd")
    for one in results.selections:
        for feature in one.features:
            for point, coefficient in zip(one.path, feature.profile, strict=True):
                yield (one.arm, feature.name, point.penalty, coefficient)


def _machines(results: Results) -> Iterable[Row]:
    yield (
        *("model", "arm", "covariates", "c", "gamma", "fourier_features", "criterion", "deviation"),
        *("used", "missing", "method", "status"),
    )
    for one in results.machines:
        chosen = (one.c, one.gamma, one.features, one.criterion, one.deviation)
        numbers = (one.used, one.missing, one.method, status(one.standing))
        yield (one.model, one.arm, " + ".join(one.covariates), *chosen, *numbers)


MODELS = {
    "selections": _selections,
    "lasso_path": _lasso_path,
    "lasso_coefficients": _lasso_coefficients,
    "machines": _machines,
}
"""By the file's name; the first row is the heading."""
