"""Computed suggestions of NCCT markers for a site's patients: compared with readers, never in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.scans import MeasuredPatient, mask_labels
from client.site import SiteSettings
from common.errors import Finding, ScanError
from common.imaging import preprocess
from common.imaging.cache import Cache, content_key
from common.imaging.mask import MaskLabels, read_mask
from common.imaging.scan import read_scan, source_files
from common.radiomics.batch import record_of
from common.radiomics.markers import ALGORITHM, LABEL, SUGGESTIONS, suggested_markers


@dataclass(frozen=True)
class SiteSuggestions:
    """What is suggested for every patient.

    Attributes
    ----------
    by_patient : mapping of str to mapping of str to bool
        By identifier, then by the marker's column.
    notes : tuple of Finding
        Patients for whom nothing can be suggested.
    """

    by_patient: Mapping[str, Mapping[str, bool]]
    notes: tuple[Finding, ...]


def suggest_site(
    settings: SiteSettings, measured: Sequence[MeasuredPatient], cache: Cache, progress: Progress
) -> SiteSuggestions:
    """The suggestions for every patient with CT and mask; from the cache what is there already.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    found: dict[str, Mapping[str, bool]] = {}
    notes = []
    task = progress.add_task(f"{settings.name}: {LABEL}s of markers", total=len(measured))
    for one in measured:
        patient = one.patient
        if patient.baseline_ct is not None and patient.baseline_mask is not None:
            try:
                paths = (patient.baseline_ct, patient.baseline_mask)
                found[patient.identifier] = _suggested(paths, mask_labels(settings), cache)
            except ScanError as refusal:
                where = f"{settings.table}, row {patient.row}, patient {patient.identifier!r}"
                notes.append(Finding(where, f"no {LABEL} of markers: {refusal}", fatal=False))
        progress.advance(task)
    progress.remove_task(task)
    return SiteSuggestions(found, tuple(notes))


def _suggested(paths: tuple[Path, Path], labels: MaskLabels, cache: Cache) -> Mapping[str, bool]:
    ct, mask = paths
    key = _key(paths, labels)
    entry = cache.find(key)
    if entry is not None:
        stored = np.load(entry.paths["suggested"]).tolist()
        return dict(zip(SUGGESTIONS, stored, strict=True))
    scan = read_scan(ct)
    segmentation = read_mask(mask, scan, labels)
    suggested = suggested_markers(scan, segmentation)
    flags = np.array([suggested[name] for name in SUGGESTIONS], dtype=np.bool_)
    cache.keep(key, record_of(scan, segmentation), {"suggested": flags})
    return suggested


def _key(paths: tuple[Path, Path], labels: MaskLabels) -> str:
    try:
        files = [file for path in paths for file in source_files(path)]
    except OSError as failure:
        raise ScanError(f"{paths[0]}: cannot be listed ({failure.strerror}) -> check permissions") from None
    settings = {
        "markers": ALGORITHM,
        "order": list(SUGGESTIONS),
        "resampling": preprocess.ALGORITHM,
        "labels": asdict(labels),
    }
    return content_key(files, settings)
