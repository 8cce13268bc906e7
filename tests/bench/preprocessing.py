"""From .nii.gz to a 112 x 112 x 112 input: parts against the whole, and against MONAI's pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.imaging.grid import Grid
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.preprocess import locate_crops, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.resample import Interpolation, resample
from common.types import Pixels
from tests.bench.measurement import Effort, Measurement, compare_times

SHAPE = InputShape(3, 112)
SPACING_MM = (0.449, 0.449, 5.0)


def write_case(folder: Path, size: int = 512, slices: int = 30) -> tuple[Path, Path]:
    """A noisy head of 230 mm with a hematoma of 50 ml, and its mask, as .nii.gz."""
    z, y, x = np.mgrid[:slices, :size, :size].astype(np.float32)
    y, x = (y / size - 0.5) * 2, (x / size - 0.5) * 2
    radius, noise = np.hypot(x / 0.7, y / 0.85), np.random.default_rng(0).normal(0, 4, z.shape)
    voxels = np.where(radius < 1, 33 + noise, -1000)
    voxels[(radius < 1) & (radius > 0.93)] = 1100
    lesion = ((x + 0.2) / 0.15) ** 2 + ((y - 0.02) / 0.19) ** 2 + ((z / slices - 0.5) / 0.19) ** 2 < 1
    voxels[lesion] += 30
    paths = folder / "ct.nii.gz", folder / "mask.nii.gz"
    spacing = (SPACING_MM[0] * 512 / size, SPACING_MM[1] * 512 / size, SPACING_MM[2])
    for path, array in zip(paths, (voxels.astype(np.int16), lesion.astype(np.uint8)), strict=True):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(path))
    return paths


def prepare_ours(ct: Path, mask: Path, recipe: Recipe) -> Pixels:
    """This project's way from the files to the 3D input."""
    scan = read_scan(ct)
    return prepare_inputs(scan, read_mask(mask, scan, MaskLabels()), recipe, (SHAPE,)).inputs[SHAPE]


def make_monai_pipeline(precision: type = np.float32) -> Callable[[Path, Path], Pixels]:
    """MONAI's dictionary pipeline that does the same, step by step.

    Its last step is float32 by default, whose own rounding reaches 1.1e-6; compare numbers in float64.
    """
    from monai import transforms as mt

    keys = ("ct", "mask")
    steps = mt.Compose(
        [
            mt.LoadImaged(keys),
            mt.EnsureChannelFirstd(keys),
            mt.Orientationd(keys, axcodes="LPS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            mt.Spacingd(keys, pixdim=(1.0, 1.0, 5.0), mode=("bilinear", "nearest")),
            mt.ScaleIntensityRanged("ct", a_min=0, a_max=80, b_min=0, b_max=1, clip=True),
            mt.CropForegroundd(keys, source_key="mask"),
            mt.Resized("ct", (112, 112, 112), mode="trilinear", align_corners=False, dtype=precision),
        ]
    )
    return lambda ct, mask: np.asarray(steps({"ct": str(ct), "mask": str(mask)})["ct"]).transpose(0, 3, 2, 1)


def resample_by_itk(ct: sitk.Image, mask: sitk.Image, size: tuple[int, ...], method: int) -> np.ndarray:
    """The whole image and the whole mask resampled by ITK, then cropped."""
    grid = (size, sitk.Transform())
    placement = (ct.GetOrigin(), (1.0, 1.0, 5.0), ct.GetDirection(), 0.0)
    labels = sitk.GetArrayFromImage(sitk.Resample(mask, *grid, sitk.sitkNearestNeighbor, *placement))
    voxels = sitk.GetArrayFromImage(sitk.Resample(sitk.Cast(ct, sitk.sitkFloat32), *grid, method, *placement))
    covered = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return voxels[tuple(slice(indices[0], indices[-1] + 1) for indices in covered)]


def run(effort: Effort) -> list[Measurement]:
    """The specification's ratios of the preprocessing."""
    import torch

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with TemporaryDirectory() as folder:
        ct, mask = write_case(Path(folder), *effort.choose((512, 30), (96, 20)))
        return [*_compare_parts(ct, mask, effort), _compare_pipelines(ct, mask, effort)]


def _compare_parts(ct: Path, mask: Path, effort: Effort) -> list[Measurement]:
    scan, recipe = read_scan(ct), Recipe()
    segmentation = read_mask(mask, scan, MaskLabels())
    grid = Grid(scan.geometry, recipe.spacing_mm)
    images = sitk.ReadImage(str(ct)), sitk.ReadImage(str(mask))
    results = []
    cases: tuple[tuple[Interpolation, int, float], ...] = (
        ("linear", sitk.sitkLinear, 2.5),
        ("bspline", sitk.sitkBSpline, 15.0),
    )
    for method, itk, bound in cases:

        def resample_part(method: Interpolation = method) -> Pixels:
            return resample(scan.voxels, grid, locate_crops(segmentation, grid, recipe).box, method)

        def resample_whole(method: Interpolation = method) -> Pixels:
            box = locate_crops(segmentation, grid, recipe).box
            return resample(scan.voxels, grid, grid.whole, method)[box.slices]

        def resample_itk(itk: int = itk) -> Pixels:
            return resample_by_itk(*images, grid.shape[::-1], itk)

        if (
            not np.array_equal(resample_part(), resample_whole())
            or np.abs(resample_part() - resample_itk()).max() > 1e-3
        ):
            raise ArithmeticError(f"{method}: the part is not what the whole has there")
        for whose, resample_all in (("ours", resample_whole), ("ITK", resample_itk)):
            name = f"{method}: part of the grid against the whole, {whose}"
            results.append(compare_times(name, bound, resample_all, resample_part, effort))
    return results


def _compare_pipelines(ct: Path, mask: Path, effort: Effort) -> Measurement:
    monai, recipe = make_monai_pipeline(), Recipe()
    difference = np.abs(prepare_ours(ct, mask, recipe) - make_monai_pipeline(np.float64)(ct, mask)).max()
    if difference > 1e-6:
        raise ArithmeticError(f"the 3D inputs differ by {difference}")
    name = f"files to 3D input against MONAI's dictionary pipeline (difference {difference:.0e})"
    return compare_times(name, 20.0, lambda: monai(ct, mask), lambda: prepare_ours(ct, mask, recipe), effort)
