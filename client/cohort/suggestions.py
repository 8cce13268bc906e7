"""Computed suggestions of NCCT markers for a site's patients: compared with readers, never used for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.cohort.cases import MeasuredPatient
from client.cohort.reading_options import options_of
from client.cohort.refusals import locate_patient
from client.cohort.scans import SiteChoices, labels_of_masks
from client.membership.site import SiteSettings
from common.errors import Finding, Level, ScanError
from common.imaging import preprocess
from common.imaging.cache import Cache, content_key
from common.imaging.masks.mask import read_mask
from common.imaging.options import NO_CHOICE
from common.imaging.reader import read_scan
from common.imaging.volumes.formats import list_mask_files, source_files
from common.plan.study import StudyPlan
from common.radiomics.batch import record_of
from common.radiomics.markers import LABEL, MARKER_ALGORITHM, SUGGESTIONS, suggest_markers
from common.runtime.pulse import mark_progress


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
    plan: StudyPlan,
    settings: SiteSettings,
    measured: Sequence[MeasuredPatient],
    cache: Cache,
    progress: Progress,
) -> SiteSuggestions:
    """The suggestions for every patient with CT and mask; what is in the cache is not made again.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    suggestions: dict[str, Mapping[str, bool]] = {}
    notes = []
    choices = SiteChoices(labels_of_masks(settings), options_of(plan, settings))
    task = progress.add_task(f"{settings.name}: {LABEL}s of markers", total=len(measured))
    for case in measured:
        patient = case.patient
        if patient.baseline_ct is not None and patient.baseline_mask is not None:
            try:
                paths = (patient.baseline_ct, patient.baseline_mask)
                suggestions[patient.identifier] = _suggest(paths, choices, cache)
            except ScanError as refusal:
                notes.append(note_no_suggestion(locate_patient(settings.table, patient), str(refusal)))
        progress.advance(task)
        mark_progress("suggesting markers")
    progress.remove_task(task)
    return SiteSuggestions(suggestions, tuple(notes))


def note_no_suggestion(where: str, reason: str) -> Finding:
    """That nothing can be suggested for a patient, and why."""
    what, _, remedy = f"no {LABEL} of markers: {reason}".partition(" -> ")
    return Finding(where, what, remedy, Level.KNOW)


def _suggest(paths: tuple[Path, Path], choices: SiteChoices, cache: Cache) -> Mapping[str, bool]:
    ct, mask = paths
    key = _make_key(paths, choices)
    entry = cache.find(key)
    if entry is not None:
        stored = np.load(entry.paths["suggested"]).tolist()
        return dict(zip(SUGGESTIONS, stored, strict=True))
    scan = read_scan(ct, choices.options)
    segmentation = read_mask(mask, scan, choices.labels)
    suggested = suggest_markers(scan, segmentation)
    flags = np.array([suggested[name] for name in SUGGESTIONS], dtype=np.bool_)
    cache.keep(key, record_of(scan, segmentation), {"suggested": flags})
    return suggested


def _make_key(paths: tuple[Path, Path], choices: SiteChoices) -> str:
    try:
        files = [*source_files(paths[0]), *list_mask_files(paths[1])]
    except OSError as failure:
        raise ScanError(f"{paths[0]}: cannot be listed ({failure.strerror}) -> check permissions") from None
    settings: dict[str, object] = {
        "markers": MARKER_ALGORITHM,
        "order": list(SUGGESTIONS),
        "resampling": preprocess.PREPROCESSING_ALGORITHM,
        "labels": asdict(choices.labels),
    }
    if choices.options != NO_CHOICE:
        settings["options"] = asdict(choices.options)
    return content_key(files, settings)
