"""What stops a site, and what is said of its cohort: judged alike by a check and by a preparation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from client.cohort.brain_columns import find_blank_brain_columns
from client.cohort.cases import MeasuredPatient
from client.cohort.findings import StudiedPatient, judge_again
from client.cohort.intake import Intake
from client.cohort.parts import assign_parts, note_short_parts, note_split
from common.cohort.outcome import classify
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
    expansions = [classify(case.baseline, case.followup, definition) for case in measured]
    return [
        StudiedPatient(case.patient, case.baseline, expansion.positive(definition))
        for case, expansion in zip(measured, expansions, strict=True)
    ]


def judge_site(intake: Intake, studied: Sequence[StudiedPatient]) -> SiteJudgement:
    """What these patients, who can be used, amount to; `intake` is what table and disk show."""
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
            parts = assign_parts(plan, settings.name, patients, list(outcomes.values()))
            notes += note_short_parts(plan, settings.name, settings.table, parts, outcomes)
    elif not intake.table.images:
        notes.append(_note_no_images(settings.table))
    return SiteJudgement(stops, tuple(notes), parts)


def _note_no_images(table: str) -> Finding:
    what = "the table has no columns for images: taken for a site without images"
    return Finding(table, what, "a study of networks needs 'baseline_ct' and 'baseline_mask'", Level.KNOW)
