"""A site's scans read, checked and kept in the cache; what cannot be used refuses its patient alone.

A check reads them in the same way as a preparation, but keeps nothing: so both refuse the same patients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from client.cohort.cases import OVERVIEW_ARRAYS, TIMES, MeasuredPatient, MeasuredSite, Time
from client.cohort.intake import Intake
from client.cohort.patients_together import judge_together
from client.cohort.reading_options import options_of
from client.cohort.refusals import PatientRefusal, list_needed_files, make_refusal
from client.membership.site import SiteSettings
from common.cohort.outcome import Volumes
from common.cohort.table import Patient
from common.errors import Finding, Level, ScanError
from common.imaging.cache import Cache, CachedScan, ScanNote, ScanRecord, content_key
from common.imaging.grid import Grid
from common.imaging.masks.mask import Mask, MaskLabels, read_mask
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.overview import make_overview, make_whole_overview
from common.imaging.preprocess import PREPROCESSING_ALGORITHM, locate_crops, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import IDENTITY_REMARK, Scan
from common.imaging.volumes.formats import list_mask_files, source_files
from common.plan.study import StudyPlan


@dataclass(frozen=True)
class SiteChoices:
    """What the site and the study say of how files are read.

    Attributes
    ----------
    labels : MaskLabels
        What the values of masks mean.
    options : ReadingOptions
        How a CT is read where there is a choice.
    """

    labels: MaskLabels
    options: ReadingOptions


@dataclass(frozen=True)
class SitePreparation:
    """How a site's scans are read and, in a preparation, become entries of the cache.

    Attributes
    ----------
    plan : StudyPlan or None
        Says which inputs its networks take; None outside of a study.
    settings : SiteSettings
        The site's, with the labels of its masks.
    cache : Cache or None
        Where volumes and inputs are kept; None where scans are only checked.
    """

    plan: StudyPlan | None
    settings: SiteSettings
    cache: Cache | None
    _last: dict[Path, Scan] = field(default_factory=dict, repr=False, compare=False)

    def measure_patients(self, intake: Intake, progress: Progress) -> MeasuredSite:
        """The usable patients with their volumes, sorted by identifier, and those whose scans refuse them.

        Raises
        ------
        StorageError
            If the cache cannot be written.
        """
        if self.cache is not None:
            self.cache.tidy()
        measured, refusals = [], list[PatientRefusal]()
        doing = "reading" if self.cache is None else "preparing"
        task = progress.add_task(f"{self.settings.name}: {doing} scans", total=len(intake.usable))
        for patient in sorted(intake.usable, key=lambda usable: usable.identifier):
            case, problems = self._measure(intake, patient)
            refusals += [make_refusal(intake.table.path.name, patient, *problem) for problem in problems]
            if case is not None:
                measured.append(case)
            progress.advance(task)
        progress.remove_task(task)
        return judge_together(intake.table.path.name, measured, refusals)

    def measure_mask(self, ct: Path | None, mask: Path | None) -> tuple[Volumes, tuple[ScanNote, ...]]:
        """What a mask of this CT measures, and notes on it; from the cache if it was read before.

        Raises
        ------
        ScanError
            If one of them is not named, or cannot be used.
        StorageError
            If the cache cannot be written.
        """
        if ct is None or mask is None:
            raise ScanError("CT or mask is not named in the table -> write its path")
        entry = self._prepare_entry(ct, mask, None, ())
        return _read_volumes(entry), tuple(note for note in entry.record.notes if note.where == "mask")

    def _measure(
        self, intake: Intake, patient: Patient
    ) -> tuple[MeasuredPatient | None, list[tuple[str, str]]]:
        """The patient with both volumes, or why not; the table's volumes count where it gives them.

        Scans are read where it does not, for networks, and wherever a study of images names them: what they
        show is told, although the table counts.
        """
        entries: dict[Time, CachedScan] = {}
        problems, remarks = list[tuple[str, str]](), list[tuple[str, str]]()
        files = dict(list_needed_files(patient, images=intake.table.images))
        for time in TIMES:
            needed = self._is_needed(intake, patient, time)
            ct, mask = files.get(f"{time}_ct"), files.get(f"{time}_mask")
            if not needed and ct is None:
                continue
            try:
                entries[time] = self._read_pair(time, ct, mask, needed=needed)
            except ScanError as refusal:
                what, _, remedy = str(refusal).partition(" -> ")
                said = (*self._list_doubts(time, ct), (what, remedy))
                (problems if needed else remarks).extend(said)
        if problems:
            return None, problems
        where = f"{intake.table.path.name}, row {patient.row}, patient {patient.identifier!r}"
        case = MeasuredPatient(
            patient,
            entries.get("baseline"),
            baseline=patient.baseline_volumes or _read_volumes(entries.get("baseline")),
            followup=patient.followup_volumes or _read_volumes(entries.get("followup")),
            followup_entry=entries.get("followup"),
            remarks=tuple(
                Finding(where, f"{what} (the table's volumes are used)", remedy, Level.LOOK)
                for what, remedy in remarks
            ),
        )
        return case, []

    def _list_doubts(self, time: Time, ct: Path | None) -> Iterator[tuple[str, str]]:
        """What is doubtful about a CT that could be read, where the pair is refused: it may be the cause."""
        scan = None if ct is None else self._last.get(ct)
        for note in () if scan is None else scan.notes:
            if note.level is Level.LOOK and not note.what.startswith(IDENTITY_REMARK):
                yield f"'{time}_ct': {note.what}", note.remedy

    def _is_needed(self, intake: Intake, patient: Patient, time: Time) -> bool:
        """Whether the patient cannot be studied without this scan; others are read to be judged.

        Outside of a study networks may come to look at the baseline CT.
        """
        given = patient.baseline_volumes if time == "baseline" else patient.followup_volumes
        looks = intake.table.images and (self.plan is None or self._recipe is not None)
        return given is None or (time == "baseline" and looks)

    @property
    def _recipe(self) -> Recipe | None:
        return self.plan.preprocessing if self.plan and self.plan.networks else None

    def _read_pair(self, time: Time, ct: Path | None, mask: Path | None, *, needed: bool) -> CachedScan:
        """A patient's CT and mask at one time.

        Raises
        ------
        ScanError
            If one of them is not named, or cannot be used.
        """
        if ct is None or (mask is None and needed):
            raise ScanError(f"'{time}_ct' or '{time}_mask' is blank -> write its path")
        shapes = list_input_shapes(self.plan) if self.plan and time == "baseline" else ()
        return self._prepare_entry(ct, mask, self._recipe, shapes)

    def _prepare_entry(
        self, ct: Path, mask: Path | None, recipe: Recipe | None, shapes: tuple[InputShape, ...]
    ) -> CachedScan:
        """A scan and its mask in the cache: with inputs of these shapes, and a picture if there is a recipe.

        Raises
        ------
        ScanError
            If one of them cannot be used.
        """
        if self.cache is None:
            scan, segmentation = self._read(ct, mask)
            if segmentation is not None and recipe is not None and shapes:
                locate_crops(segmentation, Grid(scan.geometry, recipe.spacing_mm), recipe)
            return CachedScan(_make_record(scan, segmentation), {})
        key = _make_key((ct,) if mask is None else (ct, mask), self._choices, recipe, shapes)
        entry = self.cache.find(key)
        if entry is not None:
            return entry
        scan, segmentation = self._read(ct, mask)
        record = _make_record(scan, segmentation)
        if segmentation is None or recipe is None:
            return self.cache.keep(key, record, {})
        arrays, rectangle = _make_arrays(scan, segmentation, recipe, shapes)
        return self.cache.keep(key, record.model_copy(update={"rectangle": rectangle}), arrays)

    @property
    def _choices(self) -> SiteChoices:
        return SiteChoices(labels_of_masks(self.settings), options_of(self.plan, self.settings))

    def _read(self, ct: Path, mask: Path | None) -> tuple[Scan, Mask | None]:
        scan = self._read_scan(ct)
        return scan, None if mask is None else read_mask(mask, scan, self._choices.labels)

    def _read_scan(self, ct: Path) -> Scan:
        """The CT; the last one is kept, because several masks may lie on it."""
        if ct not in self._last:
            self._last.clear()
            self._last[ct] = read_scan(ct, self._choices.options)
        return self._last[ct]


def _make_arrays(
    scan: Scan, mask: Mask, recipe: Recipe, shapes: tuple[InputShape, ...]
) -> tuple[dict[str, NDArray[np.generic]], tuple[int, ...]]:
    """The networks' inputs with the picture of their slice, or the picture alone; and the 2D crop, if any."""
    rectangle: tuple[int, ...] = ()
    inputs: dict[str, NDArray[np.generic]] = {}
    if not shapes:
        view = make_whole_overview(scan, mask, recipe)
    else:
        prepared = prepare_inputs(scan, mask, recipe, shapes)
        view = make_overview(scan, mask, prepared, recipe)
        rectangle = (*prepared.crops.rectangle.start, *prepared.crops.rectangle.count)
        inputs = {name_array(shape): pixels for shape, pixels in prepared.inputs.items()}
    pictures = {} if view is None else {name: getattr(view, name) for name in OVERVIEW_ARRAYS}
    return {**inputs, **pictures}, rectangle


def _make_record(scan: Scan, mask: Mask | None) -> ScanRecord:
    volumes = Volumes(0.0, 0.0) if mask is None else mask.volumes()
    remarks = [("ct", note) for note in scan.notes]
    remarks += [("mask", note) for note in mask.notes] if mask is not None else []
    notes = [
        ScanNote(where=part, what=note.what, remedy=note.remedy, level=note.level) for part, note in remarks
    ]
    return ScanRecord(
        ich_ml=volumes.ich_ml,
        ivh_ml=volumes.ivh_ml,
        voxels=digest_voxels(scan),
        labels="" if mask is None else mask.digest,
        notes=tuple(notes),
        headers=scan.headers,
    )


def _read_volumes(entry: CachedScan | None) -> Volumes:
    if entry is None:
        raise ValueError("a patient without volumes in the table was not measured")
    return Volumes(entry.record.ich_ml, entry.record.ivh_ml)


def labels_of_masks(settings: SiteSettings) -> MaskLabels:
    """What the values of the site's masks mean."""
    mask = settings.mask
    return MaskLabels(mask.ich, mask.ivh, mask.ignored, mask.ich_names, mask.ivh_names, mask.ignored_names)


def _make_key(
    paths: tuple[Path, ...], site: SiteChoices, recipe: Recipe | None, shapes: tuple[InputShape, ...]
) -> str:
    try:
        files = [*source_files(paths[0]), *(file for mask in paths[1:] for file in list_mask_files(mask))]
    except OSError as failure:
        raise ScanError(f"{paths[0]}: cannot be listed ({failure.strerror}) -> check permissions") from None
    settings: dict[str, object] = {
        "algorithm": PREPROCESSING_ALGORITHM,
        "labels": asdict(site.labels),
        "recipe": asdict(recipe) if recipe else None,
        "shapes": [asdict(shape) for shape in shapes],
    }
    if site.options != NO_CHOICE:
        settings["options"] = asdict(site.options)
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
    digest = hashlib.sha256()
    for plane in scan.voxels:
        digest.update(np.ascontiguousarray(plane, dtype=np.float32).data)
    return digest.hexdigest()
