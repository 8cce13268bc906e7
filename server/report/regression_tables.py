"""Table 2: what predicts expansion, alone and together, and the logistic models that the study fitted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from common.plan.models import SCORE_OF
from common.stats.estimate import Estimate
from common.stats.glm import DECISIVE
from common.stats.profile_limits import PROFILE
from server.report.drawing import Picture
from server.report.forests import ForestLine, draw_forest
from server.report.printed import (
    BLANK,
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
    enter_p_value,
    enter_ratio,
)
from server.report.subject import Subject
from server.report.words import explain_standing, format_count, format_number, format_unit, name_arm
from server.results.regression import Association, FittedModel, RegressionRow, RegressionTable
from server.results.selection import FeatureSelection

_REFERENCE = TableEntry("Reference")
_LARGEST = 700.0
"""Logarithm of about the largest number that a float holds."""
_INFLATED = 5.0
"""A variance inflation factor above this gives a warning."""
_FIRTH = (
    "Firth's penalised likelihood: a combination of the variable and the outcome hardly occurs, so that "
    "the ordinary estimate does not exist; P is of the penalised likelihood ratio"
)
_TRAINED = "Its P is too small: the patients also trained that network."
_PER_DEVIATION = " SD: standard deviation of a radiomics feature over the patients of whom it was selected."
_USUAL = "Intervals and P are Wald's unless a footnote says otherwise."


@dataclass(frozen=True)
class PredictorsChapter:
    """The chapter "Table 2: predictors".

    Attributes
    ----------
    table : PrintedTable
        Table 2.
    sites : str
        The centres whose training patients were analysed, in words.
    entry : str
        Which variables entered the multivariable model, in words.
    model : str
        The multivariable model's patients and method in words, or why there is no model.
    forest : Picture or None
        The forest plot; None where no odds ratio may be shown.
    """

    table: PrintedTable
    sites: str
    entry: str
    model: str
    forest: Picture | None


def build_predictors(subject: Subject) -> PredictorsChapter | None:
    """The chapter, or None if the study did not ask what predicts expansion."""
    regression = subject.results.regression
    if regression is None:
        return None
    return PredictorsChapter(
        table=build_table_two(subject, regression),
        sites=subject.centres.name_sites(regression.cohort_sites),
        entry=_describe_entry(regression),
        model=_describe_model(regression),
        forest=_draw_forest(regression),
    )


def build_table_two(subject: Subject, regression: RegressionTable) -> PrintedTable:
    """Table 2: variables down; univariate and multivariable odds ratios across."""
    notes = Footnotes()
    together = [row.multivariable for row in regression.rows if row.multivariable is not None]
    firth = notes.mark(_describe_firth(together[0])) if regression.method == "Firth" and together else ""
    return PrintedTable(
        caption=f"Odds ratios of {subject.event}. A dash: not in the multivariable model. {_USUAL}",
        stub=("Variable", "Level"),
        groups=(
            ColumnGroup("", ("Patients",)),
            ColumnGroup("Univariate models", ("OR (95% CI)", "P")),
            ColumnGroup("Multivariable model", ("OR (95% CI)", "P"), firth),
        ),
        lines=tuple(_build_lines(regression, notes)),
        footnotes=notes.list_texts(),
    )


def name_variable(row: RegressionRow) -> str:
    """The variable with its unit, since an odds ratio is per unit."""
    return f"{row.label} (per {format_unit(row.unit)})" if row.unit else row.label


def _build_lines(regression: RegressionTable, notes: Footnotes) -> Iterator[TableLine]:
    for rows in _group_by_variable(regression.rows):
        first = rows[0]
        label = name_variable(first)
        if not first.level:
            yield TableLine(label, (_enter_patients(first), *_enter_effects(first, regression, notes)))
            continue
        yield TableLine(label, (_enter_patients(first), BLANK, BLANK, BLANK, BLANK))
        for row in rows:
            yield TableLine(row.level, (BLANK, *_enter_effects(row, regression, notes)), parent=label)


def _group_by_variable(rows: Sequence[RegressionRow]) -> list[tuple[RegressionRow, ...]]:
    names = dict.fromkeys(row.variable for row in rows)
    return [tuple(row for row in rows if row.variable == name) for name in names]


def _enter_patients(row: RegressionRow) -> TableEntry:
    below = "" if row.missing == 0 or row.used is None else f"missing: {format_count(row.missing)}"
    return TableEntry(format_count(row.used), below=below, absent=row.used is None)


def _enter_effects(
    row: RegressionRow, regression: RegressionTable, notes: Footnotes
) -> tuple[TableEntry, ...]:
    """The entries of the univariate and the multivariable columns."""
    entered, standing = row.variable in regression.entered, regression.standing
    multivariable = _enter_effect(row.multivariable, notes)
    if standing.kind == "suppressed" or (standing.kind == "undefined" and entered):
        absent = enter_absent(standing, notes)
        multivariable = (absent, TableEntry(absent.text, absent=True))
    elif row.reference and entered:
        multivariable = (_REFERENCE, BLANK)
    if row.reference:
        return (_REFERENCE, BLANK, *multivariable)
    return (*_enter_effect(row.univariate, notes, firth=row.method == "Firth"), *multivariable)


def _enter_effect(
    effect: Association | None, notes: Footnotes, *, firth: bool = False, trained: bool = False
) -> tuple[TableEntry, TableEntry]:
    """Odds ratio and P; `trained` says that it is of a network which the same patients trained."""
    if effect is None:
        return NOT_APPLICABLE, BLANK
    entry = enter_ratio(effect.odds_ratio, notes)
    if effect.odds_ratio.value is None:
        return entry, TableEntry(entry.text, absent=True)
    remarks = (_describe_firth(effect) if firth else "", *_list_warnings(effect))
    return (
        TableEntry(entry.text, notes.mark_all(*remarks)),
        enter_p_value(effect.p_value, notes.mark(_TRAINED if trained else "")),
    )


def _describe_firth(effect: Association) -> str:
    """How an odds ratio of Firth's method, its interval and its P were found."""
    profile = effect.odds_ratio.method == PROFILE
    return f"{_FIRTH}, the interval of {'the profile penalised likelihood' if profile else 'Wald'}."


def _list_warnings(effect: Association) -> tuple[str, ...]:
    """What a reader of an odds ratio must know; empty texts where there is nothing."""
    inflated = effect.inflation is not None and effect.inflation > _INFLATED
    warning = (
        f"Variance inflation factor {format_number(effect.inflation, 1)}, above {_INFLATED:g}: the variable "
        "tells much of what others tell, its own odds ratio is unstable."
        if inflated
        else ""
    )
    share = effect.largest_share
    extreme = (
        f"An extreme value: one patient makes up at least {share:.0%} of this variable's variance and so "
        "decides its odds ratio. Is it a slip or a wrong unit?"
        if share is not None and share > DECISIVE
        else ""
    )
    limits = (effect.odds_ratio.low, effect.odds_ratio.high)
    lost = (
        "The search for a limit of the interval did not end."
        if effect.odds_ratio.method == PROFILE and None in limits
        else ""
    )
    return warning, extreme, lost


def _describe_entry(regression: RegressionTable) -> str:
    labels = {row.variable: row.label for row in regression.rows}
    names = ", ".join(labels.get(name, name) for name in regression.entered)
    rule = (
        f"A variable enters the multivariable model if any of its levels has P < {regression.entry_p:g} alone"
    )
    if names:
        return f"{rule}: {names}."
    return f"{rule}." if regression.standing.kind == "suppressed" else f"{rule}; none did."


def _describe_model(regression: RegressionTable) -> str:
    if regression.standing.kind != "ok":
        return f"There is no multivariable model ({explain_standing(regression.standing)})."
    return f"Multivariable model: {_describe_fit(regression)}."


def _describe_fit(fit: RegressionTable | FittedModel) -> str:
    missing = "" if fit.missing == 0 else f" ({format_count(fit.missing)} without a value left out)"
    return f"{format_count(fit.used)} patients{missing}; {fit.method}"


def _draw_forest(regression: RegressionTable) -> Picture | None:
    lines = [
        ForestLine(
            f"{row.label}: {row.level}" if row.level else name_variable(row),
            None if row.univariate is None else row.univariate.odds_ratio,
            None if row.multivariable is None else row.multivariable.odds_ratio,
        )
        for row in regression.rows
        if not row.reference
    ]
    ratios = [ratio for item in lines for ratio in (item.univariate, item.multivariable)]
    if not any(ratio is not None and ratio.value is not None for ratio in ratios):
        return None
    return draw_forest(lines, f"Forest plot of the odds ratios of Table 2, {len(lines)} lines")


@dataclass(frozen=True)
class FittedView:
    """One logistic model in all its arms.

    Attributes
    ----------
    model : str
        The model's name.
    table : PrintedTable
        Its odds ratios by arm.
    """

    model: str
    table: PrintedTable


def build_fitted_views(subject: Subject) -> tuple[FittedView, ...]:
    """The fitted logistic models, the reference first."""
    fits = subject.results.fitted
    names = [model.name for model in subject.models if any(fit.model == model.name for fit in fits)]
    return tuple(
        FittedView(
            name,
            build_fitted_table(tuple(fit for fit in fits if fit.model == name), subject.results.selections),
        )
        for name in names
    )


def build_fitted_table(
    fits: Sequence[FittedModel], selections: Sequence[FeatureSelection] = ()
) -> PrintedTable:
    """The table of one model: terms down, arms across; radiomics features per standard deviation."""
    notes = Footnotes()
    deviations = {one.arm: {feature.name: feature.sd for feature in one.features} for one in selections}
    features = {name for known in deviations.values() for name in known}
    rows = {(row.variable, row.level): row for fit in fits for row in fit.rows}
    lines = [
        TableLine(
            _name_term(row, features),
            tuple(
                entry
                for fit in fits
                for entry in _enter_term(fit, term, notes, deviations.get(fit.arm, {}).get(row.variable))
            ),
        )
        for term, row in rows.items()
    ]
    lines.append(
        TableLine("Intercept (log odds)", tuple(e for fit in fits for e in _enter_intercept(fit, notes)))
    )
    lines.append(
        TableLine("Patients", tuple(e for fit in fits for e in (TableEntry(format_count(fit.used)), BLANK)))
    )
    return PrintedTable(
        caption=f"{fits[0].model}: odds ratios with 95% confidence intervals. {_USUAL}"
        f"{_PER_DEVIATION if any(row.variable in features for row in rows.values()) else ''}",
        stub=("Term", ""),
        groups=tuple(ColumnGroup(name_arm(fit), ("OR (95% CI)", "P")) for fit in fits),
        lines=tuple(lines),
        footnotes=notes.list_texts(),
    )


def _name_term(row: RegressionRow, features: Collection[str]) -> str:
    if row.variable in features:
        return f"{row.label} (per SD)"
    return f"{row.label}: {row.level}" if row.level else name_variable(row)


def _enter_term(
    fit: FittedModel, term: tuple[str, str], notes: Footnotes, deviation: float | None
) -> tuple[TableEntry, TableEntry]:
    if fit.standing.kind != "ok":
        return enter_absent(fit.standing, notes), BLANK
    row = next((row for row in fit.rows if (row.variable, row.level) == term), None)
    if row is None:
        return NOT_APPLICABLE, BLANK
    if row.reference:
        return _REFERENCE, BLANK
    trained = row.variable.startswith(SCORE_OF)
    effect = row.multivariable
    if effect is not None and deviation is not None:
        ratio = scale_ratio(effect.odds_ratio, deviation)
        effect = effect.model_copy(update={"odds_ratio": ratio})
    return _enter_effect(effect, notes, firth=fit.method == "Firth", trained=trained)


def scale_ratio(ratio: Estimate, units: float) -> Estimate:
    """The odds ratio, with its limits, for so many units where the given one is for one."""
    value, low, high = (
        number if not number else exp(min(units * log(number), _LARGEST))
        for number in (ratio.value, ratio.low, ratio.high)
    )
    return replace(ratio, value=value, low=low, high=high)


def _enter_intercept(fit: FittedModel, notes: Footnotes) -> tuple[TableEntry, TableEntry]:
    if fit.standing.kind != "ok":
        return enter_absent(fit.standing, notes), BLANK
    return TableEntry(
        "stayed at its centre" if fit.intercept is None else format_number(fit.intercept)
    ), BLANK
