"""Whether a mask marks air, fat or bone: of a hematoma, that can be a small share of its voxels only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.scan import Hounsfield

_FAT_HU, _BONE_HU = -20, 150
"""Darker is air or fat, brighter is bone, calcification or metal. Blood is neither."""
_MOST_USUAL = 0.05
"""Of 456 sound simulated masks the most was 0.03: partial volume at the skull's inner table."""
_LEAST_IMPOSSIBLE = 0.5
"""Calcification, a drain, metal with its streaks, or the inner table beside a thin hematoma take up less."""


def is_mostly_tissue(hu: Hounsfield) -> bool:
    """Whether nearly all of these voxels may be blood or brain."""
    return sum(_measure_shares(hu)) <= _MOST_USUAL


def refuse_outside_tissue(source: Path, name: str, hu: Hounsfield) -> None:
    """Refuse what lies half in air, fat or bone.

    Parameters
    ----------
    source : Path
        The mask's file.
    name : str
        What is marked.
    hu : Hounsfield of shape (voxels,)
        Of the marked voxels.

    Raises
    ------
    ScanError
        If half of the voxels, or more, cannot be blood.
    """
    if sum(_measure_shares(hu)) >= _LEAST_IMPOSSIBLE:
        raise ScanError(
            f"{source}: {_describe(name, hu)}, together half or more -> find the mask of this CT; check "
            "whether it is shifted or flipped"
        )


def note_outside_tissue(source: Path, name: str, hu: Hounsfield) -> Iterator[Finding]:
    """A note if more of what is marked is air, fat or bone than partial volume explains."""
    if not is_mostly_tissue(hu):
        remedy = "check that the mask is not shifted; nothing to do for a calcification, a drain or metal"
        yield Finding(str(source), _describe(name, hu), remedy, Level.LOOK)


def _measure_shares(hu: Hounsfield) -> tuple[float, float]:
    """Shares of the voxels that are darker, and brighter, than tissue."""
    return np.count_nonzero(hu < _FAT_HU) / hu.size, np.count_nonzero(hu > _BONE_HU) / hu.size


def _describe(name: str, hu: Hounsfield) -> str:
    dark, bright = _measure_shares(hu)
    return (
        f"of the {name}'s voxels {dark:.0%} are air or fat (below {_FAT_HU:g} HU) and {bright:.0%} bone, "
        f"calcification or metal (above {_BONE_HU:g} HU)"
    )
