"""Regressions, comparisons, calibration and the rest as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from server.analyses import Comparison, Discordance, Effect, RegressionRow
from server.records import Measure, Standing
from server.report.cohorts import Cohort
from server.results import Cell, Results

Row: TypeAlias = Sequence[object]

_COHORT = ("cohort", "part")
_CELL = ("model", "arm", *_COHORT, "relation")
_EFFECT = ("odds_ratio", "low", "high", "p_value", "p_likelihood_ratio", "inflation", "status")


def cell_key(cell: Cell) -> Row:
    """Which cell of the evaluation."""
    return (cell.model, cell.arm, *_cohort(cell), cell.relation)


def measure_cells(measure: Measure) -> Row:
    """Value, bounds, method and status."""
    return (measure.value, measure.low, measure.high, measure.method, status(measure.standing))


def status(standing: Standing) -> str:
    """Whether the number is there, and why not."""
    return f"{standing.kind}: {standing.reason}" if standing.reason else standing.kind


def _cohort(cohort: Cohort) -> Row:
    return (" + ".join(cohort.cohort_sites), cohort.part)


def _named(name: str) -> Row:
    return tuple(f"{name}{end}" for end in ("", "_low", "_high", "_method", "_status"))


def _effect(effect: Effect | None) -> Row:
    if effect is None:
        return [""] * len(_EFFECT)
    ratio = effect.odds_ratio
    tests = (effect.p_value, effect.p_likelihood_ratio, effect.inflation)
    return (ratio.value, ratio.low, ratio.high, *tests, status(ratio.standing))


def _term(row: RegressionRow) -> Row:
    return (row.variable, row.label, row.unit, row.level, int(row.reference))


def _regression(results: Results) -> Iterable[Row]:
    kinds = [f"{kind}_{name}" for kind in ("univariate", "multivariable") for name in _EFFECT]
    yield ("variable", "label", "unit", "level", "reference", "used", "missing", "method", "entered", *kinds)
    found = results.regression
    for row in () if found is None else found.rows:
        entered = int(found is not None and row.variable in found.entered)
        numbers = (row.used, row.missing, row.method, entered)
        yield (*_term(row), *numbers, *_effect(row.univariate), *_effect(row.multivariable))


def _fitted(results: Results) -> Iterable[Row]:
    yield (
        *("model", "arm", "variable", "label", "unit", "level", "reference", *_EFFECT),
        *("intercept", "used", "missing", "method", "model_status"),
    )
    for fit in results.fitted:
        whole = (fit.intercept, fit.used, fit.missing, fit.method, status(fit.standing))
        if not fit.rows:
            yield (fit.model, fit.arm, *[""] * (5 + len(_EFFECT)), *whole)
        for row in fit.rows:
            yield (fit.model, fit.arm, *_term(row), *_effect(row.multivariable), *whole)


def _pair(pair: Comparison) -> Row:
    return (pair.first_model, pair.first_arm, pair.second_model, pair.second_arm)


_PAIR = ("first_model", "first_arm", "second_model", "second_arm")


def _comparisons(results: Results) -> Iterable[Row]:
    discordance = ("only_first", "only_second", "p_value", "method", "status")
    yield (
        *(*_COHORT, "used", "missing", *_PAIR, *_named("difference"), "p_value", "p_adjusted"),
        *(f"{name}_{what}" for name in ("sensitivity", "specificity") for what in discordance),
        *("omnibus_chi_squared", "omnibus_degrees_of_freedom", "omnibus_p_value", "omnibus_status"),
    )
    for one in results.comparisons:
        omnibus = (one.chi_squared, one.degrees_of_freedom, one.p_value, status(one.standing))
        for pair in one.pairs:
            yield (
                *(*_cohort(one), one.used, one.missing, *_pair(pair), *measure_cells(pair.difference)),
                *(pair.p_value, pair.p_adjusted),
                *(*_discordance(pair.sensitivity), *_discordance(pair.specificity), *omnibus),
            )


def _discordance(found: Discordance) -> Row:
    return (found.only_first, found.only_second, found.p_value, found.method, status(found.standing))


def _net_benefit(results: Results) -> Iterable[Row]:
    yield (*_COHORT, *_PAIR, "threshold", "difference", "low", "high")
    for one in results.comparisons:
        for pair in one.pairs:
            for point in pair.net_benefit:
                yield (
                    *_cohort(one),
                    *_pair(pair),
                    *(point.threshold, point.difference, point.low, point.high),
                )


def _calibration(results: Results) -> Iterable[Row]:
    names = ("brier", "expected_error", "intercept", "slope")
    yield (*_CELL, *(column for name in names for column in _named(name)))
    for cell in results.evaluation:
        found = cell.calibration
        if found is not None:
            measures = (found.brier, found.expected_error, found.intercept, found.slope)
            yield (*cell_key(cell), *(part for measure in measures for part in measure_cells(measure)))


def _reliability(results: Results) -> Iterable[Row]:
    yield (*_CELL, "predicted", "observed", "low", "high", "patients")
    for cell in results.evaluation:
        for point in () if cell.calibration is None else cell.calibration.points:
            observed = (point.observed, point.low, point.high)
            yield (*cell_key(cell), point.predicted, *observed, point.patients)


def _decision(results: Results) -> Iterable[Row]:
    yield (*_CELL, "threshold", "net_benefit", "low", "high", "treat_all")
    for cell in results.evaluation:
        for point in cell.decision:
            yield (*cell_key(cell), point.threshold, point.model, point.low, point.high, point.treat_all)


def _subgroups(results: Results) -> Iterable[Row]:
    yield (
        *("model", "arm", *_COHORT, "variable", "label", "level", "positive", "negative"),
        *(*_named("auc"), "p_interaction"),
    )
    for one in results.subgroups:
        group = (one.variable, one.label, one.level, one.positive, one.negative)
        yield (one.model, one.arm, *_cohort(one), *group, *measure_cells(one.auc), one.p_interaction)


def _heterogeneity(results: Results) -> Iterable[Row]:
    yield (
        *("model", "arm", "sites", "sites_excluded", *_named("auc"), "prediction_low", "prediction_high"),
        *("q", "p_value", "i_squared", "tau_squared", "per_site"),
    )
    for one in results.heterogeneity:
        spread = (one.q, one.p_value, one.i_squared, one.tau_squared, int(one.per_site))
        predicted = (one.prediction_low, one.prediction_high)
        counted = (one.sites, one.sites_excluded)
        yield (one.model, one.arm, *counted, *measure_cells(one.auc), *predicted, *spread)


ANALYSES = {
    "regression": _regression,
    "fitted": _fitted,
    "comparisons": _comparisons,
    "net_benefit_differences": _net_benefit,
    "calibration": _calibration,
    "reliability": _reliability,
    "decision": _decision,
    "subgroups": _subgroups,
    "heterogeneity": _heterogeneity,
}
"""By the file's name; the first row is the heading."""
