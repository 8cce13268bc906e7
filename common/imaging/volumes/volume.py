"""The voxels of a NIfTI, NRRD or MetaImage file and where they lie.

Headers are parsed here, not by ITK: seen with SimpleITK 2.5, a header may end the process or name any file
of the computer, a truncated .nii ends in zeros, and of two grids in a NIfTI file one is silently dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, ScanError
from common.imaging.geometry import Geometry
from common.imaging.nearest import Extent, find_extent
from common.imaging.orientation import Stack, orient
from common.imaging.scan import Hounsfield
from common.imaging.volumes.formats import read_volume_header
from common.imaging.volumes.integrity import read_values
from common.imaging.volumes.volume_header import require_volume


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
    notes : tuple of Finding
        What should be known about the geometry.
    flaw : str
        Why this geometry cannot be a CT's, with what to do; empty: it can.
    marked : Extent, optional
        The extent, where it is known already.
    """

    source: Path
    voxels: NDArray[Any]
    geometry: Geometry
    notes: tuple[Finding, ...] = ()
    flaw: str = ""
    marked: Extent | None = None

    @cached_property
    def extent(self) -> Extent:
        """Where values other than 0 lie."""
        return find_extent(self.voxels) if self.marked is None else self.marked

    def to_hounsfield(self) -> Hounsfield:
        """The voxels as int16 where that is exact, else float32."""
        if self.voxels.dtype == np.int16:
            return self.voxels
        is_integer = self.voxels.dtype.kind in "iu"
        if is_integer and self.voxels.min() >= -32768 and self.voxels.max() <= 32767:
            return self.voxels.astype(np.int16)
        # Larger numbers become infinite, and are refused as such
        with np.errstate(over="ignore"):
            return self.voxels.astype(np.float32)


def read_volume(path: Path) -> Volume:
    """The volume in a file.

    Raises
    ------
    ScanError
        If it cannot be read, is no 3D volume of numbers, or its axes are ambiguous.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "no such file"
        raise ScanError(f"{path}: {what} -> correct the path in the cohort table")
    header = require_volume(read_volume_header(path))
    # Voxels first: only then is it known that there are as many slices as the header says
    values = read_values(header)
    columns, rows, slices = header.steps_mm.T
    positions = header.origin_mm + np.arange(len(values))[:, None] * slices
    voxels, geometry = orient(Stack(path, values, columns, rows, positions))
    return Volume(path, voxels, geometry, header.notes, header.flaw)
