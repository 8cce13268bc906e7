"""NIfTI, NRRD and MetaImage files through SimpleITK."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.geometry import Geometry
from common.imaging.integrity import refuse_damaged
from common.imaging.orientation import Stack, orient
from common.imaging.scan import Hounsfield


@dataclass(frozen=True, eq=False)
class Volume:
    """A file's voxels, of whatever type and meaning.

    Attributes
    ----------
    source : Path
    voxels : array of shape (slices, rows, columns)
        Values as stored, axes turned to (head, back, left).
    geometry : Geometry
    """

    source: Path
    voxels: NDArray[Any]
    geometry: Geometry

    def hounsfield(self) -> Hounsfield:
        """The voxels as int16 where that is exact, else float32."""
        if self.voxels.dtype == np.int16:
            return self.voxels
        whole = self.voxels.dtype.kind in "iu"
        if whole and self.voxels.min() >= -32768 and self.voxels.max() <= 32767:
            return self.voxels.astype(np.int16)
        return self.voxels.astype(np.float32)


class _Buffer:
    """ITK's own buffer for NumPy, uncopied: the array keeps this object, and it keeps the image."""

    def __init__(self, image: Any, view: NDArray[Any]) -> None:
        self._image = image
        self.__array_interface__ = view.__array_interface__


def read_volume(path: Path) -> Volume:
    """The volume in a file.

    Raises
    ------
    ScanError
        If it cannot be read, is no 3D volume of numbers, or its axes are ambiguous.
    """
    sitk: Any = importlib.import_module("SimpleITK")

    if not path.is_file():
        raise ScanError(f"{path}: no such file -> correct the path in the cohort table")
    refuse_damaged(path)
    image = _read(sitk, path)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ScanError(
            f"{path}: size {image.GetSize()} with {image.GetNumberOfComponentsPerPixel()} value(s) a voxel "
            "-> one 3D volume with one value a voxel is needed"
        )
    if image.GetSize()[2] < 2:
        raise ScanError(f"{path}: has one slice only -> export the whole volume")
    steps = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    positions = np.array(image.GetOrigin()) + np.arange(image.GetSize()[2])[:, None] * steps[:, 2]
    voxels: NDArray[Any] = np.asarray(_Buffer(image, sitk.GetArrayViewFromImage(image)))
    oriented, geometry = orient(Stack(path, voxels, steps[:, 0], steps[:, 1], positions))
    return Volume(path, oriented, geometry)


def _read(sitk: Any, path: Path) -> Any:
    """ITK's image; asked for x.nii.gz it takes an x.nii that lies beside it, so it is led away."""
    try:
        if not path.name.lower().endswith(".nii.gz") or not path.with_suffix("").exists():
            return sitk.ReadImage(str(path))
        with TemporaryDirectory() as folder:
            alone = Path(folder) / "scan.nii.gz"
            alone.symlink_to(path.resolve())
            return sitk.ReadImage(str(alone))
    except RuntimeError as failure:
        raise ScanError(f"{path}: cannot be read ({_cause(failure)}) -> copy or export it again") from None


def _cause(failure: RuntimeError) -> str:
    """The last line of ITK's report, which says what went wrong; the others say where in ITK."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[-1].removeprefix("ITK ERROR: ")[:200] if lines else "unknown reason"
