"""A site's scans read, checked and kept in the cache; what cannot be used refuses its patient alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.intake import Intake
from client.refusals import Refusal
from client.site import SiteSettings
from common.cohort.outcome import Volumes
from common.cohort.table import Patient
from common.errors import Finding, ScanError
from common.imaging.cache import Cache, Entry, Note, Record, content_key
from common.imaging.mask import MaskLabels, read_mask
from common.imaging.overview import overview
from common.imaging.preprocess import ALGORITHM, prepare
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan, read_scan, source_files
from common.study import StudyPlan

_DISAGREEMENT_ML = 1.0
_DISAGREEMENT = 0.2
"""A table's volume and its mask's that differ by more than both are noted."""


@dataclass(frozen=True)
class MeasuredPatient:
    """A patient of known volumes, with what the study's networks need.

    Attributes
    ----------
    patient : Patient
    entry : Entry or None
        The baseline scan in the cache; None if nothing asked for it.
    baseline, followup : Volumes
        Of the table where it gives both, else of the masks.
    scans : tuple of str
        Digests of the voxels of the scans that were read.
    """

    patient: Patient
    entry: Entry | None
    baseline: Volumes
    followup: Volumes
    scans: tuple[str, ...]


@dataclass(frozen=True)
class SitePreparation:
    """How a site's scans become entries of the cache.

    Attributes
    ----------
    plan : StudyPlan
    settings : SiteSettings
    cache : Cache
    """

    plan: StudyPlan
    settings: SiteSettings
    cache: Cache
    _last: dict[Path, Scan] = field(default_factory=dict, repr=False, compare=False)

    def run(self, intake: Intake, progress: Progress) -> tuple[list[MeasuredPatient], tuple[Refusal, ...]]:
        """Every usable patient measured, sorted, and the refused ones."""
        self.cache.tidy()
        measured, refusals = [], []
        task = progress.add_task(f"{self.settings.name}: preparing scans", total=len(intake.usable))
        for patient in sorted(intake.usable, key=lambda one: one.identifier):
            try:
                measured.append(self._measure(patient))
            except ScanError as refusal:
                refusals.append(_refusal(intake, patient, str(refusal)))
            progress.advance(task)
        progress.remove_task(task)
        doubled = same_voxels(intake, [(one.patient, one.scans) for one in measured])
        twice = {refusal.patient.identifier for refusal in doubled}
        kept = [one for one in measured if one.patient.identifier not in twice]
        return kept, (*refusals, *doubled)

    def measure_mask(self, ct: Path | None, mask: Path | None) -> tuple[Volumes, tuple[Note, ...]]:
        """What a mask of this CT measures, and notes on it; from the cache if it was read before.

        Raises
        ------
        ScanError
            If one of them is not named, or cannot be used.
        StorageError
            If the cache cannot be written.
        """
        entry = self._entry(ct, mask, None)
        return _volumes(entry), tuple(note for note in entry.record.notes if note.where == str(mask))

    def _measure(self, patient: Patient) -> MeasuredPatient:
        """The table's volumes where it gives them; scans are read where it does not, and for networks."""
        recipe = self.plan.preprocessing if self.plan.networks else None
        given, followup = patient.baseline_volumes, patient.followup_volumes
        entry = later = None
        if given is None or recipe is not None:
            entry = self._entry(patient.baseline_ct, patient.baseline_mask, recipe)
        if followup is None:
            later = self._entry(patient.followup_ct, patient.followup_mask, None)
        return MeasuredPatient(
            patient,
            entry,
            baseline=given or _volumes(entry),
            followup=followup or _volumes(later),
            scans=tuple(one.record.voxels for one in (entry, later) if one is not None),
        )

    def _entry(self, ct: Path | None, mask: Path | None, recipe: Recipe | None) -> Entry:
        """A scan and its mask in the cache: with inputs where there is a recipe, else the volumes alone."""
        if ct is None or mask is None:
            raise ScanError("CT or mask is not named in the table -> write its path")
        shapes = input_shapes(self.plan) if recipe else ()
        key = _key((ct, mask), mask_labels(self.settings), recipe, shapes)
        found = self.cache.find(key)
        if found is not None:
            return found
        scan = self._scan(ct)
        segmentation = read_mask(mask, scan, mask_labels(self.settings))
        volumes = segmentation.volumes()
        record = Record(
            ich_ml=volumes.ich_ml,
            ivh_ml=volumes.ivh_ml,
            voxels=voxel_digest(scan),
            notes=tuple(
                Note(where=note.where, what=note.what, remedy=note.remedy)
                for note in (*scan.notes, *segmentation.notes)
            ),
        )
        if recipe is None:
            return self.cache.keep(key, record, {})
        prepared = prepare(scan, segmentation, recipe, shapes)
        seen = overview(scan, segmentation, prepared, recipe)
        rectangle = prepared.crops.rectangle
        arrays = {array_name(shape): pixels for shape, pixels in prepared.inputs.items()}
        return self.cache.keep(
            key,
            record.model_copy(update={"rectangle": (*rectangle.start, *rectangle.count)}),
            {**arrays, "pixels": seen.pixels, "labels": seen.labels, "histogram": seen.histogram},
        )

    def _scan(self, ct: Path) -> Scan:
        """The CT; the last one is kept, because several masks may lie on it."""
        if ct not in self._last:
            self._last.clear()
            self._last[ct] = read_scan(ct)
        return self._last[ct]


def _volumes(entry: Entry | None) -> Volumes:
    if entry is None:
        raise ValueError("a patient without volumes in the table was not measured")
    return Volumes(entry.record.ich_ml, entry.record.ivh_ml)


def mask_labels(settings: SiteSettings) -> MaskLabels:
    """What the values of the site's masks mean."""
    return MaskLabels(settings.mask.ich, settings.mask.ivh, settings.mask.ignored)


def _key(
    paths: tuple[Path, Path], labels: MaskLabels, recipe: Recipe | None, shapes: tuple[InputShape, ...]
) -> str:
    try:
        files = [file for path in paths for file in source_files(path)]
    except OSError as failure:
        raise ScanError(f"{paths[0]}: cannot be listed ({failure.strerror}) -> check permissions") from None
    settings = {
        "algorithm": ALGORITHM,
        "labels": asdict(labels),
        "recipe": asdict(recipe) if recipe else None,
        "shapes": [asdict(shape) for shape in shapes],
    }
    return content_key(files, settings)


def array_name(shape: InputShape) -> str:
    """The name of an input in its cache entry."""
    return f"{shape.dimensions}d-{shape.size}"


def input_shapes(plan: StudyPlan) -> tuple[InputShape, ...]:
    """Every grid that a network of the plan takes, once."""
    return tuple(
        sorted({model.shape for model in plan.networks}, key=lambda shape: (shape.dimensions, shape.size))
    )


def voxel_digest(scan: Scan) -> str:
    """Equal for scans of equal voxels, whatever files they lie in."""
    return hashlib.sha256(np.ascontiguousarray(scan.voxels, dtype=np.float32).data).hexdigest()


def _refusal(intake: Intake, patient: Patient, what: str) -> Refusal:
    where = f"{intake.table.path.name}, row {patient.row}, patient {patient.identifier!r}"
    return Refusal(patient, Finding(where, what, fatal=False))


def same_voxels(intake: Intake, scans: Sequence[tuple[Patient, tuple[str, ...]]]) -> tuple[Refusal, ...]:
    """Patients with one scan in different files, as DICOM and NIfTI; equal files were found at intake.

    Parameters
    ----------
    intake : Intake
    scans : sequence of (Patient, tuple of str)
        Digests of the voxels of each patient's scans.
    """
    users: defaultdict[str, list[Patient]] = defaultdict(list)
    for patient, digests in scans:
        for digest in digests:
            users[digest].append(patient)
    doubled = {}
    for patients in users.values():
        names = sorted({patient.identifier for patient in patients})
        for patient in patients if len(patients) > 1 else ():
            what = f"one CT, voxel by voxel, stands in the table {len(patients)} times: {', '.join(names)}"
            doubled[patient.identifier] = _refusal(intake, patient, f"{what} -> correct the paths")
    return tuple(doubled.values())


def notes_on(one: MeasuredPatient, intake: Intake) -> list[Finding]:
    """The scan's notes, and a table's volume that its mask contradicts."""
    where = f"{intake.table.path.name}, row {one.patient.row}, patient {one.patient.identifier!r}"
    if one.entry is None:
        return []
    record = one.entry.record
    notes = [Finding(where, f"{note.where}: {note.what}", note.remedy, fatal=False) for note in record.notes]
    for name, given_ml, seen_ml in (
        ("ich_volume_ml", one.baseline.ich_ml, record.ich_ml),
        ("ivh_volume_ml", one.baseline.ivh_ml, record.ivh_ml),
    ):
        if abs(given_ml - seen_ml) > max(_DISAGREEMENT_ML, _DISAGREEMENT * max(given_ml, seen_ml)):
            what = f"{name} is {given_ml:.1f} ml in the table, {seen_ml:.1f} ml in the mask"
            notes.append(Finding(where, what, "check both; the table's counts", fatal=False))
    return notes
