"""A series' slices in the order of their true positions; gaps and duplicates refused (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import Finding, ScanError
from common.types import Reals

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one position."""
_STEP_TOLERANCE = 0.01
"""Steps that differ by at most this share of the median are one spacing."""
_SHORTEST_RUN = 2
"""Fewest steps in either part of a two-thickness protocol."""
_THICKNESS_TOLERANCE = 0.05
"""Largest share by which Slice Thickness may differ from the spacing."""


@dataclass(frozen=True, eq=False)
class SlicePosition:
    """What a slice's header says about its position.

    Attributes
    ----------
    name : str
        File name, for messages.
    position_mm : Reals of shape (3,)
        Image Position (Patient).
    thickness_mm : float or None
        Slice Thickness; None where the header lacks it.
    """

    name: str
    position_mm: Reals
    thickness_mm: float | None


def order_slices(
    source: Path, slices: Sequence[SlicePosition], normal: Reals
) -> tuple[list[int], tuple[Finding, ...]]:
    """Indices of the slices by position along the normal, and notes on uneven spacing.

    Raises
    ------
    ScanError
        If two slices lie at one position, one is missing, or the spacing follows no known protocol.
    """
    heights = np.array([place.position_mm @ normal for place in slices])
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    steps = np.diff(heights[order])
    if len(steps) < 1:
        raise ScanError(f"{source}: the series has one slice only -> export the whole series")
    _refuse_doubles(source, [slices[index] for index in order], steps)
    if steps.max() - steps.min() <= _STEP_TOLERANCE * np.median(steps):
        return order, ()
    change = _find_thickness_change(steps, [slices[index].thickness_mm for index in order])
    if change is None:
        raise ScanError(_describe_gap(source, [slices[index] for index in order], steps))
    note = Finding(
        str(source),
        f"two slice spacings, {steps[0]:.3g} and {steps[-1]:.3g} mm (from slice {change + 1})",
        "nothing to do: resampled from the true positions",
    )
    return order, (note,)


def _refuse_doubles(source: Path, slices: Sequence[SlicePosition], steps: Reals) -> None:
    doubled = np.flatnonzero(steps < SAME_POSITION_MM)
    if doubled.size:
        first = int(doubled[0])
        raise ScanError(
            f"{source}: {doubled.size} slice position(s) occur twice, first in {slices[first].name} and "
            f"{slices[first + 1].name} -> remove the copies or the second acquisition"
        )


def _find_thickness_change(steps: Reals, thickness_mm: Sequence[float | None]) -> int | None:
    """Index of the first slice of the second part of a two-thickness protocol; None if it is none.

    Each part has one spacing over at least two steps. Between the parts there may be one step of half of
    each: the distance between the centres of contiguous slices of different thickness. The headers' thickness
    must change where the spacing does; without it, nothing distinguishes a protocol from missing slices.
    """
    changes = np.flatnonzero(np.abs(np.diff(steps)) > _STEP_TOLERANCE * steps[:-1]) + 1
    if len(changes) == 2 and changes[1] == changes[0] + 1:
        middle = (steps[0] + steps[-1]) / 2
        if abs(steps[changes[0]] - middle) > _STEP_TOLERANCE * middle:
            return None
        change = int(changes[1])
    elif len(changes) == 1:
        change = int(changes[0])
    else:
        return None
    if min(changes[0], len(steps) - change) < _SHORTEST_RUN:
        return None
    first, second = thickness_mm[: changes[0]], thickness_mm[change + 1 :]
    parts = ((first, float(steps[0])), (second, float(steps[-1])))
    return change if all(_thickness_fits(part, step) for part, step in parts) else None


def _thickness_fits(thickness_mm: Sequence[float | None], step_mm: float) -> bool:
    return all(
        value is not None and abs(value - step_mm) <= _THICKNESS_TOLERANCE * step_mm for value in thickness_mm
    )


def _describe_gap(source: Path, slices: Sequence[SlicePosition], steps: Reals) -> str:
    usual = float(np.median(steps))
    widest = int(np.argmax(np.abs(steps - usual)))
    times = steps[widest] / usual
    what = (
        f"{round(times) - 1} slice(s) are missing"
        if times > 1.5 and abs(times - round(times)) < 0.05
        else "the spacing is uneven and of no two-thickness protocol"
    )
    return (
        f"{source}: {what}: {steps[widest]:.3f} mm between {slices[widest].name} and "
        f"{slices[widest + 1].name}, {usual:.3f} mm elsewhere -> export the whole series again"
    )
