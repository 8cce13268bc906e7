"""The features of many lesions, in parallel; each is stored when it is done, each is refused by itself."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from common.errors import RheError, ScanError
from common.imaging import preprocess
from common.imaging.cache import (
    Cache,
    CachedScan,
    ScanNote,
    ScanRecord,
    content_key,
    digest_voxels,
)
from common.imaging.masks.mask import Mask, MaskLabels, read_mask
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.reader import read_scan
from common.imaging.scan import Scan
from common.imaging.volumes.formats import list_mask_files, source_files
from common.radiomics.extract import LesionFeatures, extract
from common.radiomics.settings import PARAMETERS, PYRADIOMICS, ExtractionSettings
from common.runtime.processes import end_with_starter

EXTRACTION_ALGORITHM = 1
"""Raised whenever the same files would give other features; part of every cache key."""

CaseProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of cases done and the number of all cases."""


@dataclass(frozen=True)
class ExtractionJob:
    """One reading of one scan, whose features are to be extracted.

    Attributes
    ----------
    name : str
        Names the patient and the reading; unique among the jobs.
    ct, mask : Path
        Where the scan and the segmentation are stored.
    labels : MaskLabels
        What the values of the mask mean.
    options : ReadingOptions
        How the scan is read where there is a choice.
    """

    name: str
    ct: Path
    mask: Path
    labels: MaskLabels
    options: ReadingOptions = NO_CHOICE


@dataclass(frozen=True)
class Extraction:
    """The results of all jobs, by the jobs' names, in their order.

    Attributes
    ----------
    cases : mapping of str to LesionFeatures
        Features of the cases that were not refused.
    refused : mapping of str to str
        Why a case has no features.
    """

    cases: Mapping[str, LesionFeatures]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Extractor:
    """Extracts features, and stores them in a cache.

    Attributes
    ----------
    cache : Cache
        Where features are stored.
    settings : ExtractionSettings
        How a CT and its mask become the volume of which features are extracted.
    """

    cache: Cache
    settings: ExtractionSettings

    def run(self, job: ExtractionJob) -> LesionFeatures:
        """The features of one case, from the cache if they are stored there.

        Raises
        ------
        ScanError
            If the case is refused.
        StorageError
            If the cache cannot be read or written.
        """
        key = self.key(job)
        entry = self.cache.find(key)
        if entry is not None:
            return _load_stored(entry)
        scan = read_scan(job.ct, job.options)
        mask = read_mask(job.mask, scan, job.labels)
        features = extract(scan, mask, self.settings)
        facts = np.array([features.voxels, features.components, features.touches_border], dtype=np.int64)
        self.cache.keep(key, record_of(scan, mask), {"features": features.values, "facts": facts})
        return features

    def key(self, job: ExtractionJob) -> str:
        """The cache's key of a case: of its files' bytes and everything else on which its features depend.

        Raises
        ------
        ScanError
            If a folder of the case cannot be listed.
        """
        try:
            files = [*source_files(job.ct), *list_mask_files(job.mask)]
        except OSError as failure:
            raise ScanError(f"{job.ct}: cannot be listed ({failure.strerror}) -> check permissions") from None
        settings: dict[str, object] = {
            "radiomics": EXTRACTION_ALGORITHM,
            "resampling": preprocess.PREPROCESSING_ALGORITHM,
            "pyradiomics": PYRADIOMICS,
            "parameters": hashlib.sha256(PARAMETERS.read_bytes()).hexdigest(),
            "labels": asdict(job.labels),
            "settings": asdict(self.settings),
        }
        if job.options != NO_CHOICE:
            settings["options"] = asdict(job.options)
        return content_key(files, settings)


def _ignore_progress(_done: int, _of: int) -> None:
    """Report nothing."""


def extract_cases(
    jobs: Sequence[ExtractionJob],
    extractor: Extractor,
    workers: int = 1,
    report: CaseProgress = _ignore_progress,
) -> Extraction:
    """The features of all cases; a refused case does not affect the others.

    Each case is stored when it is done, so an interrupted or killed run continues where it stopped.

    Parameters
    ----------
    jobs : sequence of ExtractionJob
    extractor : Extractor
    workers : int
        Number of processes; 1 extracts in this process.
    report : callable, optional
        Called in this process after each case.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    RheError
        If a worker process was ended from outside.
    ValueError
        If two jobs have the same name, or `workers` is below 1.
    """
    names = [job.name for job in jobs]
    if len(set(names)) < len(names) or workers < 1:
        raise ValueError(f"names must be unique and workers at least 1: {len(names)} jobs, {workers} workers")
    outcomes: dict[str, LesionFeatures | str] = {}
    for name, outcome in (
        _extract_in_turn(jobs, extractor) if workers == 1 else _extract_in_parallel(jobs, extractor, workers)
    ):
        outcomes[name] = outcome
        report(len(outcomes), len(jobs))
    return Extraction(
        {name: outcome for name in names if isinstance(outcome := outcomes[name], LesionFeatures)},
        {name: outcome for name in names if isinstance(outcome := outcomes[name], str)},
    )


def _extract_in_turn(
    jobs: Sequence[ExtractionJob], extractor: Extractor
) -> Iterator[tuple[str, LesionFeatures | str]]:
    for job in jobs:
        yield job.name, _try_extraction(extractor, job)


def _extract_in_parallel(
    jobs: Sequence[ExtractionJob], extractor: Extractor, workers: int
) -> Iterator[tuple[str, LesionFeatures | str]]:
    with _start_pool(min(workers, max(len(jobs), 1))) as pool:
        running: dict[Future[LesionFeatures | str], str] = {
            pool.submit(_try_extraction, extractor, job): job.name for job in jobs
        }
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BrokenProcessPool:
            raise RheError(
                "a process that extracts features was ended from outside, perhaps for want of memory "
                "-> run again with fewer workers; what is extracted is kept"
            ) from None


@contextmanager
def _start_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes: forked ones would share this process' threads, locks and torch."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield pool
    finally:
        # After Ctrl-C no further case is begun; a running one ends by itself
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Prepare a worker: it uses one core, and ends when the process that started it does."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    end_with_starter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    filters: Any = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)


def _try_extraction(extractor: Extractor, job: ExtractionJob) -> LesionFeatures | str:
    try:
        return extractor.run(job)
    except ScanError as refusal:
        return str(refusal)


def _load_stored(entry: CachedScan) -> LesionFeatures:
    voxels, components, touches_border = np.load(entry.paths["facts"]).tolist()
    return LesionFeatures(np.load(entry.paths["features"]), voxels, components, bool(touches_border))


def record_of(scan: Scan, mask: Mask) -> ScanRecord:
    """What the cache stores about a CT and a mask beside the results computed from them."""
    volumes = mask.volumes()
    return ScanRecord(
        ich_ml=volumes.ich_ml,
        ivh_ml=volumes.ivh_ml,
        voxels=digest_voxels(scan),
        notes=tuple(
            ScanNote(where=note.where, what=note.what, remedy=note.remedy, level=note.level)
            for note in (*scan.notes, *mask.notes)
        ),
    )
