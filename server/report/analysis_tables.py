"""Regressions, comparisons, calibration and other analyses as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, get_origin, get_type_hints

from common.stats.estimate import Estimate, Status
from common.stats.mcnemar import McNemarResult
from server.report.cohorts import CohortRecord
from server.results.comparison import Comparison
from server.results.evaluation import Calibration, Cell
from server.results.file import Results
from server.results.records import Record
from server.results.regression import Association, RegressionRow

CsvRow: TypeAlias = Sequence[object]
"""The cells of one row of a CSV file."""

_COHORT = ("cohort", "part")
_CELL = ("model", "arm", *_COHORT, "relation")
_EFFECT = (
    *("odds_ratio", "low", "high", "interval", "p_value", "p_likelihood_ratio", "inflation", "largest_share"),
    "status",
)


def flatten_key(cell: Cell) -> CsvRow:
    """The columns that identify a cell of the evaluation."""
    return (cell.model, cell.arm, *_flatten_cohort(cell), cell.relation)


def flatten_estimate(estimate: Estimate) -> CsvRow:
    """The columns of an estimate: value, bounds, method and status."""
    return (estimate.value, estimate.low, estimate.high, estimate.method, format_status(estimate.standing))


def format_status(standing: Status) -> str:
    """Whether a number is present, and if not, why."""
    return f"{standing.kind}: {standing.reason}" if standing.reason else standing.kind


def _list_columns(kind: type[Record]) -> Iterator[tuple[str, bool]]:
    """The fields of a record but lists, and whether each is an estimate."""
    for name, hint in get_type_hints(kind).items():
        if name in kind.model_fields and get_origin(hint) is not tuple:
            yield name, hint is Estimate


def _name_record_columns(kind: type[Record]) -> Iterator[object]:
    """The columns of a record, in its order."""
    for name, is_estimate in _list_columns(kind):
        yield from _name_estimate_columns(name) if is_estimate else (name,)


def _flatten_record(record: Record) -> Iterator[object]:
    for name, is_estimate in _list_columns(type(record)):
        value = getattr(record, name)
        yield from flatten_estimate(value) if is_estimate else (value,)


def _flatten_cohort(cohort: CohortRecord) -> CsvRow:
    return (" + ".join(cohort.cohort_sites), cohort.part)


def _name_estimate_columns(name: str) -> CsvRow:
    return tuple(f"{name}{end}" for end in ("", "_low", "_high", "_method", "_status"))


def _flatten_effect(effect: Association | None) -> CsvRow:
    if effect is None:
        return [""] * len(_EFFECT)
    ratio = effect.odds_ratio
    tests = (effect.p_value, effect.p_likelihood_ratio, effect.inflation, effect.largest_share)
    return (ratio.value, ratio.low, ratio.high, ratio.method, *tests, format_status(ratio.standing))


def _flatten_term(row: RegressionRow) -> CsvRow:
    return (row.variable, row.label, row.unit, row.level, int(row.reference))


def _write_regression(results: Results) -> Iterable[CsvRow]:
    kinds = [f"{kind}_{name}" for kind in ("univariate", "multivariable") for name in _EFFECT]
    yield ("variable", "label", "unit", "level", "reference", "used", "missing", "method", "entered", *kinds)
    regression = results.regression
    for row in () if regression is None else regression.rows:
        entered = int(regression is not None and row.variable in regression.entered)
        numbers = (row.used, row.missing, row.method, entered)
        yield (
            *_flatten_term(row),
            *numbers,
            *_flatten_effect(row.univariate),
            *_flatten_effect(row.multivariable),
        )


def _write_fitted(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", "variable", "label", "unit", "level", "reference", *_EFFECT),
        *("intercept", "used", "missing", "method", "model_status"),
    )
    for fit in results.fitted:
        model = (fit.intercept, fit.used, fit.missing, fit.method, format_status(fit.standing))
        if not fit.rows:
            yield (fit.model, fit.arm, *[""] * (5 + len(_EFFECT)), *model)
        for row in fit.rows:
            yield (fit.model, fit.arm, *_flatten_term(row), *_flatten_effect(row.multivariable), *model)


def _flatten_pair(pair: Comparison) -> CsvRow:
    return (pair.first_model, pair.first_arm, pair.second_model, pair.second_arm)


_PAIR = ("first_model", "first_arm", "second_model", "second_arm")


def _write_comparisons(results: Results) -> Iterable[CsvRow]:
    discordance = ("only_first", "only_second", "p_value", "method", "status")
    yield (
        *(
            *_COHORT,
            *_PAIR,
            "used",
            "missing",
            *_name_estimate_columns("difference"),
            "difference_bound",
            "p_value",
            "p_least",
            "p_most",
            "p_adjusted",
        ),
        *(f"{name}_{field}" for name in ("sensitivity", "specificity") for field in discordance),
        *(
            "omnibus_used",
            "omnibus_missing",
            "omnibus_chi_squared",
            "omnibus_degrees_of_freedom",
            "omnibus_p_value",
            "omnibus_status",
        ),
    )
    for cohort in results.comparisons:
        omnibus = (
            cohort.used,
            cohort.missing,
            cohort.chi_squared,
            cohort.degrees_of_freedom,
            cohort.p_value,
            format_status(cohort.standing),
        )
        for pair in cohort.pairs:
            yield (
                *(
                    *_flatten_cohort(cohort),
                    *_flatten_pair(pair),
                    pair.used,
                    pair.missing,
                    *flatten_estimate(pair.difference),
                    pair.difference_bound,
                ),
                *(pair.p_value, pair.p_least, pair.p_most, pair.p_adjusted),
                *(*_flatten_discordance(pair.sensitivity), *_flatten_discordance(pair.specificity), *omnibus),
            )


def _flatten_discordance(discordance: McNemarResult) -> CsvRow:
    return (
        discordance.only_first,
        discordance.only_second,
        discordance.p_value,
        discordance.method,
        format_status(discordance.standing),
    )


def _write_net_benefit(results: Results) -> Iterable[CsvRow]:
    yield (*_COHORT, *_PAIR, "threshold", "difference", "low", "high")
    for cohort in results.comparisons:
        for pair in cohort.pairs:
            for point in pair.net_benefit:
                yield (
                    *_flatten_cohort(cohort),
                    *_flatten_pair(pair),
                    *(point.threshold, point.difference, point.low, point.high),
                )


def _write_calibration(results: Results) -> Iterable[CsvRow]:
    yield (*_CELL, *_name_record_columns(Calibration))
    for cell in results.evaluation:
        if cell.calibration is not None:
            yield (*flatten_key(cell), *_flatten_record(cell.calibration))


def _write_reliability(results: Results) -> Iterable[CsvRow]:
    yield (*_CELL, "predicted", "observed", "low", "high", "patients")
    for cell in results.evaluation:
        for point in () if cell.calibration is None else cell.calibration.points:
            observed = (point.observed, point.low, point.high)
            yield (*flatten_key(cell), point.predicted, *observed, point.patients)


def _write_decision(results: Results) -> Iterable[CsvRow]:
    yield (*_CELL, "threshold", "net_benefit", "low", "high", "treat_all")
    for cell in results.evaluation:
        for point in cell.decision:
            yield (*flatten_key(cell), point.threshold, point.model, point.low, point.high, point.treat_all)


def _write_subgroups(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", *_COHORT, "variable", "label", "level", "positive", "negative"),
        *(*_name_estimate_columns("auc"), "auc_error_bound", "auc_interval_bound"),
        *("p_interaction", "p_method", "p_status"),
    )
    for subgroup in results.subgroups:
        group = (subgroup.variable, subgroup.label, subgroup.level, subgroup.positive, subgroup.negative)
        yield (
            subgroup.model,
            subgroup.arm,
            *_flatten_cohort(subgroup),
            *group,
            *flatten_estimate(subgroup.auc),
            subgroup.auc_error_bound,
            subgroup.auc_interval_bound,
            *(subgroup.p_interaction, subgroup.p_method, format_status(subgroup.p_standing)),
        )


def _write_heterogeneity(results: Results) -> Iterable[CsvRow]:
    yield (
        *(
            "model",
            "arm",
            "sites",
            "sites_excluded",
            *_name_estimate_columns("auc"),
            "prediction_low",
            "prediction_high",
        ),
        *("q", "p_value", "i_squared", "tau_squared", "per_site"),
        *(*_name_estimate_columns("difference"), "difference_bound", "largest_auc_error_bound"),
    )
    for record in results.heterogeneity:
        spread = (record.q, record.p_value, record.i_squared, record.tau_squared, int(record.per_site))
        predicted = (record.prediction_low, record.prediction_high)
        counted = (record.sites, record.sites_excluded)
        difference = [""] * 5 if record.difference is None else flatten_estimate(record.difference)
        known = [centre.auc_error_bound for centre in record.centres if centre.standing.ok]
        bound = max((error for error in known if error is not None), default=None)
        bounds = (record.difference_bound, bound)
        estimates = (*flatten_estimate(record.auc), *predicted, *spread, *difference, *bounds)
        yield (record.model, record.arm, *counted, *estimates)


def _write_centre_aucs(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", "site", "part", "positive", "negative", *_name_estimate_columns("auc"), "compared"),
        *("auc_error_bound", "auc_interval_bound"),
    )
    for record in results.heterogeneity:
        for centre in record.centres:
            yield (
                *(record.model, record.arm, centre.site, centre.part, centre.positive, centre.negative),
                *(*flatten_estimate(centre.auc), format_status(centre.standing)),
                *(centre.auc_error_bound, centre.interval_bound),
            )


def _write_mean_attention(results: Results) -> Iterable[CsvRow]:
    yield (
        *("model", "arm", *_COHORT, "group", "patients", "sites"),
        *("left_mm", "back_mm", "attention", "lesion", "status"),
    )
    for one in results.mean_attention:
        group = "positive" if one.positive else "negative"
        about = (one.model, one.arm, *_flatten_cohort(one), group, one.patients, one.sites)
        if not one.standing.ok:
            yield (*about, *[None] * 4, format_status(one.standing))
        for row, (values, covered) in enumerate(zip(one.attention, one.lesion, strict=True)):
            for column, numbers in enumerate(zip(values, covered, strict=True)):
                if numbers != (None, None):
                    place = (one.left_mm + column * one.cell_mm, one.front_mm + row * one.cell_mm)
                    yield (*about, *place, *numbers, format_status(one.standing))


ANALYSIS_TABLES = {
    "regression": _write_regression,
    "fitted": _write_fitted,
    "comparisons": _write_comparisons,
    "net_benefit_differences": _write_net_benefit,
    "calibration": _write_calibration,
    "reliability": _write_reliability,
    "decision": _write_decision,
    "subgroups": _write_subgroups,
    "heterogeneity": _write_heterogeneity,
    "centre_aucs": _write_centre_aucs,
    "mean_attention": _write_mean_attention,
}
"""What writes each file's rows, by the file's name; the first row is the heading."""
