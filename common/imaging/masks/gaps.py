"""Missing slices and the lesion: a gap is harmless only where the lesion cannot reach it."""

from __future__ import annotations

import numpy as np

from common.errors import ScanError
from common.imaging.scan import Scan
from common.types import Labels

_NEAR_SLICES = 1
_NEAR_MM = 10.0
"""A gap within one slice or 10 mm of the lesion is near it."""


def refuse_gap_near_lesion(scan: Scan, labels: Labels) -> None:
    """Refuse a scan that lacks slices near the lesion.

    Parameters
    ----------
    scan : Scan
        The CT.
    labels : Labels of shape (slices, rows, columns)
        On its grid; 0 where there is no lesion.

    Raises
    ------
    ScanError
        If a gap is within one slice or 10 mm of the lesion.
    """
    if not scan.gaps:
        return
    marked = np.flatnonzero(labels.any(axis=(1, 2)))
    heights_mm = scan.geometry.offsets_mm[:, 2]
    for gap in scan.gaps:
        # Slices of the lesion below the gap count from its lower side, those above from its upper side
        ends = np.where(marked <= gap, gap, gap + 1)
        slices, apart_mm = np.abs(marked - ends), np.abs(heights_mm[marked] - heights_mm[ends])
        if ((slices <= _NEAR_SLICES) | (apart_mm < _NEAR_MM)).any():
            raise ScanError(
                f"{scan.source}: slices are missing {apart_mm.min():.1f} mm from the lesion "
                f"({heights_mm[gap + 1] - heights_mm[gap]:.1f} mm between slices {gap + 1} and {gap + 2}, "
                "counted from the feet) -> find the missing files, or exclude the patient"
            )
