"""What stops a site, and what is said of its cohort: judged alike by a check and by a preparation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from client.cohort.brain_columns import find_blank_brain_columns
from client.cohort.cases import MeasuredPatient
from client.cohort.findings import StudiedPatient, judge_again
from client.cohort.intake import Intake
from client.cohort.parts import assign_parts, note_short_parts, note_split
from common.cohort.outcome import Expansion, OutcomeDefinition, classify
from common.cohort.split import SplitPart
from common.errors import Finding, Level


@dataclass(frozen=True)
class SiteJudgement:
    """What a site's patients amount to.

    Attributes
    ----------
    stops : tuple of Finding
        What stops the whole site.
    notes : tuple of Finding
        What is worth knowing or looking at; nobody is left out for it.
    parts : mapping of str to {"train", "validation", "test"}
        The part of each patient by identifier; empty outside of a study, and while an outcome is unknown.
    """

    stops: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    parts: Mapping[str, SplitPart]


def study_measured(intake: Intake, measured: Sequence[MeasuredPatient]) -> list[StudiedPatient]:
    """The patients with their outcomes, by the study's definition."""
    definition = intake.definition
    return [
        StudiedPatient(case.patient, case.baseline, judge_outcome(case, definition)[1]) for case in measured
    ]


def judge_outcome(case: MeasuredPatient, definition: OutcomeDefinition) -> tuple[Expansion | None, bool]:
    """How the hematoma grew, where that is known, and whether the study's outcome was reached.

    Raises
    ------
    ValueError
        If what decides is not known: such patients are refused before.
    """
    expansion = None
    if case.baseline is not None and case.followup is not None:
        expansion = classify(case.baseline, case.followup, definition)
    if definition.by_volumes:
        if expansion is None:
            raise ValueError("a patient without volumes in the table was not measured")
        return expansion, expansion.positive(definition)
    reached = case.patient.flag(definition.column)
    if reached is None:
        raise ValueError("a patient without an outcome was studied")
    return expansion, reached


def judge_site(
    intake: Intake, studied: Sequence[StudiedPatient], own_seed: int | None = None
) -> SiteJudgement:
    """What these patients, who can be used, amount to.

    Parameters
    ----------
    intake : Intake
        What table and disk show.
    studied : sequence of StudiedPatient
    own_seed : int, optional
        As for `assign_parts`; how many patients are in each part does not depend on it.
    """
    plan, settings = intake.plan, intake.settings
    cohort = judge_again(intake.cohort, settings, plan.scores if plan else (), studied)
    stops = tuple(dict.fromkeys((*intake.site_findings, *cohort.size, *cohort.ranges, *cohort.classes)))
    patients = [case.patient for case in studied]
    notes = list(cohort.notes)
    parts: dict[str, SplitPart] = {}
    if plan is not None:
        notes += note_split(plan, settings.name, settings.table, patients)
        notes += find_blank_brain_columns(plan, settings.table, patients)
        outcomes = {case.patient.identifier: case.positive for case in studied if case.positive is not None}
        if len(outcomes) == len(studied) and not stops:
            parts = assign_parts(plan, settings.name, patients, list(outcomes.values()), own_seed)
            notes += note_short_parts(plan, settings.name, settings.table, parts, outcomes)
    elif not intake.table.images:
        notes.append(_note_no_images(settings.table))
    return SiteJudgement(stops, tuple(notes), parts)


def _note_no_images(table: str) -> Finding:
    what = "the table has no columns for images: taken for a site without images"
    return Finding(table, what, "a study of networks needs 'baseline_ct' and 'baseline_mask'", Level.KNOW)
