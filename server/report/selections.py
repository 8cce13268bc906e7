"""Which radiomics features the LASSO selected in each arm (the paper's Table S3 and Fig. S2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.messages.headers import SelectedFeature
from common.plan.predictors import WITHOUT_RADIOMICS
from server.report.drawing import Picture
from server.report.lasso_figure import draw_lasso
from server.report.palette import LineStyle, style_features
from server.report.printed import (
    BLANK,
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
)
from server.report.subject import Subject
from server.report.words import explain_standing, format_count, format_significant, join_words, name_arm
from server.results.regression import FittedModel
from server.results.selection import FeatureSelection
from server.results.training import SupportVectorMachine


@dataclass(frozen=True)
class SelectionPanel:
    """One arm's path and cross-validation.

    Attributes
    ----------
    label : str
        The arm in words.
    summary : str
        Numbers of patients and features and the penalty, in words.
    styles : tuple of LineStyle
        The styles of the selected features, in their order.
    picture : Picture or None
        None where there is no path.
    """

    label: str
    summary: str
    styles: tuple[LineStyle, ...]
    picture: Picture | None


@dataclass(frozen=True)
class SelectionsChapter:
    """The chapter "Radiomics features".

    Attributes
    ----------
    table : PrintedTable
        The features' coefficients by arm (Table S3).
    takers : str
        The models that use the features, in words.
    panels : tuple of SelectionPanel
        One for each arm.
    """

    table: PrintedTable
    takers: str
    panels: tuple[SelectionPanel, ...]


def build_selections(subject: Subject) -> SelectionsChapter | None:
    """The chapter, or None if no model of the study uses radiomics."""
    selections = subject.results.selections
    if not selections:
        return None
    names = dict.fromkeys(feature.name for selection in selections for feature in selection.features)
    styles = style_features(tuple(names))
    return SelectionsChapter(
        table=build_selection_table(selections),
        takers=_name_takers(subject, set(names)),
        panels=tuple(
            _build_panel(selection, styles, _name_unfitted(subject, selection)) for selection in selections
        ),
    )


def build_selection_table(selections: Sequence[FeatureSelection]) -> PrintedTable:
    """Table S3: features down, the strongest of the first arm first; arms across."""
    notes = Footnotes()
    strength = {
        feature.name: (place, -abs(feature.coefficient))
        for place, selection in reversed(list(enumerate(selections)))
        for feature in selection.features
    }
    lines = [
        TableLine(
            name,
            tuple(entry for selection in selections for entry in _enter_coefficients(selection, name, notes)),
        )
        for name in sorted(strength, key=lambda name: strength[name])
    ]
    if not lines:
        entries = tuple(entry for selection in selections for entry in (_enter_none(selection, notes), BLANK))
        lines = [TableLine("No feature", entries)]
    patients = tuple(
        entry for selection in selections for entry in (TableEntry(format_count(selection.used)), BLANK)
    )
    return PrintedTable(
        caption=f"Coefficients of the LASSO on {_name_outcome(selections)}: for one standard deviation of a "
        "feature, and for one unit of it. A dash: not selected in that arm.",
        stub=("Radiomics feature", ""),
        groups=tuple(ColumnGroup(name_arm(selection), ("Per SD", "Per unit")) for selection in selections),
        lines=(*lines, TableLine("Patients", patients)),
        footnotes=notes.list_texts(),
    )


def _name_outcome(selections: Sequence[FeatureSelection]) -> str:
    """What the LASSO fitted: one family, the plan's, in all arms."""
    binomial = any(selection.family == "binomial" for selection in selections)
    return "the log odds of the outcome" if binomial else "the outcome (0 or 1)"


def coefficient_per_unit(feature: SelectedFeature) -> float:
    """The coefficient for one unit of the feature, not for one standard deviation."""
    return feature.coefficient / feature.sd


def _enter_coefficients(selection: FeatureSelection, name: str, notes: Footnotes) -> Iterator[TableEntry]:
    feature = next((feature for feature in selection.features if feature.name == name), None)
    if feature is None:
        yield _enter_none(selection, notes)
        yield BLANK
    else:
        yield TableEntry(format_significant(feature.coefficient))
        yield TableEntry(format_significant(coefficient_per_unit(feature)))


def _enter_none(selection: FeatureSelection, notes: Footnotes) -> TableEntry:
    return NOT_APPLICABLE if selection.standing.kind == "ok" else enter_absent(selection.standing, notes)


def _name_takers(subject: Subject, names: set[str]) -> str:
    """The models that were fitted on any of these features, in words."""
    fits = [(fit.model, {row.variable for row in fit.rows}) for fit in subject.results.fitted]
    fits += [(machine.model, set(machine.covariates)) for machine in subject.results.machines]
    return join_words(list(dict.fromkeys(model for model, taken in fits if taken & names)))


def _name_unfitted(subject: Subject, selection: FeatureSelection) -> str:
    """The arm's models that were not fitted because their radiomics were withheld, in words."""
    models: tuple[FittedModel | SupportVectorMachine, ...]
    models = (*subject.results.fitted, *subject.results.machines)
    return join_words(
        [
            model.model
            for model in models
            if model.arm == selection.arm and model.standing.reason.startswith(WITHOUT_RADIOMICS)
        ]
    )


def _build_panel(
    selection: FeatureSelection, styles: Mapping[str, LineStyle], unfitted: str
) -> SelectionPanel:
    label = name_arm(selection)
    if selection.penalty is None or not selection.path:
        reason = (
            explain_standing(selection.standing) if selection.standing.kind != "ok" else "no path was kept"
        )
        without = f" Without them this arm has no {unfitted}." if unfitted else ""
        return SelectionPanel(label, f"No features were selected ({reason}).{without}", (), None)
    feature_styles = tuple(styles[feature.name] for feature in selection.features)
    alt = (
        f"LASSO, {label}: coefficients of {len(feature_styles)} selected features and validation error by "
        f"penalty; chosen penalty {format_significant(selection.penalty)}"
    )
    return SelectionPanel(
        label,
        _describe_selection(selection),
        feature_styles,
        draw_lasso(selection, selection.penalty, feature_styles, alt),
    )


def _describe_selection(selection: FeatureSelection) -> str:
    agreed = "" if selection.reproducible is None else f" of which {selection.reproducible} are reproducible"
    before = selection.candidates if selection.reproducible is None else selection.reproducible
    screened = "" if selection.prescreened == before else f", prescreened to {selection.prescreened}"
    chosen = len(selection.features)
    return (
        f"{format_count(selection.used)} patients, {selection.candidates} features{agreed}{screened}"
        f"; {chosen} {'was' if chosen == 1 else 'were'} selected at \u03bb = "
        f"{format_significant(selection.penalty)} ({selection.method})."
        f"{_describe_folds(selection)}{_describe_rounds(selection)}"
    )


def _describe_folds(selection: FeatureSelection) -> str:
    """In how many folds, stratified by outcome within each centre, and why not in as many as planned."""
    if selection.folds is None:
        return ""
    dealt = "dealt by outcome within each centre"
    if selection.folds == selection.planned_folds:
        return f" The cross-validation has the plan's {selection.folds} folds, {dealt}."
    return (
        f" The cross-validation has {selection.folds} folds, {dealt}, for the plan's "
        f"{selection.planned_folds}: {selection.fold_reason}."
    )


def _describe_rounds(selection: FeatureSelection) -> str:
    return "" if selection.rounds is None else f" It took {selection.rounds} rounds of messages."
