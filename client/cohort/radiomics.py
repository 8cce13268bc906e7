"""Radiomics of a site's lesions: extracted once, kept in the cache, and what is worth knowing about them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.progress import Progress

from client.cohort.cases import MeasuredPatient
from client.cohort.lost_readings import LostReading, describe_lost_reading
from client.cohort.reading_options import options_of
from client.cohort.refusals import locate_patient
from client.cohort.scans import labels_of_masks
from client.membership.site import SiteSettings
from common.cohort.patient import Patient
from common.cohort.repeated_readings import Reading
from common.errors import Finding, Level
from common.imaging.cache import Cache
from common.plan.extraction import extraction_of
from common.plan.study import StudyPlan
from common.radiomics.batch import Extraction, ExtractionJob, Extractor, extract_cases
from common.runtime.pulse import mark_progress
from common.types import Reals

UNNAMED_FILES = "CT or mask is not named in the table"
"""Why a patient without either has no features."""


@dataclass(frozen=True)
class SiteFeatures:
    """What became of every lesion.

    Attributes
    ----------
    by_patient : mapping of str to float array, shape (851,)
        Of the lesions that have features, by identifier.
    repeated : mapping of str to mapping of Reading to float array, shape (851,)
        Of the same lesions in further masks, by identifier.
    notes : tuple of Finding
        Lesions of several parts or at the scan's end, features that do not exist, and lesions without any.
    lost : tuple of LostReading
        Further masks that have no features although they have volumes.
    """

    by_patient: Mapping[str, Reals] = field(default_factory=dict)
    repeated: Mapping[str, Mapping[Reading, Reals]] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()
    lost: tuple[LostReading, ...] = ()


def extract_site(
    plan: StudyPlan,
    settings: SiteSettings,
    measured: Sequence[tuple[MeasuredPatient, Collection[Reading]]],
    cache: Cache,
    progress: Progress,
) -> SiteFeatures:
    """The features of every patient's baseline lesion, if a model of the plan takes them.

    If PyRadiomics cannot work on a lesion, its patient has no features but stays in the study; a lesion of a
    further mask loses that reading alone.

    Parameters
    ----------
    plan : StudyPlan
        Says whether a model takes radiomics, and by which recipe.
    settings : SiteSettings
        The site's.
    measured : sequence of (MeasuredPatient, collection of Reading)
        Each patient with the readings whose masks can be used.
    cache : Cache
        Where features are kept.
    progress : Progress
        Shows how many lesions are extracted.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    if not plan.extracts_features:
        return SiteFeatures()
    jobs = [job for case, readings in measured for job in _list_jobs(plan, settings, case, readings)]
    extractor = Extractor(cache, extraction_of(plan))
    task = progress.add_task(f"{settings.name}: extracting radiomics", total=len(jobs))

    def report(done: int, _: int) -> None:
        mark_progress("extracting radiomics")
        progress.update(task, completed=done)

    extraction = extract_cases(jobs, extractor, _count_workers(plan), report)
    progress.remove_task(task)
    patients = [case.patient for case, _ in measured]
    return SiteFeatures(
        {
            patient.identifier: lesion.values
            for patient in patients
            if (lesion := extraction.cases.get(_name_job(patient)))
        },
        {patient.identifier: _collect_repeated(extraction, patient) for patient in patients},
        tuple(note for patient in patients for note in _list_notes(patient, extraction, settings.table)),
        tuple(_find_lost_readings(extraction, patients, settings.table)),
    )


def _name_job(patient: Patient, reading: Reading | None = None) -> str:
    """The job's name: whose mask, and which of them."""
    return f"{reading or 'first'}: {patient.identifier}"


def _list_jobs(
    plan: StudyPlan, settings: SiteSettings, case: MeasuredPatient, readings: Collection[Reading]
) -> Iterator[ExtractionJob]:
    patient, labels, options = case.patient, labels_of_masks(settings), options_of(plan, settings)
    if patient.baseline_ct is None or patient.baseline_mask is None:
        return
    yield ExtractionJob(_name_job(patient), patient.baseline_ct, patient.baseline_mask, labels, options)
    for reading, path in patient.repeated_masks.items():
        if reading in plan.feature_readings and reading in readings:
            yield ExtractionJob(_name_job(patient, reading), patient.baseline_ct, path, labels, options)


def _collect_repeated(extraction: Extraction, patient: Patient) -> Mapping[Reading, Reals]:
    masks = patient.repeated_masks
    lesions = ((reading, extraction.cases.get(_name_job(patient, reading))) for reading in masks)
    return {reading: lesion.values for reading, lesion in lesions if lesion is not None}


def _find_lost_readings(
    extraction: Extraction, patients: Sequence[Patient], table: str
) -> Iterator[LostReading]:
    for patient in patients:
        for reading in patient.repeated_masks:
            reason = extraction.refused.get(_name_job(patient, reading))
            if reason is not None:
                yield describe_lost_reading(table, patient, reading, reason)


def _count_workers(plan: StudyPlan) -> int:
    """As many processes as the plan has threads and the machine has cores."""
    return max(1, min(plan.threads, os.cpu_count() or 1))


def _list_notes(patient: Patient, extraction: Extraction, table: str) -> Iterator[Finding]:
    lesion = extraction.cases.get(_name_job(patient))
    where = locate_patient(table, patient)
    if lesion is None:
        reason = extraction.refused.get(_name_job(patient), UNNAMED_FILES)
        yield note_no_features(where, reason)
        return
    yield from note_lesion(where, lesion.components, touches_border=lesion.touches_border)
    if lesion.missing:
        what = f"{len(lesion.missing)} features do not exist for the lesion, first {lesion.missing[0]}"
        yield Finding(where, f"radiomics: {what}", level=Level.KNOW)


def note_no_features(where: str, reason: str) -> Finding:
    """That a patient's lesion has no features, and why."""
    remedy = "models on radiomics leave the patient out"
    return Finding(where, f"no radiomics: {reason}", remedy, Level.LOOK)


def note_lesion(where: str, components: int, *, touches_border: bool) -> Iterator[Finding]:
    """What should be known of a lesion that has features."""
    if components > 1:
        what = f"radiomics: the lesion has {components} parts, extracted as one"
        yield Finding(where, what, level=Level.KNOW)
    if touches_border:
        yield Finding(where, "radiomics: the lesion reaches the end of the scan", level=Level.KNOW)
