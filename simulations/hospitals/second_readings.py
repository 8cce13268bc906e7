"""A second reading of a simulated CT, by another or the same reader: other margins, some other markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.cohort.repeated_readings import MARKERS, READINGS, Reading, column_of_reading
from common.imaging.geometry import Geometry
from common.seeds import generator
from common.types import Flags, Labels
from simulations.hospitals.patients import SimulatedPatient, TableValue

_MARGIN = 4
"""Width in voxels of the zone around the hemorrhage in which a margin may be drawn."""
_WAVE_MM = 5.0
"""Length of margin over which a reader errs to the same side."""
_SHARE = 0.5
"""Share of the included patients who are read again."""


@dataclass(frozen=True)
class Habit:
    """How a reading differs from the first.

    Attributes
    ----------
    margin_mm : float
        Standard deviation of the distance between the two margins, in the axial plane.
    wider_mm : float
        Mean distance by which the margin lies farther out.
    overlooked : float
        Probability that a marker of the first reading is missed; as many markers are added as are missed.
    """

    margin_mm: float
    wider_mm: float
    overlooked: float


HABITS: Mapping[Reading, Habit] = {"intra": Habit(0.45, 0.0, 0.03), "inter": Habit(1.0, 0.2, 0.09)}


def read_again(labels: Labels, geometry: Geometry, habit: Habit, random: np.random.Generator) -> Labels:
    """The segmentation of another reading, of the same shape; each of its voxels takes the nearest label.

    Parameters
    ----------
    labels : Labels of shape (slices, rows, columns)
        The first reading, not empty.
    geometry : Geometry
    habit : Habit
        How far the reading may differ.
    random : Generator
    """
    bounds = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    part = tuple(
        slice(max(0, axis.start - _MARGIN), min(size, axis.stop + _MARGIN))
        for axis, size in zip(bounds, labels.shape, strict=True)
    )
    x_mm, y_mm = geometry.spacing_mm
    again = np.zeros_like(labels)
    again[part] = _draw_labels(labels[part], (x_mm, y_mm), habit, random)
    return again


def _draw_labels(
    labels: Labels, pixel_mm: tuple[float, float], habit: Habit, random: np.random.Generator
) -> Labels:
    """Labels with the margin of another reading, slice by slice."""
    x_mm, y_mm = pixel_mm
    # Half of the variance is common to the whole hemorrhage: which density a reader takes for its edge
    everywhere_mm = habit.wider_mm + habit.margin_mm * random.standard_normal() / np.sqrt(2)
    noise = random.standard_normal(labels.shape)
    wave = ndimage.gaussian_filter(noise, (0, _WAVE_MM / y_mm, _WAVE_MM / x_mm), mode="wrap")
    shift_mm = everywhere_mm + habit.margin_mm * wave / wave.std() / np.sqrt(2)
    drawn = np.zeros_like(labels)
    for index, section in enumerate(labels):
        # Readers draw section by section; the reading covers the same sections as the first
        if section.any():
            drawn[index] = _draw_section(section, shift_mm[index], (y_mm, x_mm))
    return drawn


def _draw_section(section: Labels, shift_mm: np.ndarray, sampling: tuple[float, float]) -> Labels:
    """One slice with its margin moved outwards by `shift_mm`; unchanged where nothing would be left."""
    lesion: Flags = section > 0
    inside_mm = ndimage.distance_transform_edt(lesion, sampling=sampling)
    outside_mm, nearest = ndimage.distance_transform_edt(~lesion, sampling=sampling, return_indices=True)
    # The margin lies half a pixel from the centres of the pixels on either side
    depth_mm = np.where(lesion, inside_mm, -outside_mm) - np.where(lesion, 0.5, -0.5) * min(sampling)
    again = depth_mm + shift_mm > 0
    if not again.any():
        again = lesion
    return np.where(again, section[tuple(nearest)], 0).astype(section.dtype)


def choose_patients_read_again(patients: Sequence[SimulatedPatient]) -> frozenset[str]:
    """Identifiers of the patients with a second reader and a second session: every other included patient."""
    included = [patient.identifier for patient in patients if not patient.excluded]
    return frozenset(included[:: round(1 / _SHARE)])


def read_markers_again(
    patient: SimulatedPatient, shares: Mapping[str, float], seed: int
) -> dict[str, TableValue]:
    """The two further readings of the nine markers, by column.

    Parameters
    ----------
    patient : SimulatedPatient
    shares : mapping of str to float
        Share of the centre's patients in whom the first reader saw each marker; the errors preserve it.
    seed : int
        The patient's.
    """
    row: dict[str, TableValue] = {}
    for reading in READINGS:
        random = generator(seed, "markers", reading)
        for name in MARKERS:
            share, seen = shares[name], patient.shows(name)
            error = HABITS[reading].overlooked * (1.0 if seen else share / max(1 - share, share))
            row[column_of_reading(name, reading)] = int(seen != (random.random() < error))
    return row
