"""851 features against PyRadiomics' default call on the whole volume, on one core and on all of them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.imaging.cache import Cache
from common.imaging.masks.mask import Mask, MaskLabels
from common.imaging.scan import Scan
from common.radiomics.batch import ExtractionJob, Extractor, extract_cases
from common.radiomics.extract import extract
from tests.bench.measurement import Effort, Measurement, compare_times, measure_seconds
from tests.common.radiomics.lesions import PAPER, difference, executed, head_with_lesion, whole_volume

SIZES = ((5, 10.0), (20, 7.0), (60, 4.0))
"""Volume in ml, and how many times faster at least."""
CASES = 40
"""Of 60 ml: a small centre. Each process spends as long on its imports as on five of them."""


def run(effort: Effort) -> list[Measurement]:
    """The specification's ratios."""
    filters = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)
    return [
        *(_compare_with_default(*size, effort) for size in effort.choose(SIZES, SIZES[:1])),
        _compare_on_all_cores(effort),
        _compare_two_processes(effort),
    ]


def _compare_with_default(volume_ml: float, bound: float, effort: Effort) -> Measurement:
    """Ours resamples what it needs; the default call is given the whole volume resampled already.

    Raises
    ------
    ArithmeticError
        If the two do not give the same features.
    """
    case = head_with_lesion(volume_ml)
    images = whole_volume(*case, PAPER)
    apart = difference(extract(*case).values, executed(*images))
    if apart > 1e-9:
        raise ArithmeticError(f"features of {volume_ml} ml differ by {apart}")
    name = f"851 features of {volume_ml:g} ml against PyRadiomics' default call (difference {apart:.0e})"
    return compare_times(name, bound, lambda: executed(*images), lambda: extract(*case), effort)


def _compare_on_all_cores(effort: Effort) -> Measurement:
    """Cases of 20 ml from files, in as many processes as there are cores, their start included."""
    cores = effort.choose(os.cpu_count() or 1, 1)
    cases = effort.choose(8 * cores, 1)
    volume_ml = effort.choose(20, 2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = head_with_lesion(volume_ml)
        paths = folder / "whole-ct.nii.gz", folder / "whole-mask.nii.gz"
        for path, image in zip(paths, whole_volume(*case, PAPER), strict=True):
            sitk.WriteImage(image, str(path))
        jobs = _make_jobs(folder, case, cases)

        def run_theirs() -> None:
            with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _use_one_thread) as pool:
                list(pool.map(_call_default, [paths] * cases))

        def run_ours() -> None:
            if extract_cases(jobs, Extractor(Cache(folder / "cache"), PAPER), cores).refused:
                raise ArithmeticError("refused")

        theirs_s, ours_s = measure_seconds(run_theirs), measure_seconds(run_ours)
    name = f"PyRadiomics' default call of {cases} cases of {volume_ml} ml on all {cores} cores / ours on all"
    return Measurement(name, theirs_s / ours_s, 1.5, "at least", f"{theirs_s:.1f} s against {ours_s:.1f} s")


def _use_one_thread() -> None:
    filters = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)


def _call_default(paths: tuple[Path, Path]) -> float:
    return float(executed(*(sitk.ReadImage(str(path)) for path in paths)).size)


def _make_jobs(folder: Path, case: tuple[Scan, Mask], number: int) -> list[ExtractionJob]:
    """One scan on disk, under other labels each time: no case finds another's features in the cache."""
    paths = folder / "ct.nii.gz", folder / "mask.nii.gz"
    for path, array in zip(paths, (case[0].voxels, case[1].voxels), strict=True):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(PAPER.spacing_mm)
        sitk.WriteImage(image, str(path))
    return [ExtractionJob(str(n), *paths, MaskLabels(ignored=(100 + n,))) for n in range(number)]


def _compare_two_processes(effort: Effort) -> Measurement:
    """The same cases in one process and in two, nothing of them in the cache."""
    cases, volume_ml = effort.choose((CASES, 60), (2, 2))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jobs = _make_jobs(folder, head_with_lesion(volume_ml), cases)
        runs = count()

        def extract_all(workers: int) -> None:
            cache = Cache(folder / f"cache-{next(runs)}")
            refused = extract_cases(jobs, Extractor(cache, PAPER), workers).refused
            if refused:
                raise ArithmeticError(f"refused: {refused}")

        one_s, two_s = (
            min(measure_seconds(lambda n=n: extract_all(n)) for _ in range(effort.repeats(2))) for n in (1, 2)
        )
    name, detail = (
        f"{cases} cases of {volume_ml} ml in two processes against one",
        f"{one_s:.1f} s against {two_s:.1f} s",
    )
    return Measurement(name, one_s / two_s, 1.4, "at least", detail)
