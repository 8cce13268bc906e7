"""Check that intensities are Hounsfield units: air about -1000, brain 25 to 40, hematoma 50 to 90.

`dicom` converts stored values to Hounsfield units; `intensity` finds the modes of air and of brain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.intensity import (
    BRAIN_HU,
    Intensities,
    IntensitySample,
    measure_intensities,
    sample_voxels,
)
from common.imaging.scan import Hounsfield, Scan

AIR_HU = -1000
"""Intensity of air; fills everything beyond the scan."""

LOWEST_HU = -1024
"""Anything darker is the scanner's padding, not tissue, and is replaced by air."""

_LEAST_AIR = 0.01
_MOST_DARK = 0.01
_LEAST_SOFT_TISSUE = 0.02
_LEAST_OF_BODY = 0.4
"""Soft tissue makes up at least this share of what is no air, however much bone a scan shows."""
_BRIGHTEST_CORNER_HU = 200.0
_DARKEST_TISSUE_HU = -500.0
_GREY_LEVELS = 255
_POSSIBLE_BRAIN_HU = (-35.0, 100.0)
"""A scan whose brain lies beyond is refused: it is shifted by more than about 65 HU."""
_USUAL_BRAIN_HU = (10.0, 60.0)
_ONE_SHIFT_HU = 40.0
"""The brain is off because the whole scan is shifted, if air is off by the same, to so many HU."""
_LEAST_SHIFT_HU = 18.0
"""Air and brain that are both off by as much, to the same side, show that the whole scan is shifted."""

_STRIPPED_SOFT, _STRIPPED_BONE, _STRIPPED_SATURATED = 0.9, 0.002, 0.01
"""A brain without its skull is nearly all soft tissue, without bone, and not cut off at a window's end."""

_CAUSES = (
    ((1.0, -1024.0), "every value is about 1024 too high: stored values without the rescale"),
    ((1.0, -1000.0), "every value is about 1000 too high: stored values without the rescale"),
    ((1.0, 1024.0), "every value is about 1024 too low: the rescale was applied twice"),
    ((-1.0, 0.0), "inverted: air is bright and bone is dark"),
)
"""Linear changes after which a scan would be in HU, and what then happened to it."""


def require_hounsfield(scan: Scan) -> Scan:
    """The scan with padding replaced by air, and with notes on its values; refused unless they can be HU.

    Raises
    ------
    ScanError
        If a value is not finite, or the values, padding set apart, are not those of a head in HU, as in a
        scan that was stored without its rescale, inverted, or exported as a picture.
    """
    if scan.voxels.dtype.kind == "f" and not np.isfinite(scan.voxels).all():
        raise ScanError(
            f"{scan.source}: holds values that are not numbers (NaN or infinite) -> export it again"
        )
    sample = sample_voxels(scan.voxels)
    seen = measure_intensities(sample)
    if not _is_head(seen):
        raise ScanError(f"{scan.source}: not in Hounsfield units: {_find_cause(seen, sample)}")
    notes = _note_intensities(str(scan.source), seen)
    return replace(scan, voxels=_replace_padding(scan.voxels), notes=(*scan.notes, *notes))


def _is_head(seen: Intensities) -> bool:
    """Whether the values can be those of a head in HU, if perhaps shifted a little."""
    if seen.brain_hu is None or not _lies_within(seen.brain_hu, _POSSIBLE_BRAIN_HU):
        return False
    if not _has_usual_brain(seen) and not _is_one_shift(seen):
        return False
    tissue = seen.soft >= _LEAST_SOFT_TISSUE and seen.body >= _LEAST_OF_BODY and seen.dark <= _MOST_DARK
    surrounded = seen.air >= _LEAST_AIR and seen.corner < _BRIGHTEST_CORNER_HU
    return tissue and (surrounded or _is_stripped(seen))


def _is_one_shift(seen: Intensities) -> bool:
    """Whether brain and air are shifted alike, as far as air tells."""
    if seen.brain_hu is None or seen.air_hu is None:
        return True
    return abs((seen.air_hu - AIR_HU) - (seen.brain_hu - BRAIN_HU)) <= _ONE_SHIFT_HU


def _is_stripped(seen: Intensities) -> bool:
    """Whether a program removed everything but the brain and wrote one value in its place."""
    return (
        seen.background is not None
        and _has_usual_brain(seen)
        and (seen.background <= 0 or seen.air >= _LEAST_AIR)
        and seen.body >= _STRIPPED_SOFT
        and seen.bone <= _STRIPPED_BONE
        and seen.saturated <= _STRIPPED_SATURATED
    )


def _has_usual_brain(seen: Intensities) -> bool:
    return seen.brain_hu is not None and _lies_within(seen.brain_hu, _USUAL_BRAIN_HU)


def _lies_within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _find_cause(seen: Intensities, sample: IntensitySample) -> str:
    """What the values can be instead, and what to do."""
    remedy = "export the CT with its rescale slope and intercept applied"
    for (slope, intercept), cause in _CAUSES:
        changed = measure_intensities(sample.scale(slope, intercept))
        if (
            _is_head(changed)
            and changed.corner < _DARKEST_TISSUE_HU
            and _has_usual_brain(changed)
            and _is_one_shift(changed)
        ):
            return f"{cause} -> {remedy}"
    span = f"the values lie between {seen.lowest:g} and {seen.highest:g}"
    if seen.highest - seen.lowest <= _GREY_LEVELS:
        return (
            f"{span}: grey levels of a windowed picture, which has lost air and bone -> export the CT itself"
        )
    if seen.air < _LEAST_AIR:
        return (
            f"{seen.air:.1%} of the voxels are air, {span} -> {remedy}, not clipped, and with the air around "
            "the head"
        )
    if seen.brain_hu is not None and not _has_usual_brain(seen):
        air = "" if seen.air_hu is None else f" and air {seen.air_hu:.0f} instead of {AIR_HU}"
        return (
            f"the brain has {seen.brain_hu:.0f} HU instead of 25 to 40{air}: shifted by about "
            f"{seen.brain_hu - BRAIN_HU:+.0f} -> check rescale slope and intercept"
        )
    return (
        f"only {seen.soft:.1%} of the voxels are soft tissue ({seen.body:.0%} of what is no air), {span} "
        "-> check rescale slope and intercept, and that the file is the CT of a head"
    )


def _note_intensities(where: str, seen: Intensities) -> tuple[Finding, ...]:
    """A note on a scan that is shifted, or of which the skull was removed."""
    shift = _find_shift(seen)
    if shift:
        air = "" if seen.air_hu is None else f", air {seen.air_hu:.0f} instead of {AIR_HU}"
        what = (
            f"the scan seems shifted by about {shift:+.0f} HU: the brain has {seen.brain_hu:.0f} HU "
            f"instead of 25 to 40{air}"
        )
        return (Finding(where, what, "check rescale slope and intercept, and export it again", Level.LOOK),)
    if seen.background is not None and not LOWEST_HU <= seen.background < 0 and _is_stripped(seen):
        what = f"skull and air were removed: {seen.background:g} stands everywhere outside the brain"
        return (Finding(where, what, "nothing to do", Level.KNOW),)
    return ()


def _find_shift(seen: Intensities) -> float:
    """By how many HU the whole scan is shifted; 0 where it does not seem to be."""
    if seen.brain_hu is None:
        return 0.0
    brain = seen.brain_hu - BRAIN_HU
    air = 0.0 if seen.air_hu is None else seen.air_hu - AIR_HU
    if min(abs(air), abs(brain)) >= _LEAST_SHIFT_HU and (air > 0) == (brain > 0):
        return max(air, brain, key=abs)
    return 0.0 if _has_usual_brain(seen) else brain


def _replace_padding(voxels: Hounsfield) -> Hounsfield:
    if voxels.min() >= LOWEST_HU:
        return voxels
    filled = voxels.copy()
    filled[filled < LOWEST_HU] = AIR_HU
    return filled
