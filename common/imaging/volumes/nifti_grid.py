"""Where a NIfTI file's voxels lie, of the up to three grids that its header states.

The header may hold a grid without orientation (`pixdim`), an orthogonal one (`qform`) and any (`sform`). ITK
takes the `qform` without a word where the two differ: in sheared files of tilted scans volumes and crops are
then wrong. Here the `sform` counts; where the two contradict each other, a person is asked to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.volumes.sheared import undo_shear_of_space
from common.types import Reals

_LPS = np.array([-1.0, -1.0, 1.0])
"""NIfTI's coordinates point to the right and the front, DICOM's to the left and the back."""

_SAME_MM = 0.05
"""Grids whose corners lie nearer than this are the same."""

_SAME_LENGTH = 1e-3
"""Largest relative difference between steps that count as equal."""

_SQUARE = 5e-3
"""Largest relative difference between the sides of a CT's pixels."""

_UPRIGHT = 1e-3
"""Largest cosine between axes that count as perpendicular."""

_USE_DICOM = "-> use the DICOM series itself, which states the true positions"


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """What a NIfTI header states of its grid, in its own unit.

    Attributes
    ----------
    source : Path
        The file, for messages.
    size : tuple of 3 ints
        Columns, rows, slices.
    pixdim : array of shape (4,)
        Handedness of the quaternion's grid, and the steps.
    quaternion : array of shape (6,) or None
        b, c, d and the offset of the `qform`; None where its code is 0.
    sform : array of shape (3, 4) or None
        Steps and offset of the `sform`; None where its code is 0.
    unit_mm : float
        Millimetres in its unit.
    in_template : bool
        Whether the `sform` leads to a template's space instead of the patient's.
    """

    source: Path
    size: tuple[int, int, int]
    pixdim: Reals
    quaternion: Reals | None
    sform: Reals | None
    unit_mm: float
    in_template: bool


@dataclass(frozen=True, eq=False)
class ChosenGrid:
    """The grid that counts, in the patient's coordinates (LPS).

    Attributes
    ----------
    steps_mm : Reals of shape (3, 3)
        Each column leads from one voxel to the next.
    origin_mm : Reals of shape (3,)
        Centre of the first voxel.
    notes : tuple of Finding
        What should be known about it.
    flaw : str
        Why it cannot be a CT's; empty: it can.
    """

    steps_mm: Reals
    origin_mm: Reals
    notes: tuple[Finding, ...] = ()
    flaw: str = ""


def choose_grid(stored: StoredGrid) -> ChosenGrid:
    """The grid of a NIfTI file.

    Raises
    ------
    ScanError
        If the grid that counts is not complete.
    """
    lengths = np.abs(stored.pixdim[1:]) * stored.unit_mm
    has_spacing = bool(np.isfinite(lengths).all() and lengths.min() > 0)
    if stored.sform is None and not has_spacing:
        raise ScanError(
            f"{stored.source}: its spacing is {'x'.join(f'{length:g}' for length in lengths)} mm: lost by a "
            "program that wrote it -> export it again from the original series"
        )
    rotated = None if stored.quaternion is None or not has_spacing else _build_rotated(stored, lengths)
    if stored.sform is None:
        return rotated or _lay_without_orientation(stored, lengths)
    sheared = _convert(stored, stored.sform[:, :3], stored.sform[:, 3])
    scale = np.linalg.norm(sheared.steps_mm, axis=0)
    is_sound = np.isfinite(scale).all() and scale.min() > 0 and np.isfinite(sheared.origin_mm).all()
    if not is_sound or abs(np.linalg.det(sheared.steps_mm / scale)) < _UPRIGHT:
        raise ScanError(f"{stored.source}: its sform is not complete {_USE_DICOM}")
    if rotated is None:
        return _take_sform(stored, sheared, lengths)
    corners = np.array(np.meshgrid(*[(0, count - 1) for count in stored.size])).reshape(3, 8)
    apart = (sheared.steps_mm - rotated.steps_mm) @ corners + (sheared.origin_mm - rotated.origin_mm)[:, None]
    if np.abs(apart).max() <= _SAME_MM:
        return _take_sform(stored, sheared, lengths)
    return _settle(stored, sheared, rotated, lengths)


def _convert(stored: StoredGrid, steps: Reals, offset: Reals) -> ChosenGrid:
    """A grid of the header in the patient's coordinates and millimetres."""
    scale = _LPS * stored.unit_mm
    return ChosenGrid(steps * scale[:, None], offset * scale)


def _build_rotated(stored: StoredGrid, lengths: Reals) -> ChosenGrid:
    """The grid of the `qform` (nifti1.h, method 2).

    Raises
    ------
    ScanError
        If it holds values that are not numbers, or its quaternion is none.
    """
    quaternion = stored.quaternion
    if quaternion is None or not np.isfinite(quaternion).all() or np.abs(quaternion[:3]).max() > 1.01:
        raise ScanError(f"{stored.source}: its qform is damaged -> export it again from the original series")
    b, c, d = (float(value) for value in quaternion[:3])
    rest = 1.0 - (b * b + c * c + d * d)
    a = 0.0
    if rest < 1e-7:
        b, c, d = np.array([b, c, d]) / np.sqrt(b * b + c * c + d * d)
    else:
        a = float(np.sqrt(rest))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    if stored.pixdim[0] < 0:
        rotation[:, 2] = -rotation[:, 2]
    # In single precision, as the reference implementation keeps them: the same file, the same bits
    steps = (rotation * np.abs(stored.pixdim[1:])).astype(np.float32)
    rotated = _convert(stored, steps.astype(np.float64), quaternion[3:])
    directions = rotated.steps_mm / np.linalg.norm(rotated.steps_mm, axis=0)
    return ChosenGrid(directions * lengths, rotated.origin_mm)


def _lay_without_orientation(stored: StoredGrid, lengths: Reals) -> ChosenGrid:
    """The grid that ITK assumes where the header states none (nifti1.h, method 1, states no direction)."""
    what = "the file states no orientation (qform and sform have the code 0): left and right may be swapped"
    return ChosenGrid(
        np.diag(lengths), np.zeros(3), (_ask(stored, what, "check left and right, or use the DICOM series"),)
    )


def _take_sform(stored: StoredGrid, sheared: ChosenGrid, lengths: Reals) -> ChosenGrid:
    """The `sform`, with the steps' lengths from `pixdim` where they are the same, which has fewer roundings.

    Raises
    ------
    ScanError
        If it is sheared, and not as any scanner can have it.
    """
    steps = sheared.steps_mm
    norms = np.linalg.norm(steps, axis=0)
    axes = steps / norms
    if np.abs(axes.T @ axes - np.eye(3)).max() > _UPRIGHT:
        return _take_sheared(stored, sheared, lengths)
    if _are_equal(norms, lengths):
        return ChosenGrid(axes * lengths, sheared.origin_mm)
    if not (np.isfinite(lengths).all() and lengths.min() > 0):
        return sheared
    what = f"pixdim states voxels of {_show(lengths)} mm, its sform {_show(norms)} mm, which was used"
    note = _ask(stored, what, "check the spacing against the DICOM series")
    return ChosenGrid(steps, sheared.origin_mm, (note,))


def _take_sheared(stored: StoredGrid, sheared: ChosenGrid, lengths: Reals) -> ChosenGrid:
    """The true grid behind a sheared `sform`.

    Raises
    ------
    ScanError
        If it is not clear which it is.
    """
    steps, origin = sheared.steps_mm, sheared.origin_mm
    norms = np.linalg.norm(steps, axis=0)
    axes = steps / norms
    if abs(axes[:, 0] @ axes[:, 1]) <= _UPRIGHT and _are_equal(norms[:2], lengths[:2]):
        flaw = ""
        if abs(norms[0] / norms[1] - 1) > _SQUARE:
            what = f"it is tilted, and its pixels ({_show(norms[:2])} mm) are not square: sheared wrongly"
            flaw = f"{what} {_USE_DICOM}"
        return ChosenGrid(steps, origin, (_note_tilt(stored, steps),), flaw)
    true = undo_shear_of_space(steps, lengths)
    if true is None:
        raise ScanError(
            f"{stored.source}: its sform is sheared, and its pixdim ({_show(lengths)} mm) does not say how "
            f"{_USE_DICOM}"
        )
    return ChosenGrid(true, origin, (_note_tilt(stored, true),))


def _settle(stored: StoredGrid, sheared: ChosenGrid, rotated: ChosenGrid, lengths: Reals) -> ChosenGrid:
    """The grid that counts where `sform` and `qform` differ, with a note of what to look at.

    Raises
    ------
    ScanError
        If the `sform` is sheared, and it is not clear how.
    """
    norms = np.linalg.norm(sheared.steps_mm, axis=0)
    axes = sheared.steps_mm / norms
    if ((axes * rotated.steps_mm).sum(axis=0) < 0).any():
        what, chosen = "mirror each other: left and right, or head and feet, may be swapped", sheared
    elif np.abs(axes.T @ axes - np.eye(3)).max() > _UPRIGHT and not stored.in_template:
        return _take_sheared(stored, sheared, lengths)
    elif not _are_equal(norms, lengths):
        what = f"state voxels of different sizes ({_show(norms)} and {_show(lengths)} mm)"
        chosen = rotated if stored.in_template else sheared
    else:
        what, chosen = "put the voxels at different places", rotated if stored.in_template else sheared
    used = "sform" if chosen is sheared else "qform"
    what = f"its sform and qform {what}; the {used} was used"
    note = _ask(stored, what, "compare it with the DICOM series")
    return ChosenGrid(chosen.steps_mm, chosen.origin_mm, (note,))


def _are_equal(norms: Reals, lengths: Reals) -> bool:
    return bool((np.abs(norms - lengths) <= _SAME_LENGTH * norms).all())


def _note_tilt(stored: StoredGrid, steps: Reals) -> Finding:
    normal = np.cross(steps[:, 0], steps[:, 1])
    cosine = abs(normal @ steps[:, 2]) / (np.linalg.norm(normal) * np.linalg.norm(steps[:, 2]))
    what = f"gantry tilt of {float(np.degrees(np.arccos(np.minimum(cosine, 1.0)))):.1f} degrees"
    remedy = "nothing to do: corrected from the file's sform"
    return Finding(str(stored.source), what, remedy, Level.KNOW)


def _ask(stored: StoredGrid, what: str, remedy: str) -> Finding:
    return Finding(str(stored.source), what, remedy, Level.LOOK)


def _show(lengths: Reals) -> str:
    return "x".join(f"{length:.4g}" for length in lengths)
