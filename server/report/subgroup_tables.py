"""Discrimination within subgroups."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.report.auc_words import describe_extreme_difference
from server.report.printed import Footnotes, TableEntry, enter_absent, enter_p_value
from server.report.subject import Subject, find_cell
from server.report.views import is_fair
from server.report.words import RELATIONS
from server.results.evaluation import Subgroup


@dataclass(frozen=True)
class SubgroupLine:
    """One level of a variable.

    Attributes
    ----------
    record : Subgroup
        The AUC.
    interaction : TableEntry
        P for interaction.
    """

    record: Subgroup
    interaction: TableEntry


@dataclass(frozen=True)
class SubgroupVariable:
    """One variable's levels.

    Attributes
    ----------
    label : str
        The variable in words.
    levels : tuple of SubgroupLine
        The AUC in each level, and how it differs from the first one's.
    """

    label: str
    levels: tuple[SubgroupLine, ...]


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
    relation : str
        What the model had seen of the cohort, in words; empty where it was not judged there as a whole.
    opens : bool
        Whether it is shown at once: the reference on patients who are evidence, of all centres together.
    variables : tuple of SubgroupVariable
        From top to bottom.
    footnotes : tuple of (str, str)
        Letter and text of each.
    """

    model: str
    cohort: str
    name: str
    reference: bool
    relation: str
    opens: bool
    variables: tuple[SubgroupVariable, ...]
    footnotes: tuple[tuple[str, str], ...]


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
        notes = Footnotes()
        variables = _group_by_variable(subgroups, notes)
        view = subject.find_model(model)
        leads = arm in view.leading
        cell = find_cell(subject, (model, arm), subgroups[0])
        shown = arm in (*view.leading, *view.carried) and cell is not None and is_fair(cell)
        plots.append(
            SubgroupPlot(
                model=subject.name_contender(model, arm),
                cohort=subject.centres.name_cohort(subgroups[0]),
                name=model,
                reference=subject.is_reference(model) and leads,
                relation="" if cell is None else RELATIONS[cell.relation],
                opens=subject.is_reference(model) and shown,
                variables=variables,
                footnotes=notes.list_texts(),
            )
        )
    first = [key for key, plot in zip(keys, plots, strict=True) if plot.opens]
    contained = {
        key for key in first if any(key[3] == other[3] and set(key[2]) < set(other[2]) for other in first)
    }
    plots = [
        replace(plot, opens=plot.opens and key not in contained)
        for key, plot in zip(keys, plots, strict=True)
    ]
    return tuple(sorted(plots, key=lambda plot: (not plot.opens, not plot.reference)))


def _group_by_variable(subgroups: tuple[Subgroup, ...], notes: Footnotes) -> tuple[SubgroupVariable, ...]:
    names = dict.fromkeys(subgroup.variable for subgroup in subgroups)
    grouped = [tuple(subgroup for subgroup in subgroups if subgroup.variable == name) for name in names]
    return tuple(
        SubgroupVariable(
            levels[0].label,
            tuple(
                SubgroupLine(level, _enter_interaction(level, notes) if place else _REFERENCE)
                for place, level in enumerate(levels)
            ),
        )
        for levels in grouped
    )


_REFERENCE = TableEntry("reference")


def _enter_interaction(subgroup: Subgroup, notes: Footnotes) -> TableEntry:
    """P for interaction; a footnote says why there is none, or that its method is another."""
    if subgroup.p_interaction is not None:
        return enter_p_value(
            subgroup.p_interaction, notes.mark(describe_extreme_difference(subgroup.p_method))
        )
    if subgroup.p_standing.ok:
        # An earlier version did not record why
        return enter_p_value(None)
    return enter_absent(subgroup.p_standing, notes)
