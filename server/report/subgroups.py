"""Discrimination within subgroups, and how much it differs between centres."""

from __future__ import annotations

from dataclasses import dataclass

from server.analyses import Heterogeneity, Subgroup
from server.report.printed import (
    NOT_APPLICABLE,
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    measure_entry,
    p_entry,
)
from server.report.subject import Subject
from server.report.words import between, number


@dataclass(frozen=True)
class SubgroupVariable:
    """One variable's levels.

    Attributes
    ----------
    label : str
    levels : tuple of Subgroup
    """

    label: str
    levels: tuple[Subgroup, ...]


@dataclass(frozen=True)
class SubgroupPlot:
    """One model on one cohort.

    Attributes
    ----------
    model, cohort : str
        In words.
    name : str
        The model's own.
    reference : bool
        Whether it is the model with which others are compared, in the arm that stands for it.
    variables : tuple of SubgroupVariable
    """

    model: str
    cohort: str
    name: str
    reference: bool
    variables: tuple[SubgroupVariable, ...]


def subgroups(subject: Subject) -> tuple[SubgroupPlot, ...]:
    """One forest plot for each model, arm and cohort, the reference first."""
    found = subject.results.subgroups
    keys = dict.fromkeys((one.model, one.arm, one.cohort_sites, one.part) for one in found)
    plots = []
    for key in keys:
        own = tuple(one for one in found if (one.model, one.arm, one.cohort_sites, one.part) == key)
        model, arm = key[:2]
        leads = arm in subject.model(model).leading
        plots.append(
            SubgroupPlot(
                model=subject.contender(model, arm),
                cohort=subject.places.cohort(own[0]),
                name=model,
                reference=subject.is_reference(model) and leads,
                variables=_by_variable(own),
            )
        )
    return tuple(sorted(plots, key=lambda plot: not plot.reference))


def _by_variable(found: tuple[Subgroup, ...]) -> tuple[SubgroupVariable, ...]:
    names = dict.fromkeys(one.variable for one in found)
    grouped = [tuple(one for one in found if one.variable == name) for name in names]
    return tuple(SubgroupVariable(levels[0].label, levels) for levels in grouped)


def heterogeneity(subject: Subject) -> PrintedTable | None:
    """How much each model's AUC differs between centres."""
    found = subject.results.heterogeneity
    if not found:
        return None
    notes = Footnotes()
    return PrintedTable(
        caption="Random-effects mean over centres; the prediction interval is for the AUC at a new centre.",
        stub=("Model", ""),
        groups=(
            Group(
                "",
                (
                    "Centres",
                    "Mean AUC (95% CI)",
                    "95% prediction interval",
                    "Q",
                    "P",
                    "I\N{SUPERSCRIPT TWO}",
                    "\N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO}",
                ),
            ),
        ),
        lines=tuple(Line(subject.contender(one.model, one.arm), _differing(one, notes)) for one in found),
        footnotes=notes.lines(),
    )


_FEW = "So few centres contribute that each one's own AUC can nearly be told from these numbers."
_TWO = "Of two centres: P of their difference."


def _differing(one: Heterogeneity, notes: Footnotes) -> tuple[Entry, ...]:
    left_out = f"left out: {one.sites_excluded}" if one.sites_excluded else ""
    bounds = (one.prediction_low, one.prediction_high)
    predicted = (
        NOT_APPLICABLE
        if bounds[0] is None or bounds[1] is None
        else Entry(between(number(bounds[0]), number(bounds[1])))
    )
    counted = Entry(str(one.sites), notes.mark(_FEW if one.per_site else ""), left_out)
    mean = measure_entry(one.auc, notes)
    two = notes.mark(_TWO) if one.p_value is not None and one.q is None else ""
    return (
        counted,
        mean,
        predicted,
        Entry(number(one.q, 2)),
        p_entry(one.p_value, two),
        NOT_APPLICABLE if one.i_squared is None else Entry(f"{one.i_squared * 100:.0f}%"),
        Entry(number(one.tau_squared)),
    )
