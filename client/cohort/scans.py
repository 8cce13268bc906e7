"""A site's scans read, checked and kept in the cache; what cannot be used refuses its patient alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.cohort.cases import MeasuredPatient
from client.cohort.intake import Intake
from client.cohort.refusals import PatientRefusal
from client.membership.site import SiteSettings
from common.cohort.outcome import Volumes
from common.cohort.table import Patient
from common.errors import Finding, ScanError
from common.imaging.cache import Cache, CachedScan, ScanNote, ScanRecord, content_key
from common.imaging.formats import source_files
from common.imaging.mask import MaskLabels, read_mask
from common.imaging.overview import make_overview
from common.imaging.preprocess import PREPROCESSING_ALGORITHM, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan
from common.plan.study import StudyPlan

_DISAGREEMENT_ML = 1.0
_DISAGREEMENT = 0.2
"""A volume of the table that differs from its mask's by more than both is noted (ml; share of the larger)."""


@dataclass(frozen=True)
class SitePreparation:
    """How a site's scans become entries of the cache.

    Attributes
    ----------
    plan : StudyPlan
        Says which inputs its networks take.
    settings : SiteSettings
        The site's, with the labels of its masks.
    cache : Cache
        Where volumes and inputs are kept.
    """

    plan: StudyPlan
    settings: SiteSettings
    cache: Cache
    _last: dict[Path, Scan] = field(default_factory=dict, repr=False, compare=False)

    def measure_patients(
        self, intake: Intake, progress: Progress
    ) -> tuple[list[MeasuredPatient], tuple[PatientRefusal, ...]]:
        """The usable patients with their volumes, sorted by identifier, and those whose scans refuse them.

        Raises
        ------
        StorageError
            If the cache cannot be written.
        """
        self.cache.tidy()
        measured, refusals = [], []
        task = progress.add_task(f"{self.settings.name}: preparing scans", total=len(intake.usable))
        for patient in sorted(intake.usable, key=lambda usable: usable.identifier):
            try:
                measured.append(self._measure(patient))
            except ScanError as refusal:
                refusals.append(_refuse(intake, patient, str(refusal)))
            progress.advance(task)
        progress.remove_task(task)
        repeated = find_same_voxels(intake, [(case.patient, case.scans) for case in measured])
        refused = {refusal.patient.identifier for refusal in repeated}
        kept = [case for case in measured if case.patient.identifier not in refused]
        return kept, (*refusals, *repeated)

    def measure_mask(self, ct: Path | None, mask: Path | None) -> tuple[Volumes, tuple[ScanNote, ...]]:
        """What a mask of this CT measures, and notes on it; from the cache if it was read before.

        Raises
        ------
        ScanError
            If one of them is not named, or cannot be used.
        StorageError
            If the cache cannot be written.
        """
        entry = self._prepare_entry(ct, mask, None)
        return _read_volumes(entry), tuple(note for note in entry.record.notes if note.where == str(mask))

    def _measure(self, patient: Patient) -> MeasuredPatient:
        """The table's volumes where it gives them; scans are read where it does not, and for networks."""
        recipe = self.plan.preprocessing if self.plan.networks else None
        given, followup = patient.baseline_volumes, patient.followup_volumes
        entry = later = None
        if given is None or recipe is not None:
            entry = self._prepare_entry(patient.baseline_ct, patient.baseline_mask, recipe)
        if followup is None:
            later = self._prepare_entry(patient.followup_ct, patient.followup_mask, None)
        return MeasuredPatient(
            patient,
            entry,
            baseline=given or _read_volumes(entry),
            followup=followup or _read_volumes(later),
            scans=tuple(scan.record.voxels for scan in (entry, later) if scan is not None),
        )

    def _prepare_entry(self, ct: Path | None, mask: Path | None, recipe: Recipe | None) -> CachedScan:
        """A scan and its mask in the cache: with inputs where there is a recipe, else the volumes alone.

        Raises
        ------
        ScanError
            If one of them is not named, or cannot be used.
        """
        if ct is None or mask is None:
            raise ScanError("CT or mask is not named in the table -> write its path")
        shapes = list_input_shapes(self.plan) if recipe else ()
        key = _make_key((ct, mask), labels_of_masks(self.settings), recipe, shapes)
        entry = self.cache.find(key)
        if entry is not None:
            return entry
        scan = self._read_scan(ct)
        segmentation = read_mask(mask, scan, labels_of_masks(self.settings))
        volumes = segmentation.volumes()
        record = ScanRecord(
            ich_ml=volumes.ich_ml,
            ivh_ml=volumes.ivh_ml,
            voxels=digest_voxels(scan),
            notes=tuple(
                ScanNote(where=note.where, what=note.what, remedy=note.remedy)
                for note in (*scan.notes, *segmentation.notes)
            ),
        )
        if recipe is None:
            return self.cache.keep(key, record, {})
        prepared = prepare_inputs(scan, segmentation, recipe, shapes)
        view = make_overview(scan, segmentation, prepared, recipe)
        rectangle = prepared.crops.rectangle
        arrays = {name_array(shape): pixels for shape, pixels in prepared.inputs.items()}
        return self.cache.keep(
            key,
            record.model_copy(update={"rectangle": (*rectangle.start, *rectangle.count)}),
            {**arrays, "pixels": view.pixels, "labels": view.labels, "histogram": view.histogram},
        )

    def _read_scan(self, ct: Path) -> Scan:
        """The CT; the last one is kept, because several masks may lie on it."""
        if ct not in self._last:
            self._last.clear()
            self._last[ct] = read_scan(ct)
        return self._last[ct]


def _read_volumes(entry: CachedScan | None) -> Volumes:
    if entry is None:
        raise ValueError("a patient without volumes in the table was not measured")
    return Volumes(entry.record.ich_ml, entry.record.ivh_ml)


def labels_of_masks(settings: SiteSettings) -> MaskLabels:
    """What the values of the site's masks mean."""
    return MaskLabels(settings.mask.ich, settings.mask.ivh, settings.mask.ignored)


def _make_key(
    paths: tuple[Path, Path], labels: MaskLabels, recipe: Recipe | None, shapes: tuple[InputShape, ...]
) -> str:
    try:
        files = [file for path in paths for file in source_files(path)]
    except OSError as failure:
        raise ScanError(f"{paths[0]}: cannot be listed ({failure.strerror}) -> check permissions") from None
    settings = {
        "algorithm": PREPROCESSING_ALGORITHM,
        "labels": asdict(labels),
        "recipe": asdict(recipe) if recipe else None,
        "shapes": [asdict(shape) for shape in shapes],
    }
    return content_key(files, settings)


def name_array(shape: InputShape) -> str:
    """The name of an input in its cache entry."""
    return f"{shape.dimensions}d-{shape.size}"


def list_input_shapes(plan: StudyPlan) -> tuple[InputShape, ...]:
    """Every grid that a network of the plan takes, once."""
    return tuple(
        sorted({model.shape for model in plan.networks}, key=lambda shape: (shape.dimensions, shape.size))
    )


def digest_voxels(scan: Scan) -> str:
    """The SHA-256 of a scan's voxels, hexadecimal: equal for equal voxels, whatever their files are."""
    return hashlib.sha256(np.ascontiguousarray(scan.voxels, dtype=np.float32).data).hexdigest()


def _refuse(intake: Intake, patient: Patient, what: str) -> PatientRefusal:
    where = f"{intake.table.path.name}, row {patient.row}, patient {patient.identifier!r}"
    return PatientRefusal(patient, Finding(where, what))


def find_same_voxels(
    intake: Intake, scans: Sequence[tuple[Patient, tuple[str, ...]]]
) -> tuple[PatientRefusal, ...]:
    """Patients with one scan in different files, as DICOM and NIfTI; equal files were found at intake.

    Parameters
    ----------
    intake : Intake
        The site's folder.
    scans : sequence of (Patient, tuple of str)
        Digests of the voxels of each patient's scans.
    """
    users: defaultdict[str, list[Patient]] = defaultdict(list)
    for patient, digests in scans:
        for digest in digests:
            users[digest].append(patient)
    refusals = {}
    for patients in users.values():
        names = sorted({patient.identifier for patient in patients})
        for patient in patients if len(patients) > 1 else ():
            what = f"one CT, voxel by voxel, stands in the table {len(patients)} times: {', '.join(names)}"
            refusals[patient.identifier] = _refuse(intake, patient, f"{what} -> correct the paths")
    return tuple(refusals.values())


def list_notes(case: MeasuredPatient, intake: Intake) -> list[Finding]:
    """The scan's notes, and a table's volume that its mask contradicts."""
    where = f"{intake.table.path.name}, row {case.patient.row}, patient {case.patient.identifier!r}"
    if case.entry is None:
        return []
    record = case.entry.record
    notes = [Finding(where, f"{note.where}: {note.what}", note.remedy) for note in record.notes]
    for name, given_ml, seen_ml in (
        ("ich_volume_ml", case.baseline.ich_ml, record.ich_ml),
        ("ivh_volume_ml", case.baseline.ivh_ml, record.ivh_ml),
    ):
        if abs(given_ml - seen_ml) > max(_DISAGREEMENT_ML, _DISAGREEMENT * max(given_ml, seen_ml)):
            what = f"{name} is {given_ml:.1f} ml in the table, {seen_ml:.1f} ml in the mask"
            notes.append(Finding(where, what, "check both; the table's counts"))
    return notes
