"""Whether a scan is as large as a head; a file that lost its spacing is not.

Volumes and crops are wrong by the ratio of the spacings, and nothing else tells. Partial scans exist, and so
do scans down to the neck, so nobody is refused: a person looks.
"""

from __future__ import annotations

import numpy as np

from common.errors import Finding, Level
from common.imaging.scan import Scan

_FIELD_MM = (120.0, 400.0)
"""Width and length of the slices; the field of view of a head is about 200 to 260 mm."""

_HEAD_MM = (100.0, 280.0)
"""Diameter of the disc that is as large as the head in its largest slice; about 170 mm in adults."""

_HEIGHT_MM = (50.0, 400.0)
"""From the lowest to the highest slice with tissue; about 120 to 180 mm."""

_LEAST_TISSUE_HU = -300
_LEAST_DISC_MM = 20.0
"""A slice with less tissue than a disc of this diameter shows no part of the head."""

_LONGEST_PIXEL = 1.15
"""Largest ratio of a pixel's sides; scanners make squares."""

_SAMPLES = 64
"""Rows and columns that are looked at, of those of a slice."""

_REMEDY = "compare its voxel size with the DICOM series: a program may have lost it"


def find_implausible_extent(scan: Scan) -> tuple[Finding, ...]:
    """A finding for each measure of the scan that no head has; empty for nearly all scans."""
    geometry = scan.geometry
    x_mm, y_mm = geometry.spacing_mm
    said = []
    width, length = x_mm * geometry.columns, y_mm * geometry.rows
    if not all(_FIELD_MM[0] <= side <= _FIELD_MM[1] for side in (width, length)):
        said.append(f"its slices are {width:.0f}x{length:.0f} mm, those of a head {_say(_FIELD_MM)}")
    if max(x_mm, y_mm) > min(x_mm, y_mm) * _LONGEST_PIXEL:
        said.append(f"its pixels are not square: {x_mm:.3g}x{y_mm:.3g} mm")
    stride = max(1, min(geometry.rows, geometry.columns) // _SAMPLES)
    sample = scan.voxels[:, ::stride, ::stride] > _LEAST_TISSUE_HU
    areas = np.count_nonzero(sample, axis=(1, 2)) * (x_mm * y_mm * stride * stride)
    discs = 2 * np.sqrt(areas / np.pi)
    if not _HEAD_MM[0] <= discs.max() <= _HEAD_MM[1]:
        said.append(f"tissue is as large as a disc of {discs.max():.0f} mm, a head of {_say(_HEAD_MM)}")
    height = float(geometry.thickness_mm[discs >= _LEAST_DISC_MM].sum())
    if not _HEIGHT_MM[0] <= height <= _HEIGHT_MM[1]:
        said.append(f"tissue is {height:.0f} mm high, a head {_say(_HEIGHT_MM)}")
    if not said:
        return ()
    return (Finding(str(scan.source), "; ".join(said), _REMEDY, Level.LOOK),)


def _say(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g} mm"
