"""A site's cohort as network inputs with outcomes: each patient prepared once, the bad ones refused."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from client.intake import Intake, class_findings, inspect_site, size_findings
from client.refusals import Refusal
from client.site import SiteSettings
from common.cohort.eligibility import Flow
from common.cohort.outcome import Expansion, Volumes, classify
from common.cohort.split import Fractions, Part, split_cohort
from common.cohort.table import Patient
from common.errors import CohortError, Finding, ScanError, StorageError
from common.imaging.cache import Cache, Entry, Note, Record, content_key
from common.imaging.mask import MaskLabels, read_mask
from common.imaging.overview import Overview, overview
from common.imaging.preprocess import ALGORITHM, prepare
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan, read_scan, source_files
from common.seeds import derive_seed
from common.storage import exclusive
from common.study import StudyPlan
from common.types import Pixels

_log = logging.getLogger(__name__)

_DISAGREEMENT_ML = 1.0
_DISAGREEMENT = 0.2
"""A table's volume and its mask's that differ by more than both are noted."""


@dataclass(frozen=True)
class PreparedCase:
    """One patient ready for training or evaluation.

    Attributes
    ----------
    patient : Patient
    expansion : Expansion
        Under both definitions, with the reasons.
    positive : bool
        Whether the plan's endpoint was reached.
    part : {"train", "validation", "test"}
    inputs : mapping of InputShape to Path
        .npy files, each of shape (channels, [z,] y, x).
    baseline, followup : Volumes
        On which the outcome rests.
    entry : Entry
        The baseline scan in the cache.
    """

    patient: Patient
    expansion: Expansion
    positive: bool
    part: Part
    inputs: Mapping[InputShape, Path] = field(hash=False)
    baseline: Volumes
    followup: Volumes
    entry: Entry

    def overview(self) -> Overview:
        """The slice with the largest lesion, its labels and the scan's histogram.

        Raises
        ------
        StorageError
            If the cache was damaged since it was checked.
        """
        arrays = (_load(self.entry.paths[name]) for name in ("pixels", "labels", "histogram"))
        return Overview(*arrays)


@dataclass(frozen=True)
class PreparedSite:
    """A site's cohort.

    Attributes
    ----------
    settings : SiteSettings
    flow : Flow
        Who was screened, excluded and included by the paper's criteria.
    cases : tuple of PreparedCase
        Sorted by patient.
    refusals : tuple of Refusal
        Patients who were refused, and why.
    notes : tuple of Finding
        What is worth knowing about patients who are used.
    """

    settings: SiteSettings
    flow: Flow
    cases: tuple[PreparedCase, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Why patients were refused."""
        return tuple(refusal.finding for refusal in self.refusals)


@dataclass(frozen=True)
class _Measured:
    """A patient whose scans could be read."""

    patient: Patient
    entry: Entry
    baseline: Volumes
    followup: Volumes
    scans: tuple[str, ...]


def prepare_site(folder: Path, plan: StudyPlan, cache: Path, progress: Progress) -> PreparedSite:
    """The site's patients, prepared by the plan's recipe; from the cache what is there already.

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
    intake = inspect_site(folder, plan.cohort.outcome)
    role = plan.site(intake.settings.name).role
    _refuse_site(intake.site_findings, intake.refusals)
    with exclusive(cache):
        measured, refusals = _Preparation(plan, intake.settings, Cache(cache)).run(intake, progress)
    refusals = (*intake.refusals, *refusals)
    expansions = [classify(one.baseline, one.followup, plan.cohort.outcome) for one in measured]
    positives = [expansion.positive(plan.cohort.outcome) for expansion in expansions]
    findings = (*size_findings(intake.settings, len(measured)), *class_findings(intake.settings, positives))
    _refuse_site(findings, refusals)
    parts = _parts(plan, intake.settings.name, measured, positives) if role == "train" else {}
    cases = tuple(
        PreparedCase(
            patient=one.patient,
            expansion=expansion,
            positive=expansion.positive(plan.cohort.outcome),
            part=parts.get(one.patient.identifier, "test"),
            inputs={shape: one.entry.paths[_name(shape)] for shape in _shapes(plan)},
            baseline=one.baseline,
            followup=one.followup,
            entry=one.entry,
        )
        for one, expansion in zip(measured, expansions, strict=True)
    )
    _log.info("prepared site=%s patients=%d refused=%d", intake.settings.name, len(cases), len(refusals))
    notes = tuple(note for one in measured for note in _notes(one, intake))
    return PreparedSite(intake.settings, intake.flow, cases, refusals, notes)


def stack(cases: Sequence[PreparedCase], shape: InputShape) -> Pixels:
    """The inputs of several patients, shape (n, channels, [z,] y, x), in their order.

    Raises
    ------
    StorageError
        If a file of the cache cannot be read.
    """
    first = _load(cases[0].inputs[shape])
    inputs = np.empty((len(cases), *first.shape), dtype=np.float32)
    for index, case in enumerate(cases):
        inputs[index] = _load(case.inputs[shape])
    return inputs


@dataclass(frozen=True)
class _Preparation:
    """How this site's scans become entries of the cache."""

    plan: StudyPlan
    settings: SiteSettings
    cache: Cache

    def run(self, intake: Intake, progress: Progress) -> tuple[list[_Measured], tuple[Refusal, ...]]:
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
        doubled = _same_voxels(intake, measured)
        twice = {refusal.patient.identifier for refusal in doubled}
        kept = [one for one in measured if one.patient.identifier not in twice]
        return kept, (*refusals, *doubled)

    def _measure(self, patient: Patient) -> _Measured:
        entry = self._entry(patient.baseline_ct, patient.baseline_mask, self.plan.preprocessing)
        baseline = patient.baseline_volumes or Volumes(entry.record.ich_ml, entry.record.ivh_ml)
        scans = [entry.record.voxels]
        followup = patient.followup_volumes
        if followup is None:
            later = self._entry(patient.followup_ct, patient.followup_mask, None)
            followup = Volumes(later.record.ich_ml, later.record.ivh_ml)
            scans.append(later.record.voxels)
        return _Measured(patient, entry, baseline, followup, tuple(scans))

    def _entry(self, ct: Path | None, mask: Path | None, recipe: Recipe | None) -> Entry:
        """A scan and its mask in the cache: with inputs where there is a recipe, else the volumes alone."""
        if ct is None or mask is None:
            raise ScanError("CT or mask is not named in the table -> write its path")
        shapes = _shapes(self.plan) if recipe else ()
        key = _key((ct, mask), self._labels, recipe, shapes)
        found = self.cache.find(key)
        if found is not None:
            return found
        scan = read_scan(ct)
        segmentation = read_mask(mask, scan, self._labels)
        volumes = segmentation.volumes()
        record = Record(
            ich_ml=volumes.ich_ml,
            ivh_ml=volumes.ivh_ml,
            voxels=_voxel_digest(scan),
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
        arrays = {_name(shape): pixels for shape, pixels in prepared.inputs.items()}
        return self.cache.keep(
            key,
            record.model_copy(update={"rectangle": (*rectangle.start, *rectangle.count)}),
            {**arrays, "pixels": seen.pixels, "labels": seen.labels, "histogram": seen.histogram},
        )

    @property
    def _labels(self) -> MaskLabels:
        mask = self.settings.mask
        return MaskLabels(mask.ich, mask.ivh)


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


def _name(shape: InputShape) -> str:
    return f"{shape.dimensions}d-{shape.size}"


def _shapes(plan: StudyPlan) -> tuple[InputShape, ...]:
    return tuple(
        sorted({model.shape for model in plan.models}, key=lambda shape: (shape.dimensions, shape.size))
    )


def _voxel_digest(scan: Scan) -> str:
    return hashlib.sha256(np.ascontiguousarray(scan.voxels, dtype=np.float32).data).hexdigest()


def _refuse_site(findings: Sequence[Finding], refusals: Sequence[Refusal]) -> None:
    if findings:
        raise CohortError((*findings, *(refusal.finding for refusal in refusals)))


def _refusal(intake: Intake, patient: Patient, what: str) -> Refusal:
    where = f"{intake.table.path.name}, row {patient.row}, patient {patient.identifier!r}"
    return Refusal(patient, Finding(where, what, fatal=False))


def _same_voxels(intake: Intake, measured: Sequence[_Measured]) -> tuple[Refusal, ...]:
    """Patients with one scan in different files, as DICOM and NIfTI; equal files were found at intake."""
    users: defaultdict[str, list[Patient]] = defaultdict(list)
    for one in measured:
        for scan in one.scans:
            users[scan].append(one.patient)
    doubled = {}
    for patients in users.values():
        names = sorted({patient.identifier for patient in patients})
        for patient in patients if len(patients) > 1 else ():
            what = f"one CT, voxel by voxel, stands in the table {len(patients)} times: {', '.join(names)}"
            doubled[patient.identifier] = _refusal(intake, patient, f"{what} -> correct the paths")
    return tuple(doubled.values())


def _notes(one: _Measured, intake: Intake) -> list[Finding]:
    """The scan's notes, and a table's volume that its mask contradicts."""
    where = f"{intake.table.path.name}, row {one.patient.row}, patient {one.patient.identifier!r}"
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


def _parts(
    plan: StudyPlan, site: str, measured: Sequence[_Measured], positives: Sequence[bool]
) -> dict[str, Part]:
    """The part of each patient of a training site; depends on identifiers and outcomes alone."""
    identifiers = [one.patient.identifier for one in measured]
    fractions = Fractions(plan.cohort.training_fraction, plan.cohort.validation_fraction)
    split = split_cohort(identifiers, positives, fractions, derive_seed(plan.seed, site, "split"))
    return {identifier: split.part_of(identifier) for identifier in identifiers}


def _load(path: Path) -> NDArray[Any]:
    try:
        loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as failure:
        raise StorageError(
            f"{path}: the cache is damaged ({failure}) -> run again, it is made anew"
        ) from None
    return loaded
