"""What is read of a site's lesions beside network inputs: further masks, radiomics, suggested markers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.progress import Progress

from client.cohort.cases import CaseReadings, MeasuredPatient
from client.cohort.intake import Intake
from client.cohort.lost_readings import LostReading, describe_lost_reading
from client.cohort.radiomics import extract_site
from client.cohort.refusals import locate_patient
from client.cohort.scans import SitePreparation
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.repeated_readings import MASK_COLUMN, Reading, column_of_reading
from common.errors import Finding, ScanError
from common.imaging.cache import Cache, ScanNote
from common.plan.study import StudyPlan
from common.runtime.pulse import mark_progress
from common.types import Reals


@dataclass(frozen=True)
class SiteReadings:
    """What was read at a site.

    Attributes
    ----------
    by_patient : mapping of str to CaseReadings
        By identifier.
    features : mapping of str to float array, shape (851,)
        Of the first masks' lesions, by identifier; empty where no model takes radiomics.
    lost : tuple of LostReading
        Further masks that cannot be used, and why.
    notes : tuple of Finding
        What is worth knowing about lesions.
    """

    by_patient: Mapping[str, CaseReadings]
    features: Mapping[str, Reals]
    lost: tuple[LostReading, ...]
    notes: tuple[Finding, ...]


def read_site(
    plan: StudyPlan, intake: Intake, measured: Sequence[MeasuredPatient], cache: Cache, progress: Progress
) -> SiteReadings:
    """What the plan needs of the lesions of these patients; what is in the cache is not read again.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    cache.tidy()
    scans = SitePreparation(plan, intake.settings, cache)
    again = measure_again(plan.readings, intake, [case.patient for case in measured], scans, progress)
    usable = [(case, again.repeated.get(case.patient.identifier, {}).keys()) for case in measured]
    features = extract_site(plan, intake.settings, usable, cache, progress)
    suggested, remarks = _suggest_markers(plan, intake, measured, cache, progress)
    names = [case.patient.identifier for case in measured]
    by_patient = {
        name: CaseReadings(
            again.first.get(name),
            again.repeated.get(name, {}),
            features.repeated.get(name, {}),
            suggested.get(name, {}),
        )
        for name in names
    }
    lost_by_table = tuple(reading for reading in intake.lost if reading.patient.identifier in by_patient)
    lost = (*lost_by_table, *again.lost, *features.lost)
    notes = (*again.notes, *features.notes, *remarks)
    return SiteReadings(by_patient, features.by_patient, lost, notes)


def _suggest_markers(
    plan: StudyPlan, intake: Intake, measured: Sequence[MeasuredPatient], cache: Cache, progress: Progress
) -> tuple[Mapping[str, Mapping[str, bool]], tuple[Finding, ...]]:
    """Suggestions by patient and marker, where the plan compares them with readers; and notes."""
    if "agreement" not in plan.phases:
        return {}, ()
    # Imported here because what it needs takes a second to import
    from client.cohort.suggestions import suggest_site

    suggestions = suggest_site(plan, intake.settings, measured, cache, progress)
    return suggestions.by_patient, suggestions.notes


@dataclass(frozen=True)
class RepeatedVolumes:
    """What was measured on further masks, and on the first masks of the same patients.

    Attributes
    ----------
    first : mapping of str to Volumes
        Of the first masks, in ml, by identifier.
    repeated : mapping of str to mapping of Reading to Volumes
        Of the further masks, in ml, by identifier.
    lost : tuple of LostReading
        Further masks that cannot be read.
    notes : tuple of Finding
        What is worth knowing about the masks.
    """

    first: Mapping[str, Volumes]
    repeated: Mapping[str, Mapping[Reading, Volumes]]
    lost: tuple[LostReading, ...]
    notes: tuple[Finding, ...]


def measure_again(
    readings: Collection[Reading],
    intake: Intake,
    patients: Sequence[Patient],
    scans: SitePreparation,
    progress: Progress,
) -> RepeatedVolumes:
    """The volumes of the further masks that the table alone does not refuse.

    Parameters
    ----------
    readings : collection of Reading
        Which further masks are read.
    intake : Intake
        Of the site's folder.
    patients : sequence of Patient
        Whose masks are read.
    scans : SitePreparation
        Reads them.
    progress : Progress
        Shows how far it is.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    settings = intake.settings
    lost_by_table = {(lost.patient.identifier, lost.reading) for lost in intake.lost}
    wanted = [
        (patient, reading, path)
        for patient in patients
        for reading, path in patient.repeated_masks.items()
        if reading in readings and (patient.identifier, reading) not in lost_by_table
    ]
    first: dict[str, Volumes] = {}
    repeated: dict[str, dict[Reading, Volumes]] = {}
    losses, notes = [], list[Finding]()
    task = progress.add_task(f"{settings.name}: repeated readings", total=len(wanted))
    for patient, reading, path in wanted:
        try:
            volumes, scan_notes = scans.measure_mask(patient.baseline_ct, path)
            first[patient.identifier], _ = scans.measure_mask(patient.baseline_ct, patient.baseline_mask)
            notes += _list_notes(settings.table, patient, reading, scan_notes)
            repeated.setdefault(patient.identifier, {})[reading] = volumes
        except ScanError as refusal:
            losses.append(describe_lost_reading(settings.table, patient, reading, str(refusal)))
        progress.advance(task)
        mark_progress("preparing readings")
    progress.remove_task(task)
    return RepeatedVolumes(first, repeated, tuple(losses), tuple(notes))


def _list_notes(
    table: str, patient: Patient, reading: Reading, notes: Sequence[ScanNote]
) -> Iterator[Finding]:
    column = column_of_reading(MASK_COLUMN, reading)
    for note in notes:
        yield Finding(locate_patient(table, patient), f"{column!r}: {note.what}", note.remedy, note.level)
