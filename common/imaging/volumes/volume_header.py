"""What the header of a volume's file says, and whether it can be a scan's."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from common.errors import Finding, ScanError
from common.types import Reals

Packing: TypeAlias = Literal["", "gzip", "zlib"]
"""How data are compressed; empty: they are not."""

_MOST_BYTES = 1 << 31
"""Largest volume that is read: a CT of 512 x 512 x 2000 voxels has half of it."""

_FINEST_MM, _COARSEST_MM = 0.01, 50.0
"""Steps between voxels outside of these are no CT's."""

_FARTHEST_MM, _LARGEST = 1e5, 1e100

_LOST = (
    "has no geometry: voxels of exactly 1x1x1 mm that begin at 0, 0, 0, as a program writes that keeps the "
    "numbers alone (an array saved without its affine, spacing and origin)"
)


@dataclass(frozen=True)
class Place:
    """Where a volume's voxels are stored.

    Attributes
    ----------
    file : Path
        The header's own file or one beside it.
    start : int
        Byte of the file at which the (compressed) data begin.
    packing : {"", "gzip", "zlib"}
        How the data are compressed; empty: they are not.
    inside : int
        Byte of the decompressed data at which the voxels begin.
    """

    file: Path
    start: int
    packing: Packing = ""
    inside: int = 0


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """One volume with one number a voxel, as its header describes it.

    Attributes
    ----------
    source : Path
        The file that the table names.
    size : tuple of 3 ints
        Number of columns, rows and slices as stored.
    dtype : dtype
        NumPy's type of one stored number, with its byte order.
    place : Place
        Where the numbers are.
    steps_mm : Reals of shape (3, 3)
        Each column leads from one voxel to the next: along columns, rows and slices (LPS).
    origin_mm : Reals of shape (3,)
        Centre of the first voxel (LPS).
    scale : tuple of 2 floats
        Value = stored number x the first + the second.
    notes : tuple of Finding
        What should be known about the geometry.
    flaw : str
        Why this geometry cannot be a CT's, with what to do; empty: it can. A mask's is held against its CT's.
    """

    source: Path
    size: tuple[int, int, int]
    dtype: np.dtype[Any]
    place: Place
    steps_mm: Reals = field(repr=False)
    origin_mm: Reals = field(repr=False)
    scale: tuple[float, float] = (1.0, 0.0)
    notes: tuple[Finding, ...] = ()
    flaw: str = ""

    @property
    def voxel_bytes(self) -> int:
        """Size of the stored voxels."""
        return prod(self.size) * self.dtype.itemsize


def require_volume(header: VolumeHeader) -> VolumeHeader:
    """The header; refused unless it describes one volume of a size and a geometry that a scan can have.

    Raises
    ------
    ScanError
        If there is one slice only, there are too many voxels, or the geometry is lost or impossible.
    """
    source, size = header.source, header.size
    if min(size) < 1:
        raise ScanError(f"{source}: size {size} -> one 3D volume with one value a voxel is needed")
    if size[2] < 2:
        raise ScanError(f"{source}: has one slice only -> export the whole volume")
    if header.voxel_bytes > _MOST_BYTES:
        raise ScanError(
            f"{source}: its header states {size} voxels ({header.voxel_bytes:.2g} bytes): "
            "no CT is so large -> copy or export it again"
        )
    _refuse_impossible(header)
    return header


def _refuse_impossible(header: VolumeHeader) -> None:
    """Refuse a geometry that is lost or that no scanner has.

    Raises
    ------
    ScanError
        With the voxel size.
    """
    source, steps, origin = header.source, header.steps_mm, header.origin_mm
    # Written so that no NaN passes, and nothing below overflows
    if not ((np.abs(steps) < _LARGEST).all() and (np.abs(origin) < _LARGEST).all()):
        raise ScanError(f"{source}: its geometry holds values that are no lengths in mm -> export it again")
    if np.array_equal(np.abs(steps), np.eye(3)) and not origin.any():
        raise ScanError(f"{source}: {_LOST} -> export it again with its geometry, from the original series")
    lengths = np.linalg.norm(steps, axis=0)
    shown = "x".join(f"{length:.3g}" for length in lengths)
    if lengths.min() < _FINEST_MM or lengths.max() > _COARSEST_MM or np.abs(origin).max() > _FARTHEST_MM:
        raise ScanError(
            f"{source}: voxels of {shown} mm from {', '.join(f'{value:.4g}' for value in origin)} mm on are "
            "impossible -> correct the spacing, or export it again from the original series"
        )
    if abs(np.linalg.det(steps / lengths)) < 0.1:
        raise ScanError(f"{source}: its axes lie in one plane -> export it again from the original series")
