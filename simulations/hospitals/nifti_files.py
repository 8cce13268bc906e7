"""Simulated scans and masks as NIfTI files, as ITK-SNAP and converters write them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.imaging.geometry import Geometry
from common.types import Reals

_FASTEST = 1


def write_nifti(path: Path, voxels: NDArray[Any], geometry: Geometry) -> None:
    """Write the voxels as .nii.gz: the first slice's grid, the others at even steps along its normal.

    A tilted series is written as ITK, and so ITK-SNAP, reads it: upright, each voxel keeps its index.

    Parameters
    ----------
    path : Path
    voxels : array of shape (slices, rows, columns)
    geometry : Geometry
        Of the same shape.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from nibabel.nifti1 import Nifti1Image

    image = Nifti1Image(voxels.transpose(2, 1, 0), affine_of(geometry))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    # No time stamp, so that the same voxels give the same bytes
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=_FASTEST, mtime=0))


def affine_of(geometry: Geometry) -> Reals:
    """The 4 x 4 matrix from indices (column, row, slice) to NIfTI's RAS coordinates in mm."""
    x_mm, y_mm = geometry.spacing_mm
    step_mm = float(np.linalg.norm(geometry.positions_mm[1] - geometry.positions_mm[0]))
    matrix = np.eye(4)
    matrix[:3, :3] = (geometry.frame * np.array([[x_mm], [y_mm], [step_mm]])).T
    matrix[:3, 3] = geometry.positions_mm[0]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
