"""Discrimination within subgroups."""

from __future__ import annotations

from dataclasses import dataclass

from server.report.subject import Subject
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
