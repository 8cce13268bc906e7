"""What is read of a site's lesions beside network inputs: further masks, radiomics, suggested markers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.progress import Progress

from client.intake import Intake
from client.lost_readings import LostReading, lost
from client.radiomics import extract_site
from client.scans import MeasuredPatient, SitePreparation
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.readings import Reading
from common.errors import Finding, ScanError
from common.imaging.cache import Cache, Note
from common.study import StudyPlan
from common.types import Reals


@dataclass(frozen=True)
class CaseReadings:
    """What was read of one patient beside the table.

    Attributes
    ----------
    first : Volumes or None
        Of the first mask; None where nothing is compared with it.
    repeated : mapping of Reading to Volumes
        Of the further masks.
    features : mapping of Reading to float array, shape (851,)
        Radiomics of the lesion in the further masks, where the plan judges features by them.
    suggested : mapping of str to bool
        The markers' computed suggestions by column; empty where none were asked for or can be made.
    """

    first: Volumes | None = None
    repeated: Mapping[Reading, Volumes] = field(default_factory=dict)
    features: Mapping[Reading, Reals] = field(default_factory=dict)
    suggested: Mapping[str, bool] = field(default_factory=dict)


NOT_READ_AGAIN = CaseReadings()


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
    """Whatever the plan needs of the lesions of these patients; from the cache what is there already.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    cache.tidy()
    again = _read_again(plan, intake, measured, cache, progress)
    usable = [(one, again.repeated.get(one.patient.identifier, {}).keys()) for one in measured]
    features = extract_site(plan, intake.settings, usable, cache, progress)
    suggested, remarks = _suggestions(plan, intake, measured, cache, progress)
    names = [one.patient.identifier for one in measured]
    by_patient = {
        name: CaseReadings(
            again.first.get(name),
            again.repeated.get(name, {}),
            features.repeated.get(name, {}),
            suggested.get(name, {}),
        )
        for name in names
    }
    listed = tuple(one for one in intake.lost if one.patient.identifier in by_patient)
    lost = (*listed, *again.lost, *features.lost)
    notes = (*again.notes, *features.notes, *remarks)
    return SiteReadings(by_patient, features.by_patient, lost, notes)


def _suggestions(
    plan: StudyPlan, intake: Intake, measured: Sequence[MeasuredPatient], cache: Cache, progress: Progress
) -> tuple[Mapping[str, Mapping[str, bool]], tuple[Finding, ...]]:
    """By patient and marker, where the plan compares them with readers; and notes."""
    if "agreement" not in plan.phases:
        return {}, ()
    # Not above: what they need takes a second to import
    from client.suggestions import suggest_site

    found = suggest_site(intake.settings, measured, cache, progress)
    return found.by_patient, found.notes


@dataclass(frozen=True)
class _Again:
    """Volumes of further masks and of the first masks beside them, what was lost, and notes."""

    first: Mapping[str, Volumes]
    repeated: Mapping[str, Mapping[Reading, Volumes]]
    lost: tuple[LostReading, ...]
    notes: tuple[Finding, ...]


def _read_again(
    plan: StudyPlan, intake: Intake, measured: Sequence[MeasuredPatient], cache: Cache, progress: Progress
) -> _Again:
    settings, gone = intake.settings, {(one.patient.identifier, one.reading) for one in intake.lost}
    wanted = [
        (one.patient, reading, path)
        for one in measured
        for reading, path in one.patient.repeated_masks.items()
        if reading in plan.readings and (one.patient.identifier, reading) not in gone
    ]
    scans = SitePreparation(plan, settings, cache)
    first: dict[str, Volumes] = {}
    repeated: dict[str, dict[Reading, Volumes]] = {}
    losses, notes = [], list[Finding]()
    task = progress.add_task(f"{settings.name}: repeated readings", total=len(wanted))
    for patient, reading, path in wanted:
        try:
            again, found = scans.measure_mask(patient.baseline_ct, path)
            first[patient.identifier], _ = scans.measure_mask(patient.baseline_ct, patient.baseline_mask)
            notes += _notes(settings.table, patient, found)
            repeated.setdefault(patient.identifier, {})[reading] = again
        except ScanError as refusal:
            losses.append(lost(settings.table, patient, reading, str(refusal)))
        progress.advance(task)
    progress.remove_task(task)
    return _Again(first, repeated, tuple(losses), tuple(notes))


def _notes(table: str, patient: Patient, notes: Sequence[Note]) -> Iterator[Finding]:
    where = f"{table}, row {patient.row}, patient {patient.identifier!r}"
    for note in notes:
        yield Finding(where, f"{note.where}: {note.what}", note.remedy, fatal=False)
