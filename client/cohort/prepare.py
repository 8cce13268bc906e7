"""A site's cohort as network inputs with outcomes: each patient prepared once, the bad ones refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from client.cohort.case_readings import read_site
from client.cohort.cases import MeasuredPatient, PreparedCase, PreparedSite
from client.cohort.findings import StudiedPatient, judge_again
from client.cohort.intake import inspect_site
from client.cohort.parts import assign_parts, note_short_parts, note_split
from client.cohort.refusals import PatientRefusal
from client.cohort.scans import SitePreparation, list_input_shapes, list_notes, name_array
from common.cohort.outcome import Expansion, classify
from common.cohort.split import SplitPart
from common.errors import CohortError, Finding
from common.imaging.cache import Cache
from common.imaging.recipe import InputShape
from common.plan.study import StudyPlan
from common.runtime.machine import bind_threads
from common.runtime.storage import lock_folder

_log = logging.getLogger(__name__)


def prepare_site(folder: Path, plan: StudyPlan, cache: Path, progress: Progress) -> PreparedSite:
    """The site's patients, prepared by the plan's recipe; what is in the cache is not made again.

    Parameters
    ----------
    folder : Path
        The site's folder.
    plan : StudyPlan
        As the site approved it.
    cache : Path
        The folder in which scans, inputs and features are kept.
    progress : Progress
        Shows what takes long.

    Raises
    ------
    SiteError
        If site.toml is unusable.
    PlanError
        If the plan has no such site.
    CohortError
        If the table violates its schema, or too few patients of either outcome are left.
    StorageError
        If the disk is full.
    """
    with bind_threads(plan.threads):
        return _prepare_site(folder, plan, cache, progress)


def _prepare_site(folder: Path, plan: StudyPlan, cache: Path, progress: Progress) -> PreparedSite:
    intake = inspect_site(folder, plan)
    _refuse_site(intake.site_findings, intake.refusals)
    with lock_folder(cache):
        measured, refusals = SitePreparation(plan, intake.settings, Cache(cache)).measure_patients(
            intake, progress
        )
    refusals = (*intake.refusals, *refusals)
    expansions = [classify(case.baseline, case.followup, plan.cohort.outcome) for case in measured]
    positives = [expansion.positive(plan.cohort.outcome) for expansion in expansions]
    studied = [
        StudiedPatient(case.patient, case.baseline, positive)
        for case, positive in zip(measured, positives, strict=True)
    ]
    findings = judge_again(intake.cohort, intake.settings, plan.scores, studied)
    _refuse_site((*findings.size, *findings.classes, *findings.ranges), refusals)
    patients = [case.patient for case in measured]
    outcomes = dict(zip((patient.identifier for patient in patients), positives, strict=True))
    parts = assign_parts(plan, intake.settings.name, patients, positives)
    with lock_folder(cache):
        readings = read_site(plan, intake, measured, Cache(cache), progress)
    cases = tuple(
        replace(
            _make_case(plan, case, expansion, parts[case.patient.identifier]),
            features=readings.features.get(case.patient.identifier),
            readings=readings.by_patient[case.patient.identifier],
        )
        for case, expansion in zip(measured, expansions, strict=True)
    )
    _log.info("prepared site=%s patients=%d refused=%d", intake.settings.name, len(cases), len(refusals))
    notes = (
        *findings.notes,
        *note_split(plan, intake.settings.name, intake.settings.table, patients),
        *note_short_parts(plan, intake.settings.name, intake.settings.table, parts, outcomes),
        *(note for case in measured for note in list_notes(case, intake)),
        *readings.notes,
    )
    return PreparedSite(intake.settings, intake.flow, cases, refusals, notes, readings.lost)


def _make_case(plan: StudyPlan, case: MeasuredPatient, expansion: Expansion, part: SplitPart) -> PreparedCase:
    return PreparedCase(
        patient=case.patient,
        expansion=expansion,
        positive=expansion.positive(plan.cohort.outcome),
        part=part,
        inputs=_find_inputs(case, plan),
        baseline=case.baseline,
        followup=case.followup,
        entry=case.entry,
    )


def _find_inputs(case: MeasuredPatient, plan: StudyPlan) -> dict[InputShape, Path]:
    shapes = list_input_shapes(plan)
    if case.entry is None or not shapes:
        return {}
    return {shape: case.entry.paths[name_array(shape)] for shape in shapes}


def _refuse_site(findings: Sequence[Finding], refusals: Sequence[PatientRefusal]) -> None:
    if findings:
        raise CohortError((*findings, *(refusal.finding for refusal in refusals)))
