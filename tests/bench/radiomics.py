"""851 features against PyRadiomics' default call on the whole volume, and two processes against one."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.imaging.cache import Cache
from common.imaging.mask import MaskLabels
from common.radiomics.batch import Extractor, Job, extract_cases
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
    return [*(_against_default(*size) for size in SIZES), _two_processes()]


def _against_default(volume_ml: float, bound: float) -> Measurement:
    """Ours resamples what it needs; the default call is given the whole volume resampled already."""
    case = head_with_lesion(volume_ml)
    images = whole_volume(*case, PAPER)
    apart = difference(extract(*case).values, executed(*images))
    if apart > 1e-9:
        raise ArithmeticError(f"features of {volume_ml} ml differ by {apart}")
    name = f"851 features of {volume_ml:g} ml against PyRadiomics' default call (difference {apart:.0e})"
    return faster(name, bound, lambda: executed(*images), lambda: extract(*case))


def _two_processes() -> Measurement:
    """The same cases in one process and in two, nothing of them in the cache."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = folder / "ct.nii.gz", folder / "mask.nii.gz"
        scan, mask = head_with_lesion(60)
        for path, array in zip(paths, (scan.voxels, mask.voxels), strict=True):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(PAPER.spacing_mm)
            sitk.WriteImage(image, str(path))
        # Other labels, so that no case finds another's features in the cache
        jobs = [Job(str(n), *paths, MaskLabels(ignored=(100 + n,))) for n in range(CASES)]
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
