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
from common.imaging.mask import Mask, MaskLabels
from common.imaging.scan import Scan
from common.radiomics.batch import ExtractionJob, Extractor, extract_cases
from common.radiomics.extract import extract
from tests.bench.measurement import Measurement, faster, seconds
from tests.common.radiomics.lesions import PAPER, difference, executed, head_with_lesion, whole_volume

SIZES = ((5, 4.0), (20, 3.0), (60, 1.5))
"""Volume in ml, and how many times faster at least."""
CASES = 40
"""Of 60 ml: a small centre. Each process spends as long on its imports as on three of them."""


def run() -> list[Measurement]:
    """The specification's ratios."""
    filters = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)
    return [*(_against_default(*size) for size in SIZES), _all_cores(), _two_processes()]


def _against_default(volume_ml: float, bound: float) -> Measurement:
    """Ours resamples what it needs; the default call is given the whole volume resampled already."""
    case = head_with_lesion(volume_ml)
    images = whole_volume(*case, PAPER)
    apart = difference(extract(*case).values, executed(*images))
    if apart > 1e-9:
        raise ArithmeticError(f"features of {volume_ml} ml differ by {apart}")
    name = f"851 features of {volume_ml:g} ml against PyRadiomics' default call (difference {apart:.0e})"
    return faster(name, bound, lambda: executed(*images), lambda: extract(*case))


def _all_cores() -> Measurement:
    """Cases of 20 ml from files, in as many processes as there are cores, their start included."""
    cores = os.cpu_count() or 1
    cases = 8 * cores
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = head_with_lesion(20)
        whole = folder / "whole-ct.nii.gz", folder / "whole-mask.nii.gz"
        for path, image in zip(whole, whole_volume(*case, PAPER), strict=True):
            sitk.WriteImage(image, str(path))
        jobs = _jobs(folder, case, cases)

        def theirs() -> None:
            with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _one_thread) as pool:
                list(pool.map(_default_call, [whole] * cases))

        def ours() -> None:
            if extract_cases(jobs, Extractor(Cache(folder / "cache"), PAPER), cores).refused:
                raise ArithmeticError("refused")

        theirs_s, ours_s = seconds(theirs), seconds(ours)
    name = f"PyRadiomics' default call of {cases} cases of 20 ml on all {cores} cores / ours on all"
    return Measurement(name, theirs_s / ours_s, 1.5, "at least", f"{theirs_s:.1f} s against {ours_s:.1f} s")


def _one_thread() -> None:
    filters = sitk.ProcessObject
    filters.SetGlobalDefaultNumberOfThreads(1)


def _default_call(paths: tuple[Path, Path]) -> float:
    return float(executed(*(sitk.ReadImage(str(path)) for path in paths)).size)


def _jobs(folder: Path, case: tuple[Scan, Mask], number: int) -> list[ExtractionJob]:
    """One scan on disk, under other labels each time: no case finds another's features in the cache."""
    paths = folder / "ct.nii.gz", folder / "mask.nii.gz"
    for path, array in zip(paths, (case[0].voxels, case[1].voxels), strict=True):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(PAPER.spacing_mm)
        sitk.WriteImage(image, str(path))
    return [ExtractionJob(str(n), *paths, MaskLabels(ignored=(100 + n,))) for n in range(number)]


def _two_processes() -> Measurement:
    """The same cases in one process and in two, nothing of them in the cache."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jobs = _jobs(folder, head_with_lesion(60), CASES)
        runs = count()

        def extracted(workers: int) -> None:
            cache = Cache(folder / f"cache-{next(runs)}")
            refused = extract_cases(jobs, Extractor(cache, PAPER), workers).refused
            if refused:
                raise ArithmeticError(f"refused: {refused}")

        one_s, two_s = (min(seconds(lambda n=n: extracted(n)) for _ in range(2)) for n in (1, 2))
    name, detail = (
        f"{CASES} cases of 60 ml in two processes against one",
        f"{one_s:.1f} s against {two_s:.1f} s",
    )
    return Measurement(name, one_s / two_s, 1.4, "at least", detail)
