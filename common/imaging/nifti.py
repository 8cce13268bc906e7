"""NIfTI, NRRD and MetaImage files through SimpleITK."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.formats import is_nifti
from common.imaging.geometry import Geometry
from common.imaging.integrity import read_nifti_voxels, refuse_damaged
from common.imaging.orientation import Stack, orient
from common.imaging.scan import Hounsfield


@dataclass(frozen=True, eq=False)
class Volume:
    """A file's voxels, of any type and meaning.

    Attributes
    ----------
    source : Path
        The file.
    voxels : array of shape (slices, rows, columns)
        Values as stored, axes turned to (head, back, left).
    geometry : Geometry
        Of the same shape.
    """

    source: Path
    voxels: NDArray[Any]
    geometry: Geometry

    def to_hounsfield(self) -> Hounsfield:
        """The voxels as int16 where that is exact, else float32."""
        if self.voxels.dtype == np.int16:
            return self.voxels
        is_integer = self.voxels.dtype.kind in "iu"
        if is_integer and self.voxels.min() >= -32768 and self.voxels.max() <= 32767:
            return self.voxels.astype(np.int16)
        return self.voxels.astype(np.float32)


class _Buffer:
    """ITK's own buffer for NumPy without a copy: the array keeps this object, which keeps the image."""

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
    try:
        if is_nifti(path):
            voxels = read_nifti_voxels(path)
            header = sitk.ImageFileReader()
            header.SetFileName(str(path))
            header.ReadImageInformation()
        else:
            refuse_damaged(path)
            header = image = sitk.ReadImage(str(path))
            voxels = np.asarray(_Buffer(image, sitk.GetArrayViewFromImage(image)))
    except RuntimeError as failure:
        raise ScanError(
            f"{path}: cannot be read ({_find_cause(failure)}) -> copy or export it again"
        ) from None
    return _orient_volume(path, voxels, header)


def _orient_volume(path: Path, voxels: NDArray[Any], header: Any) -> Volume:
    """The voxels, turned to our axes, on the grid that ITK's image or reader states.

    Raises
    ------
    ScanError
        If it is not one 3D volume of at least two slices, or its axes are ambiguous.
    """
    if voxels.ndim != 3 or len(header.GetSize()) < 3 or header.GetSize()[:3] != voxels.shape[::-1]:
        raise ScanError(f"{path}: size {header.GetSize()} -> one 3D volume with one value a voxel is needed")
    if len(voxels) < 2:
        raise ScanError(f"{path}: has one slice only -> export the whole volume")
    count = len(header.GetSize())
    steps = (np.array(header.GetDirection()).reshape(count, count) * np.array(header.GetSpacing()))[:3, :3]
    positions = np.array(header.GetOrigin())[:3] + np.arange(len(voxels))[:, None] * steps[:, 2]
    oriented, geometry = orient(Stack(path, voxels, steps[:, 0], steps[:, 1], positions))
    return Volume(path, oriented, geometry)


def _find_cause(failure: RuntimeError) -> str:
    """The last line of ITK's report, which says what went wrong; the others say where in ITK."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[-1].removeprefix("ITK ERROR: ")[:200] if lines else "unknown reason"
