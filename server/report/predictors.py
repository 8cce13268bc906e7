"""Table 2: what predicts expansion, alone and together, and the logistic models that the study fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.analyses import Effect, FittedModel, Regression, RegressionRow
from server.report.drawing import Picture
from server.report.forests import ForestLine, forest_picture
from server.report.printed import (
    BLANK,
    NOT_APPLICABLE,
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    absent_entry,
    p_entry,
    ratio_entry,
)
from server.report.subject import Subject
from server.report.words import arm_label, count, number, why

_REFERENCE = Entry("Reference")
_INFLATED = 5.0
"""A variance inflation factor above this is warned of."""
_FIRTH = (
    "Firth's penalised likelihood: a combination of the variable and the outcome hardly occurs, so that "
    "the ordinary estimate does not exist; P is of the penalised likelihood ratio."
)


@dataclass(frozen=True)
class Predictors:
    """The chapter.

    Attributes
    ----------
    table : PrintedTable
    sites : str
        Whose training patients.
    entry : str
        Which variables entered the multivariable model.
    model : str
        On whom it was fitted and how, or why there is none.
    forest : Picture or None
        None where no odds ratio may be shown.
    """

    table: PrintedTable
    sites: str
    entry: str
    model: str
    forest: Picture | None


def predictors(subject: Subject) -> Predictors | None:
    """Table 2, if the study asked what predicts expansion."""
    found = subject.results.regression
    if found is None:
        return None
    return Predictors(
        table=table_two(subject, found),
        sites=subject.places.label(found.cohort_sites),
        entry=_entry(found),
        model=_model(found),
        forest=_forest(found),
    )


def table_two(subject: Subject, found: Regression) -> PrintedTable:
    """Variables down; univariate and multivariable odds ratios across."""
    notes = Footnotes()
    firth = notes.mark(_FIRTH) if found.method == "Firth" else ""
    title = f"Multivariable model [{firth}]" if firth else "Multivariable model"
    return PrintedTable(
        caption=f"Odds ratios of {subject.event}. A dash: not in the multivariable model.",
        stub=("Variable", "Level"),
        groups=(
            Group("", ("Patients",)),
            Group("Univariate models", ("OR (95% CI)", "P")),
            Group(title, ("OR (95% CI)", "P")),
        ),
        lines=tuple(_lines(found, notes)),
        footnotes=notes.lines(),
    )


def variable_label(row: RegressionRow) -> str:
    """The variable with its unit: an odds ratio is per unit."""
    return f"{row.label} (per {row.unit})" if row.unit else row.label


def _lines(found: Regression, notes: Footnotes) -> Iterator[Line]:
    for rows in _by_variable(found.rows):
        first = rows[0]
        label = variable_label(first)
        if not first.level:
            yield Line(label, (_patients(first), *_effects(first, found, notes)))
            continue
        yield Line(label, (_patients(first), BLANK, BLANK, BLANK, BLANK))
        for row in rows:
            yield Line(row.level, (BLANK, *_effects(row, found, notes)), parent=label)


def _by_variable(rows: Sequence[RegressionRow]) -> list[tuple[RegressionRow, ...]]:
    names = dict.fromkeys(row.variable for row in rows)
    return [tuple(row for row in rows if row.variable == name) for name in names]


def _patients(row: RegressionRow) -> Entry:
    below = "" if row.missing == 0 or row.used is None else f"missing: {count(row.missing)}"
    return Entry(count(row.used), below=below, absent=row.used is None)


def _effects(row: RegressionRow, found: Regression, notes: Footnotes) -> tuple[Entry, ...]:
    """The univariate and the multivariable columns."""
    entered, standing = row.variable in found.entered, found.standing
    together = _effect(row.multivariable, notes)
    if standing.kind == "suppressed" or (standing.kind == "undefined" and entered):
        absent = absent_entry(standing, notes)
        together = (absent, Entry(absent.text, absent=True))
    elif row.reference and entered:
        together = (_REFERENCE, BLANK)
    if row.reference:
        return (_REFERENCE, BLANK, *together)
    return (*_effect(row.univariate, notes, _FIRTH if row.method == "Firth" else ""), *together)


def _effect(effect: Effect | None, notes: Footnotes, remark: str = "") -> tuple[Entry, Entry]:
    if effect is None:
        return NOT_APPLICABLE, BLANK
    entry = ratio_entry(effect.odds_ratio, notes)
    inflated = effect.inflation is not None and effect.inflation > _INFLATED
    warning = (
        f"Variance inflation factor {number(effect.inflation, 1)}, above {_INFLATED:g}: the variable tells "
        "much of what others tell, its own odds ratio is unstable."
        if inflated
        else ""
    )
    if effect.odds_ratio.value is None:
        return entry, Entry(entry.text, absent=True)
    marks = notes.marks(remark, warning)
    return Entry(entry.text, marks), p_entry(effect.p_value)


def _entry(found: Regression) -> str:
    labels = {row.variable: row.label for row in found.rows}
    names = ", ".join(labels.get(name, name) for name in found.entered)
    rule = f"A variable enters the multivariable model if any of its levels has P < {found.entry_p:g} alone"
    if names:
        return f"{rule}: {names}."
    return f"{rule}." if found.standing.kind == "suppressed" else f"{rule}; none did."


def _model(found: Regression) -> str:
    if found.standing.kind != "ok":
        return f"There is no multivariable model ({why(found.standing)})."
    return f"Multivariable model: {_how(found)}."


def _how(fit: Regression | FittedModel) -> str:
    missing = "" if fit.missing == 0 else f" ({count(fit.missing)} without a value left out)"
    return f"{count(fit.used)} patients{missing}; {fit.method}"


def _forest(found: Regression) -> Picture | None:
    lines = [
        ForestLine(
            f"{row.label}: {row.level}" if row.level else variable_label(row),
            None if row.univariate is None else row.univariate.odds_ratio,
            None if row.multivariable is None else row.multivariable.odds_ratio,
        )
        for row in found.rows
        if not row.reference
    ]
    ratios = [one for each in lines for one in (each.univariate, each.multivariable)]
    if not any(one is not None and one.value is not None for one in ratios):
        return None
    return forest_picture(lines, f"Forest plot of the odds ratios of Table 2, {len(lines)} lines")


@dataclass(frozen=True)
class FittedView:
    """One logistic model in all its arms.

    Attributes
    ----------
    model : str
    table : PrintedTable
    """

    model: str
    table: PrintedTable


def fitted_models(subject: Subject) -> tuple[FittedView, ...]:
    """The logistic models, the reference first."""
    fits = subject.results.fitted
    names = [model.name for model in subject.models if any(fit.model == model.name for fit in fits)]
    return tuple(
        FittedView(name, fitted_table(tuple(fit for fit in fits if fit.model == name))) for name in names
    )


def fitted_table(fits: Sequence[FittedModel]) -> PrintedTable:
    """One model: its terms down, arms across."""
    notes = Footnotes()
    rows = {(row.variable, row.level): row for fit in fits for row in fit.rows}
    lines = [
        Line(
            f"{row.label}: {row.level}" if row.level else variable_label(row),
            tuple(entry for fit in fits for entry in _term(fit, term, notes)),
        )
        for term, row in rows.items()
    ]
    lines.append(Line("Intercept (log odds)", tuple(e for fit in fits for e in _intercept(fit, notes))))
    lines.append(Line("Patients", tuple(e for fit in fits for e in (Entry(count(fit.used)), BLANK))))
    return PrintedTable(
        caption=f"{fits[0].model}: odds ratios with 95% confidence intervals.",
        stub=("Term", ""),
        groups=tuple(Group(arm_label(fit), ("OR (95% CI)", "P")) for fit in fits),
        lines=tuple(lines),
        footnotes=notes.lines(),
    )


def _term(fit: FittedModel, term: tuple[str, str], notes: Footnotes) -> tuple[Entry, Entry]:
    if fit.standing.kind != "ok":
        return absent_entry(fit.standing, notes), BLANK
    row = next((row for row in fit.rows if (row.variable, row.level) == term), None)
    if row is None:
        return NOT_APPLICABLE, BLANK
    if row.reference:
        return _REFERENCE, BLANK
    return _effect(row.multivariable, notes, _FIRTH if fit.method == "Firth" else "")


def _intercept(fit: FittedModel, notes: Footnotes) -> tuple[Entry, Entry]:
    if fit.standing.kind != "ok":
        return absent_entry(fit.standing, notes), BLANK
    return Entry("stayed at its centre" if fit.intercept is None else number(fit.intercept)), BLANK
