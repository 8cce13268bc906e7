"""A patient's CT and mask read, checked and kept in the cache.

A check reads them in the same way as a preparation, but keeps nothing: so both refuse the same patients.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.cohort.cases import OVERVIEW_ARRAYS, Time
from client.cohort.lesion_fields import make_fields
from client.cohort.lesion_outlook import LesionOutlook, foresee_lesion
from client.cohort.reading_options import options_of
from client.membership.site import SiteSettings
from common.cohort.outcome import Volumes
from common.errors import ScanError
from common.imaging.cache import Cache, CachedScan, ScanNote, ScanRecord, content_key, digest_voxels
from common.imaging.grid import Grid
from common.imaging.lesion_cells import CELL_MM, CELLS
from common.imaging.masks.mask import Mask, MaskLabels, read_mask
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.overview import Overview, make_overview, make_scan_overview, make_whole_overview
from common.imaging.preprocess import PREPROCESSING_ALGORITHM, locate_crops, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan
from common.imaging.volumes.formats import list_mask_files, source_files
from common.plan.mapped_cohorts import averages_maps
from common.plan.study import StudyPlan
from common.types import Labels


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
    outlooks : dict of (Path, Path) to LesionOutlook
        Filled while scans are checked for a study, by the paths of CT and mask.
    """

    plan: StudyPlan | None
    settings: SiteSettings
    cache: Cache | None
    outlooks: dict[tuple[Path, Path], LesionOutlook] = field(default_factory=dict, repr=False, compare=False)
    _last: dict[Path, Scan] = field(default_factory=dict, repr=False, compare=False)
    _judged: dict[tuple[Path, Path | None], CachedScan | str] = field(
        default_factory=dict, repr=False, compare=False
    )

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
        return read_volumes(entry), tuple(note for note in entry.record.notes if note.where == "mask")

    def find_last(self, ct: Path | None) -> Scan | None:
        """The CT, if it is the last that was decoded."""
        return None if ct is None else self._last.get(ct)

    def draw_refused(self, scan: Scan, labels: Labels | None) -> Overview | None:
        """A picture of a CT whose mask is refused; None where pictures are not kept.

        Parameters
        ----------
        scan : Scan
        labels : Labels of shape (slices, rows, columns), or None
            What the mask marks, if it could be laid on the CT.
        """
        recipe = self._recipe
        return None if self.cache is None or recipe is None else make_scan_overview(scan, labels, recipe)

    @property
    def looks_at_baseline(self) -> bool:
        """Whether networks look at the baseline CT, or may come to do so, outside of a study."""
        return self.plan is None or self._recipe is not None

    @property
    def _recipe(self) -> Recipe | None:
        return self.plan.preprocessing if self.plan and self.plan.input_shapes else None

    def read_pair(self, time: Time, ct: Path, mask: Path | None) -> CachedScan:
        """A patient's CT and mask at one time.

        Raises
        ------
        ScanError
            If one of them cannot be used.
        StorageError
            If the cache cannot be written.
        """
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
            return self._check_entry(ct, mask, recipe, shapes)
        with_fields = bool(shapes) and self.plan is not None and averages_maps(self.plan)
        paths = (ct,) if mask is None else (ct, mask)
        key = _make_key(paths, self._choices, recipe, shapes, with_fields=with_fields)
        entry = self.cache.find(key)
        if entry is not None:
            return entry
        scan, segmentation = self._read(ct, mask)
        record = make_record(scan, segmentation)
        if recipe is None:
            return self.cache.keep(key, record, {})
        if segmentation is None:
            return self.cache.keep(key, record, _list_arrays(make_scan_overview(scan, None, recipe)))
        arrays, rectangle = _make_arrays(scan, segmentation, recipe, shapes)
        if with_fields:
            arrays |= make_fields(scan, segmentation, recipe, shapes)
        return self.cache.keep(key, record.model_copy(update={"rectangle": rectangle}), arrays)

    def _check_entry(
        self, ct: Path, mask: Path | None, recipe: Recipe | None, shapes: tuple[InputShape, ...]
    ) -> CachedScan:
        """What an entry would be, of a pair that is read once however often it is asked for.

        Raises
        ------
        ScanError
            If one of them cannot be used.
        """
        known = self._judged.get((ct, mask))
        if isinstance(known, CachedScan):
            return known
        if known is not None:
            raise ScanError(known)
        try:
            scan, segmentation = self._read(ct, mask)
            if segmentation is not None and recipe is not None and shapes:
                locate_crops(segmentation, Grid(scan.geometry, recipe.spacing_mm), recipe)
        except ScanError as refusal:
            self._judged[ct, mask] = str(refusal)
            raise
        if mask is not None and segmentation is not None and self.plan is not None:
            self.outlooks[ct, mask] = foresee_lesion(self.plan, scan, segmentation)
        entry = self._judged[ct, mask] = CachedScan(make_record(scan, segmentation), {})
        return entry

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
    return {**inputs, **({} if view is None else _list_arrays(view))}, rectangle


def _list_arrays(view: Overview) -> dict[str, NDArray[np.generic]]:
    return {name: getattr(view, name) for name in OVERVIEW_ARRAYS}


def make_record(scan: Scan, mask: Mask | None) -> ScanRecord:
    """What is kept of a CT and its mask beside arrays."""
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


def find_volumes(entry: CachedScan | None) -> Volumes | None:
    """What the mask of an entry marks, in ml; None if there is no entry, or no mask was read with it."""
    return None if entry is None or not entry.record.labels else read_volumes(entry)


def read_volumes(entry: CachedScan) -> Volumes:
    """What the mask of an entry marks, in ml."""
    return Volumes(entry.record.ich_ml, entry.record.ivh_ml)


def labels_of_masks(settings: SiteSettings) -> MaskLabels:
    """What the values of the site's masks mean."""
    mask = settings.mask
    return MaskLabels(mask.ich, mask.ivh, mask.ignored, mask.ich_names, mask.ivh_names, mask.ignored_names)


def _make_key(
    paths: tuple[Path, ...],
    site: SiteChoices,
    recipe: Recipe | None,
    shapes: tuple[InputShape, ...],
    *,
    with_fields: bool,
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
    if with_fields:
        settings["fields"] = [CELLS, CELL_MM]
    return content_key(files, settings)


def name_array(shape: InputShape) -> str:
    """The name of an input in its cache entry."""
    return f"{shape.dimensions}d-{shape.size}"


def list_input_shapes(plan: StudyPlan) -> tuple[InputShape, ...]:
    """Every grid that a network of the plan takes, once."""
    return plan.input_shapes
