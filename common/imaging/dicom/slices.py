"""A series' slices in the order of their true positions; doubles and gaps are found (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.options import MissingSlices
from common.types import Flags, Reals

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one position."""
ROUNDING_MM = 0.02
"""Scanners round positions to 0.01 mm: two steps may then differ by this much."""
_STEP_TOLERANCE = 0.01
"""Steps that differ by at most this share of the usual one are one spacing."""
_SHORTEST_PART = 3
"""Fewest slices in either part of a two-thickness protocol."""
_WHOLE_TOLERANCE = 0.05
"""A gap is a multiple of the usual step, up to this share of the step."""
_MOST_MISSING = 0.1
"""Largest share of slices that may be missing, if any may."""
_SPARSE = 1.5
"""Slices whose step is larger than so many times their thickness leave much of the head unseen."""
_MOST_CHANGES = 4
"""Slice Thickness that changes more often is noise, and no protocol of several thicknesses."""


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


@dataclass(frozen=True)
class SliceOrder:
    """The slices by position.

    Attributes
    ----------
    indices : tuple of int
        Of the given slices, along the normal.
    gaps : tuple of int
        Places in `indices` behind which slices are missing.
    notes : tuple of Finding
        On uneven spacing.
    """

    indices: tuple[int, ...]
    gaps: tuple[int, ...] = ()
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class _Part:
    """Neighbouring slices of one spacing.

    Attributes
    ----------
    first : int
        Place of the first slice in the order.
    steps : Reals of shape (slices - 1,)
        Between the slices, in mm.
    usual_mm : float
        The step that most of them have.
    """

    first: int
    steps: Reals
    usual_mm: float

    def find_odd(self) -> list[int]:
        """Which steps are not the usual one."""
        if np.ptp(self.steps) <= _tolerance_mm(self.usual_mm):
            return []
        odd = np.flatnonzero(~_is_near(self.steps, self.usual_mm))
        # Two steps that are both just near enough differ by too much from each other
        return [int(index) for index in odd] or [int(np.abs(self.steps - self.usual_mm).argmax())]

    def count_missed(self, index: int) -> int | None:
        """How many slices fit into a step; None if the step is no multiple of the usual one."""
        times = float(self.steps[index]) / self.usual_mm
        return round(times) - 1 if times > 1.5 and abs(times - round(times)) <= _WHOLE_TOLERANCE else None

    def stands_alone(self, index: int) -> bool:
        """Whether a step is unlike both of its neighbours, and so of no run of equal ones."""
        beside = np.r_[self.steps[max(index - 1, 0) : index], self.steps[index + 1 : index + 2]]
        return not _is_near(beside, float(self.steps[index])).any()


def order_slices(
    source: Path, slices: Sequence[SlicePosition], normal: Reals, missing: MissingSlices = "refuse"
) -> SliceOrder:
    """The slices by position along the normal, with notes on uneven spacing.

    Raises
    ------
    ScanError
        If two slices lie at one position, one is missing (unless that is allowed), or the spacing follows no
        known protocol.
    """
    heights = np.array([place.position_mm @ normal for place in slices])
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    ordered, steps = [slices[index] for index in order], np.diff(heights[order])
    if len(steps) < 1:
        raise ScanError(f"{source}: the series has one slice only -> export the whole series")
    _refuse_doubles(source, ordered, steps)
    parts = _divide(steps, [place.thickness_mm for place in ordered])
    odd = [(part, index) for part in parts for index in part.find_odd()]
    missed = [part.count_missed(index) for part, index in odd]
    lost = sum(number or 0 for number in missed)
    if odd and (missing == "refuse" or None in missed or lost > max(1, _MOST_MISSING * len(slices))):
        raise ScanError(f"{source}: {_describe_oddity(ordered, odd, missed)}")
    gaps = tuple(part.first + index for part, index in odd)
    notes = [_note_gap(source, ordered, steps, gap) for gap in gaps]
    notes += [note for part in parts for note in _note_sparse(source, ordered, part)]
    if len(parts) == 2:
        notes.insert(0, _note_two_spacings(source, parts))
    return SliceOrder(tuple(order), gaps, tuple(notes))


def _refuse_doubles(source: Path, slices: Sequence[SlicePosition], steps: Reals) -> None:
    doubled = np.flatnonzero(steps < SAME_POSITION_MM)
    if doubled.size:
        first = int(doubled[0])
        raise ScanError(
            f"{source}: {doubled.size} slice position(s) occur twice with different pixels, first in "
            f"{slices[first].name} and {slices[first + 1].name} -> remove the second acquisition"
        )


def _divide(steps: Reals, thickness_mm: Sequence[float | None]) -> list[_Part]:
    """The two parts of a two-thickness protocol, else one part.

    The headers' thickness must change exactly once: without it, nothing distinguishes a protocol from missing
    slices. The step at the change belongs to neither part, because the parts may overlap or leave a little
    between them; more than a slice of each is a gap.
    """
    whole = [_Part(0, steps, _find_usual(steps))]
    if any(value is None for value in thickness_mm):
        return whole
    known = np.array(thickness_mm, dtype=float)
    changes = np.flatnonzero(np.abs(np.diff(known)) > ROUNDING_MM)
    if len(changes) != 1 or not _SHORTEST_PART <= changes[0] + 1 <= len(known) - _SHORTEST_PART:
        return whole
    change = int(changes[0])
    below, above = steps[:change], steps[change + 1 :]
    parts = [_Part(0, below, _find_usual(below)), _Part(change + 1, above, _find_usual(above))]
    usual = [part.usual_mm for part in parts]
    limit = sum(usual) + ROUNDING_MM
    return whole if steps[change] > limit or _is_near(np.array(usual[:1]), usual[1]).all() else parts


def _find_usual(steps: Reals) -> float:
    """The step that most are near to, and the smallest of several such."""
    near = np.array([int(_is_near(steps, step).sum()) for step in steps])
    mode = float(steps[near == near.max()].min())
    return float(np.median(steps[_is_near(steps, mode)]))


def _tolerance_mm(usual_mm: float) -> float:
    return max(ROUNDING_MM, _STEP_TOLERANCE * usual_mm) + 1e-6


def _is_near(steps: Reals, usual_mm: float) -> Flags:
    return np.abs(steps - usual_mm) <= _tolerance_mm(usual_mm)


def _describe_oddity(
    slices: Sequence[SlicePosition], odd: Sequence[tuple[_Part, int]], missed: Sequence[int | None]
) -> str:
    """What is wrong with the steps, at the one that fits least: of no run of equal ones and no multiple."""
    ranked = sorted(
        zip(odd, missed, strict=True),
        key=lambda one: (not one[0][0].stands_alone(one[0][1]), one[1] is not None),
    )
    (part, index), _ = ranked[0]
    place = part.first + index
    runs = _list_thicknesses(slices)
    if 2 < len(runs) <= _MOST_CHANGES + 1:
        shown = ", ".join(f"{run:g}" for run in runs)
        return (
            f"the spacing is uneven, with Slice Thickness of {shown} mm in turn; "
            "it may change once only -> reconstruct or choose a series of one or two thicknesses"
        )
    if None in missed:
        what = "the spacing is uneven and of no two-thickness protocol"
    else:
        what = f"{sum(number or 0 for number in missed)} slice(s) are missing"
    if not part.stands_alone(index) and runs:
        what += ", though Slice Thickness does not change with it"
    return (
        f"{what}: {part.steps[index]:.3f} mm between {slices[place].name} and {slices[place + 1].name}, "
        f"{part.usual_mm:.3f} mm elsewhere -> export the whole series again"
    )


def _list_thicknesses(slices: Sequence[SlicePosition]) -> list[float]:
    """Slice Thickness of each run of equal ones, in order; empty if a slice does not state it."""
    known = [place.thickness_mm for place in slices if place.thickness_mm is not None]
    if len(known) < len(slices):
        return []
    changes = np.flatnonzero(np.abs(np.diff(known)) > ROUNDING_MM)
    return [known[0], *(known[change + 1] for change in changes)]


def _note_sparse(source: Path, slices: Sequence[SlicePosition], part: _Part) -> list[Finding]:
    """A note if slices lie much further apart than they are thick, as where every second one is missing."""
    places = slices[part.first : part.first + len(part.steps) + 1]
    known = [place.thickness_mm for place in places if place.thickness_mm]
    thickness_mm = float(np.median(known)) if known else 0.0
    if not 0 < thickness_mm * _SPARSE < part.usual_mm:
        return []
    what = (
        f"its slices lie {part.usual_mm:.3g} mm apart and are {thickness_mm:.3g} mm thick (Slice Thickness): "
        "some are missing, or the protocol leaves gaps"
    )
    remedy = "compare the number of slices with the archive; export the whole series again if it has more"
    return [Finding(str(source), what, remedy, Level.LOOK)]


def _note_two_spacings(source: Path, parts: Sequence[_Part]) -> Finding:
    below, above = parts
    what = (
        f"two slice spacings, {below.usual_mm:.3g} and {above.usual_mm:.3g} mm (from slice {above.first + 1})"
    )
    return Finding(str(source), what, "nothing to do: resampled from the true positions", Level.KNOW)


def _note_gap(source: Path, slices: Sequence[SlicePosition], steps: Reals, gap: int) -> Finding:
    what = f"slices are missing: {steps[gap]:.3f} mm between {slices[gap].name} and {slices[gap + 1].name}"
    remedy = "look for the missing files; the plan allows a gap that is far from the lesion"
    return Finding(str(source), what, remedy, Level.LOOK)
