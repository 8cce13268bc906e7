"""What another reader, or the same one later, makes of a simulated CT: other margins, some other markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.cohort.readings import MARKERS, READINGS, Reading, repeated_column
from common.imaging.geometry import Geometry
from common.seeds import generator
from common.types import Flags, Labels
from simulations.cohort import SimulatedPatient, Value

_MARGIN = 4
"""Voxels around the hemorrhage within which a margin may be drawn."""
_WAVE_MM = 5.0
"""Over how much of the margin a reader errs to one side."""
_SHARE = 0.5
"""Of the included patients, read again."""


@dataclass(frozen=True)
class Habit:
    """How a reading differs from the first.

    Attributes
    ----------
    margin_mm : float
        Standard deviation of the distance between the margins, in the plane.
    wider_mm : float
        By how much all of the margin lies farther out.
    overlooked : float
        Probability that a marker of the first reading is not seen; as many are seen that were not there.
    """

    margin_mm: float
    wider_mm: float
    overlooked: float


HABITS: Mapping[Reading, Habit] = {"intra": Habit(0.45, 0.0, 0.03), "inter": Habit(1.0, 0.2, 0.09)}


def read_again(labels: Labels, geometry: Geometry, habit: Habit, random: np.random.Generator) -> Labels:
    """The segmentation of another reading, of the same shape; every voxel of it has the nearest label.

    Parameters
    ----------
    labels : Labels of shape (slices, rows, columns)
        The first reading, not empty.
    """
    found = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    part = tuple(
        slice(max(0, axis.start - _MARGIN), min(size, axis.stop + _MARGIN))
        for axis, size in zip(found, labels.shape, strict=True)
    )
    x_mm, y_mm = geometry.spacing_mm
    drawn = _drawn(labels[part], (x_mm, y_mm), habit, random)
    again = np.zeros_like(labels)
    again[part] = drawn
    return again


def _drawn(
    labels: Labels, pixel_mm: tuple[float, float], habit: Habit, random: np.random.Generator
) -> Labels:
    x_mm, y_mm = pixel_mm
    # Half of the variance is of the whole hemorrhage: what a reader takes for its edge
    everywhere_mm = habit.wider_mm + habit.margin_mm * random.standard_normal() / np.sqrt(2)
    noise = random.standard_normal(labels.shape)
    wave = ndimage.gaussian_filter(noise, (0, _WAVE_MM / y_mm, _WAVE_MM / x_mm), mode="wrap")
    shift_mm = everywhere_mm + habit.margin_mm * wave / wave.std() / np.sqrt(2)
    drawn = np.zeros_like(labels)
    for index, section in enumerate(labels):
        # Readers draw section by section; none is begun or left out
        if section.any():
            drawn[index] = _section(section, shift_mm[index], (y_mm, x_mm))
    return drawn


def _section(section: Labels, shift_mm: np.ndarray, sampling: tuple[float, float]) -> Labels:
    lesion: Flags = section > 0
    inside_mm = ndimage.distance_transform_edt(lesion, sampling=sampling)
    outside_mm, nearest = ndimage.distance_transform_edt(~lesion, sampling=sampling, return_indices=True)
    # The margin runs half a pixel from the centres on either side of it
    depth_mm = np.where(lesion, inside_mm, -outside_mm) - np.where(lesion, 0.5, -0.5) * min(sampling)
    again = depth_mm + shift_mm > 0
    if not again.any():
        again = lesion
    return np.where(again, section[tuple(nearest)], 0).astype(section.dtype)


def patients_read_again(patients: Sequence[SimulatedPatient]) -> frozenset[str]:
    """Identifiers of those of whom a second reader and a second session exist: every other included one."""
    included = [patient.identifier for patient in patients if not patient.excluded]
    return frozenset(included[:: round(1 / _SHARE)])


def markers_read_again(patient: SimulatedPatient, shares: Mapping[str, float], seed: int) -> dict[str, Value]:
    """Both further readings of the nine markers, by column.

    Parameters
    ----------
    shares : mapping of str to float
        How often the first reader saw each marker at the centre: errors are made so that readings keep it.
    """
    row: dict[str, Value] = {}
    for reading in READINGS:
        random = generator(seed, "markers", reading)
        for name in MARKERS:
            share, seen = shares[name], patient.shows(name)
            error = HABITS[reading].overlooked * (1.0 if seen else share / max(1 - share, share))
            row[repeated_column(name, reading)] = int(seen != (random.random() < error))
    return row
