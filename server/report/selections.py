"""Which radiomics features the LASSO selected in each arm (the paper's Table S3 and Fig. S2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.analyses import FeatureSelection, SelectedFeature
from server.report.drawing import Picture
from server.report.lasso_figure import lasso_picture
from server.report.palette import LineStyle, model_styles
from server.report.printed import (
    BLANK,
    NOT_APPLICABLE,
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    absent_entry,
)
from server.report.subject import Subject
from server.report.words import arm_label, count, join_words, significant, why


@dataclass(frozen=True)
class SelectionPanel:
    """One arm's path and cross-validation.

    Attributes
    ----------
    label : str
        The arm in words.
    summary : str
        From how many features and patients, and by which penalty.
    styles : tuple of LineStyle
        Of the selected features, in their order.
    picture : Picture or None
        None where there is no path.
    """

    label: str
    summary: str
    styles: tuple[LineStyle, ...]
    picture: Picture | None


@dataclass(frozen=True)
class Selections:
    """The chapter.

    Attributes
    ----------
    table : PrintedTable
    takers : str
        The models that take the features.
    panels : tuple of SelectionPanel
    """

    table: PrintedTable
    takers: str
    panels: tuple[SelectionPanel, ...]


def selections(subject: Subject) -> Selections | None:
    """The chapter, if a model of the study takes radiomics."""
    found = subject.results.selections
    if not found:
        return None
    names = dict.fromkeys(feature.name for one in found for feature in one.features)
    styles = model_styles(tuple(names))
    return Selections(
        table=selection_table(found),
        takers=_takers(subject, set(names)),
        panels=tuple(_panel(one, styles) for one in found),
    )


def selection_table(found: Sequence[FeatureSelection]) -> PrintedTable:
    """Features down, the strongest of the first arm first; arms across."""
    notes = Footnotes()
    strength = {
        feature.name: (place, -abs(feature.coefficient))
        for place, one in reversed(list(enumerate(found)))
        for feature in one.features
    }
    lines = [
        Line(name, tuple(entry for one in found for entry in _coefficients(one, name, notes)))
        for name in sorted(strength, key=lambda name: strength[name])
    ]
    if not lines:
        entries = tuple(entry for one in found for entry in (_none(one, notes), BLANK))
        lines = [Line("No feature", entries)]
    patients = tuple(entry for one in found for entry in (Entry(count(one.used)), BLANK))
    return PrintedTable(
        caption="Coefficients of the LASSO on the outcome (0 or 1): for one standard deviation of a feature, "
        "and for one unit of it. A dash: not selected in that arm.",
        stub=("Radiomics feature", ""),
        groups=tuple(Group(arm_label(one), ("Per SD", "Per unit")) for one in found),
        lines=(*lines, Line("Patients", patients)),
        footnotes=notes.lines(),
    )


def per_unit(feature: SelectedFeature) -> float:
    """The coefficient for one unit of the feature, not for one standard deviation."""
    return feature.coefficient / feature.sd


def _coefficients(one: FeatureSelection, name: str, notes: Footnotes) -> Iterator[Entry]:
    feature = next((feature for feature in one.features if feature.name == name), None)
    if feature is None:
        yield _none(one, notes)
        yield BLANK
    else:
        yield Entry(significant(feature.coefficient))
        yield Entry(significant(per_unit(feature)))


def _none(one: FeatureSelection, notes: Footnotes) -> Entry:
    return NOT_APPLICABLE if one.standing.kind == "ok" else absent_entry(one.standing, notes)


def _takers(subject: Subject, names: set[str]) -> str:
    """In words, by what they were fitted on."""
    fits = [(fit.model, {row.variable for row in fit.rows}) for fit in subject.results.fitted]
    fits += [(machine.model, set(machine.covariates)) for machine in subject.results.machines]
    return join_words(list(dict.fromkeys(model for model, taken in fits if taken & names)))


def _panel(one: FeatureSelection, styles: Mapping[str, LineStyle]) -> SelectionPanel:
    label = arm_label(one)
    if one.penalty is None or not one.path:
        reason = why(one.standing) if one.standing.kind != "ok" else "no path was kept"
        return SelectionPanel(label, f"No features were selected ({reason}).", (), None)
    own = tuple(styles[feature.name] for feature in one.features)
    alt = (
        f"LASSO, {label}: coefficients of {len(own)} selected features and validation error by penalty; "
        f"chosen penalty {significant(one.penalty)}"
    )
    return SelectionPanel(label, _summary(one), own, lasso_picture(one, one.penalty, own, alt))


def _summary(one: FeatureSelection) -> str:
    agreed = "" if one.reproducible is None else f" of which {one.reproducible} are reproducible"
    before = one.candidates if one.reproducible is None else one.reproducible
    screened = "" if one.prescreened == before else f", prescreened to {one.prescreened}"
    chosen = len(one.features)
    return (
        f"{count(one.used)} training patients, {one.candidates} features{agreed}{screened}; {chosen} "
        f"{'was' if chosen == 1 else 'were'} selected at \u03bb = "
        f"{significant(one.penalty)} ({one.method})."
    )
