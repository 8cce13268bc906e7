"""Check that intensities are Hounsfield units: air about -1000, brain 20 to 45, hematoma 50 to 90.

`dicom` converts stored values to Hounsfield units.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.errors import ScanError
from common.imaging.scan import Hounsfield, Scan

AIR_HU = -1000
"""Intensity of air; fills everything beyond the scan."""

LOWEST_HU = -1024
"""Anything darker is the scanner's padding, not tissue, and is replaced by air."""

_LEAST_AIR = 0.01
_LEAST_SOFT_TISSUE = 0.02


def require_hounsfield(scan: Scan) -> Scan:
    """The scan with padding replaced by air; refused unless its intensities can be HU of a head.

    Raises
    ------
    ScanError
        If a value is not finite, or there is no air or hardly any soft tissue, as in a scan that was stored
        without its rescale.
    """
    if scan.voxels.dtype.kind == "f" and not np.isfinite(scan.voxels).all():
        raise ScanError(
            f"{scan.source}: holds values that are not numbers (NaN or infinite) -> export it again"
        )
    scan = replace(scan, voxels=_replace_padding(scan.voxels))
    # Every eighth row and column suffice, at a sixty-fourth of the cost
    sample = scan.voxels[:, ::8, ::8]
    air = float(np.mean(sample < -500))
    soft = float(np.mean((sample > -20) & (sample < 100)))
    if air < _LEAST_AIR:
        raise ScanError(
            f"{scan.source}: not in Hounsfield units: {air:.1%} of voxels are air, the darkest is "
            f"{sample.min():g} -> export the CT with its rescale applied, and with the air around the head"
        )
    if soft < _LEAST_SOFT_TISSUE:
        raise ScanError(
            f"{scan.source}: not a calibrated head CT: only {soft:.1%} of voxels lie between -20 and 100 HU "
            "-> check rescale slope and intercept, and that the file is the CT"
        )
    return scan


def _replace_padding(voxels: Hounsfield) -> Hounsfield:
    if voxels.min() >= LOWEST_HU:
        return voxels
    filled = voxels.copy()
    filled[filled < LOWEST_HU] = AIR_HU
    return filled
