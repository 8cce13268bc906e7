"""Radiomics of a site's lesions: extracted once, kept in the cache, and what is worth knowing about them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.progress import Progress

from client.scans import MeasuredPatient, mask_labels
from client.site import SiteSettings
from common.errors import Finding
from common.extraction import extraction_of
from common.imaging.cache import Cache
from common.radiomics.batch import Extractor, Job, extract_cases
from common.radiomics.extract import Extracted
from common.study import StudyPlan
from common.types import Reals


@dataclass(frozen=True)
class SiteFeatures:
    """What became of every lesion.

    Attributes
    ----------
    by_patient : mapping of str to float array, shape (851,)
        Of the lesions that have features, by identifier.
    notes : tuple of Finding
        Lesions of several parts or at the scan's end, features that do not exist, and lesions without any.
    """

    by_patient: Mapping[str, Reals]
    notes: tuple[Finding, ...]


def extract_site(
    plan: StudyPlan,
    settings: SiteSettings,
    measured: Sequence[MeasuredPatient],
    cache: Cache,
    progress: Progress,
) -> SiteFeatures:
    """The features of every patient's baseline lesion, if a model of the plan takes them.

    A lesion that PyRadiomics cannot work on costs its patient the features, not the study.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    if not plan.takes_radiomics:
        return SiteFeatures({}, ())
    jobs = [
        Job(one.patient.identifier, one.patient.baseline_ct, one.patient.baseline_mask, mask_labels(settings))
        for one in measured
        if one.patient.baseline_ct is not None and one.patient.baseline_mask is not None
    ]
    extractor = Extractor(cache, extraction_of(plan))
    task = progress.add_task(f"{settings.name}: extracting radiomics", total=len(jobs))
    found = extract_cases(
        jobs, extractor, _workers(plan), lambda done, _: progress.update(task, completed=done)
    )
    progress.remove_task(task)
    notes = [
        note
        for one in measured
        for note in _notes(one, found.cases.get(one.patient.identifier), found.refused, settings.table)
    ]
    return SiteFeatures({name: case.values for name, case in found.cases.items()}, tuple(notes))


def _workers(plan: StudyPlan) -> int:
    """As many processes as the plan has threads and the machine has cores."""
    return max(1, min(plan.threads, os.cpu_count() or 1))


def _notes(
    one: MeasuredPatient, case: Extracted | None, refused: Mapping[str, str], table: str
) -> list[Finding]:
    name = one.patient.identifier
    where = f"{table}, row {one.patient.row}, patient {name!r}"
    if case is None:
        reason = refused.get(name, "CT or mask is not named in the table")
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
