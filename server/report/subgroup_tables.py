"""Discrimination within subgroups, and how much it differs between centres."""

from __future__ import annotations

from dataclasses import dataclass

from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_estimate,
    enter_p_value,
)
from server.report.subject import Subject
from server.report.words import format_bounds, format_number
from server.results.comparison import CentreHeterogeneity
from server.results.evaluation import Subgroup


@dataclass(frozen=True)
class SubgroupVariable:
    """One variable's levels.

    Attributes
    ----------
    label : str
        The variable in words.
    levels : tuple of Subgroup
        The AUC in each level.
    """

    label: str
    levels: tuple[Subgroup, ...]


@dataclass(frozen=True)
class SubgroupPlot:
    """One model's AUCs in the subgroups of one cohort.

    Attributes
    ----------
    model, cohort : str
        The model in its arm, and the cohort, in words.
    name : str
        The model's name in the plan.
    reference : bool
        Whether it is the reference model in an arm that represents it.
    variables : tuple of SubgroupVariable
        From top to bottom.
    """

    model: str
    cohort: str
    name: str
    reference: bool
    variables: tuple[SubgroupVariable, ...]


def build_subgroup_plots(subject: Subject) -> tuple[SubgroupPlot, ...]:
    """One forest plot for each model, arm and cohort, the reference first."""
    records = subject.results.subgroups
    keys = dict.fromkeys((record.model, record.arm, record.cohort_sites, record.part) for record in records)
    plots = []
    for key in keys:
        subgroups = tuple(
            record
            for record in records
            if (record.model, record.arm, record.cohort_sites, record.part) == key
        )
        model, arm = key[:2]
        leads = arm in subject.find_model(model).leading
        plots.append(
            SubgroupPlot(
                model=subject.name_contender(model, arm),
                cohort=subject.centres.name_cohort(subgroups[0]),
                name=model,
                reference=subject.is_reference(model) and leads,
                variables=_group_by_variable(subgroups),
            )
        )
    return tuple(sorted(plots, key=lambda plot: not plot.reference))


def _group_by_variable(subgroups: tuple[Subgroup, ...]) -> tuple[SubgroupVariable, ...]:
    names = dict.fromkeys(subgroup.variable for subgroup in subgroups)
    grouped = [tuple(subgroup for subgroup in subgroups if subgroup.variable == name) for name in names]
    return tuple(SubgroupVariable(levels[0].label, levels) for levels in grouped)


def build_heterogeneity_table(subject: Subject) -> PrintedTable | None:
    """How much each model's AUC differs between centres; None if the study did not compute it."""
    records = subject.results.heterogeneity
    if not records:
        return None
    notes = Footnotes()
    return PrintedTable(
        caption="Random-effects mean over centres; the prediction interval is for the AUC at a new centre.",
        stub=("Model", ""),
        groups=(
            ColumnGroup(
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
        lines=tuple(
            TableLine(subject.name_contender(record.model, record.arm), _enter_heterogeneity(record, notes))
            for record in records
        ),
        footnotes=notes.list_texts(),
    )


_FEW = "So few centres contribute that each one's own AUC can nearly be told from these numbers."
_TWO = "Of two centres: P of their difference."


def _enter_heterogeneity(record: CentreHeterogeneity, notes: Footnotes) -> tuple[TableEntry, ...]:
    left_out = f"left out: {record.sites_excluded}" if record.sites_excluded else ""
    bounds = (record.prediction_low, record.prediction_high)
    predicted = (
        NOT_APPLICABLE
        if bounds[0] is None or bounds[1] is None
        else TableEntry(format_bounds(format_number(bounds[0]), format_number(bounds[1])))
    )
    counted = TableEntry(str(record.sites), notes.mark(_FEW if record.per_site else ""), left_out)
    mean = enter_estimate(record.auc, notes)
    of_two = notes.mark(_TWO) if record.p_value is not None and record.q is None else ""
    return (
        counted,
        mean,
        predicted,
        TableEntry(format_number(record.q, 2)),
        enter_p_value(record.p_value, of_two),
        NOT_APPLICABLE if record.i_squared is None else TableEntry(f"{record.i_squared * 100:.0f}%"),
        TableEntry(format_number(record.tau_squared)),
    )
