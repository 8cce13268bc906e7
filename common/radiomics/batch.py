"""Many lesions at once: in parallel, each kept on disk as soon as it is there, each refused by itself."""

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
from common.imaging.cache import Cache, Entry, Note, Record, content_key
from common.imaging.mask import Mask, MaskLabels, read_mask
from common.imaging.scan import Scan, read_scan, source_files
from common.processes import end_with_parent
from common.radiomics.extract import Extracted, extract
from common.radiomics.settings import PARAMETERS, PYRADIOMICS, ExtractionSettings

ALGORITHM = 1
"""Raised whenever the same files would give other features; part of every cache key."""

Report: TypeAlias = Callable[[int, int], None]
"""Told how many cases are done, of how many."""


@dataclass(frozen=True)
class Job:
    """One reading of one scan.

    Attributes
    ----------
    name : str
        Whose and which; unique among the jobs.
    ct, mask : Path
    labels : MaskLabels
        Of the mask.
    """

    name: str
    ct: Path
    mask: Path
    labels: MaskLabels


@dataclass(frozen=True)
class Extraction:
    """What became of the jobs, by their names, in their order.

    Attributes
    ----------
    cases : mapping of str to Extracted
    refused : mapping of str to str
        Why there are no features.
    """

    cases: Mapping[str, Extracted]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Extractor:
    """Where features are kept, and what is extracted.

    Attributes
    ----------
    cache : Cache
    settings : ExtractionSettings
    """

    cache: Cache
    settings: ExtractionSettings

    def run(self, job: Job) -> Extracted:
        """The features of one case, from the cache where they are there.

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
            return _stored(entry)
        scan = read_scan(job.ct)
        mask = read_mask(job.mask, scan, job.labels)
        found = extract(scan, mask, self.settings)
        facts = np.array([found.voxels, found.components, found.touches_border], dtype=np.int64)
        self.cache.keep(key, record_of(scan, mask), {"features": found.values, "facts": facts})
        return found

    def key(self, job: Job) -> str:
        """The cache's key of a case: its files' bytes, and everything else that its features depend on."""
        try:
            files = [file for path in (job.ct, job.mask) for file in source_files(path)]
        except OSError as failure:
            raise ScanError(f"{job.ct}: cannot be listed ({failure.strerror}) -> check permissions") from None
        settings = {
            "radiomics": ALGORITHM,
            "resampling": preprocess.ALGORITHM,
            "pyradiomics": PYRADIOMICS,
            "parameters": hashlib.sha256(PARAMETERS.read_bytes()).hexdigest(),
            "labels": asdict(job.labels),
            "settings": asdict(self.settings),
        }
        return content_key(files, settings)


def _nobody(_done: int, _of: int) -> None:
    """Nobody wants to know."""


def extract_cases(
    jobs: Sequence[Job], extractor: Extractor, workers: int = 1, report: Report = _nobody
) -> Extraction:
    """The features of all cases; one that is refused costs only itself.

    Each case is kept when it is done, so a run that was interrupted or killed goes on where it was.

    Parameters
    ----------
    jobs : sequence of Job
    extractor : Extractor
    workers : int
        Processes; 1 extracts in this one.
    report : callable, optional
        Called in this process after each case.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    RheError
        If a worker was ended from outside.
    """
    names = [job.name for job in jobs]
    if len(set(names)) < len(names) or workers < 1:
        raise ValueError(f"names must be unique and workers at least 1: {len(names)} jobs, {workers} workers")
    outcomes: dict[str, Extracted | str] = {}
    for name, outcome in _in_turn(jobs, extractor) if workers == 1 else _at_once(jobs, extractor, workers):
        outcomes[name] = outcome
        report(len(outcomes), len(jobs))
    return Extraction(
        {name: one for name in names if isinstance(one := outcomes[name], Extracted)},
        {name: one for name in names if isinstance(one := outcomes[name], str)},
    )


def _in_turn(jobs: Sequence[Job], extractor: Extractor) -> Iterator[tuple[str, Extracted | str]]:
    for job in jobs:
        yield job.name, _outcome(extractor, job)


def _at_once(
    jobs: Sequence[Job], extractor: Extractor, workers: int
) -> Iterator[tuple[str, Extracted | str]]:
    with _pool(min(workers, max(len(jobs), 1))) as pool:
        running: dict[Future[Extracted | str], str] = {
            pool.submit(_outcome, extractor, job): job.name for job in jobs
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
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes: a fork would share this one's threads and locks, and its torch."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield pool
    finally:
        # After Ctrl-C nothing more is begun; what is running ends within a case
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """One core each; whoever started it decides when it ends."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    filters: Any = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)


def _outcome(extractor: Extractor, job: Job) -> Extracted | str:
    try:
        return extractor.run(job)
    except ScanError as refusal:
        return str(refusal)


def _stored(entry: Entry) -> Extracted:
    voxels, components, touches_border = np.load(entry.paths["facts"]).tolist()
    return Extracted(np.load(entry.paths["features"]), voxels, components, bool(touches_border))


def record_of(scan: Scan, mask: Mask) -> Record:
    """What the cache keeps of a CT and a mask beside what was computed from them."""
    volumes = mask.volumes()
    voxels = np.ascontiguousarray(scan.voxels, dtype=np.float32)
    return Record(
        ich_ml=volumes.ich_ml,
        ivh_ml=volumes.ivh_ml,
        voxels=hashlib.sha256(voxels.data).hexdigest(),
        notes=tuple(
            Note(where=note.where, what=note.what, remedy=note.remedy) for note in (*scan.notes, *mask.notes)
        ),
    )
