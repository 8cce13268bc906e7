"""Radiomics of a site's lesions: extracted once, kept in the cache, and what is worth knowing about them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.progress import Progress

from client.lost_readings import LostReading, lost
from client.scans import MeasuredPatient, mask_labels
from client.site import SiteSettings
from common.cohort.patient import Patient
from common.cohort.readings import READINGS, Reading
from common.errors import Finding
from common.extraction import extraction_of
from common.imaging.cache import Cache
from common.radiomics.batch import Extraction, Extractor, Job, extract_cases
from common.study import StudyPlan
from common.types import Reals


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

    A lesion that PyRadiomics cannot work on costs its patient the features, not the study; one in a further
    mask costs that reading alone.

    Parameters
    ----------
    measured : sequence of (MeasuredPatient, collection of Reading)
        With the readings whose masks can be used.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    if not plan.takes_radiomics:
        return SiteFeatures()
    jobs = [job for one, readings in measured for job in _jobs(plan, settings, one, readings)]
    extractor = Extractor(cache, extraction_of(plan))
    task = progress.add_task(f"{settings.name}: extracting radiomics", total=len(jobs))
    found = extract_cases(
        jobs, extractor, _workers(plan), lambda done, _: progress.update(task, completed=done)
    )
    progress.remove_task(task)
    patients = [one.patient for one, _ in measured]
    return SiteFeatures(
        {one.identifier: case.values for one in patients if (case := found.cases.get(_name(one)))},
        {one.identifier: _repeated(found, one) for one in patients},
        tuple(note for one in patients for note in _notes(one, found, settings.table)),
        tuple(_lost(found, patients, settings.table)),
    )


def _name(patient: Patient, reading: Reading | None = None) -> str:
    """Of the job: whose mask, and which of them."""
    return f"{reading or 'first'}: {patient.identifier}"


def _jobs(
    plan: StudyPlan, settings: SiteSettings, one: MeasuredPatient, readings: Collection[Reading]
) -> Iterator[Job]:
    patient, labels = one.patient, mask_labels(settings)
    if patient.baseline_ct is None or patient.baseline_mask is None:
        return
    yield Job(_name(patient), patient.baseline_ct, patient.baseline_mask, labels)
    for reading, path in patient.repeated_masks.items():
        if reading in plan.radiomics.readings and reading in readings:
            yield Job(_name(patient, reading), patient.baseline_ct, path, labels)


def _repeated(found: Extraction, patient: Patient) -> Mapping[Reading, Reals]:
    cases = ((reading, found.cases.get(_name(patient, reading))) for reading in READINGS)
    return {reading: case.values for reading, case in cases if case is not None}


def _lost(found: Extraction, patients: Sequence[Patient], table: str) -> Iterator[LostReading]:
    for patient in patients:
        for reading in READINGS:
            reason = found.refused.get(_name(patient, reading))
            if reason is not None:
                yield lost(table, patient, reading, reason)


def _workers(plan: StudyPlan) -> int:
    """As many processes as the plan has threads and the machine has cores."""
    return max(1, min(plan.threads, os.cpu_count() or 1))


def _notes(patient: Patient, found: Extraction, table: str) -> list[Finding]:
    case = found.cases.get(_name(patient))
    where = f"{table}, row {patient.row}, patient {patient.identifier!r}"
    if case is None:
        reason = found.refused.get(_name(patient), "CT or mask is not named in the table")
        return [
            Finding(
                where, f"no radiomics: {reason}", "models on radiomics leave the patient out", fatal=False
            )
        ]
    notes = []
    if case.components > 1:
        notes.append(f"the lesion has {case.components} parts, extracted as one")
    if case.touches_border:
        notes.append("the lesion reaches the end of the scan")
    if case.missing:
        notes.append(f"{len(case.missing)} features do not exist for the lesion, first {case.missing[0]}")
    return [Finding(where, f"radiomics: {what}", fatal=False) for what in notes]
