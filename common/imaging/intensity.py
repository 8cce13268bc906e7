"""What a scan's values are: the modes of air and brain, with padding set apart; and what they can be instead.

Air is -1000 HU, brain 25 to 40. Padding is not tissue: a scanner writes one value (-2000, -3024) everywhere
outside its circle, a program that removes the skull writes one value (0, -1024) everywhere outside the brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.types import Reals

BRAIN_HU = 33.0
"""Typical median of grey and white matter together."""

_STEP = 8
_SLICES = 40
"""About so many slices, and every eighth row and column, suffice."""

_PADDING_HU = -1200.0
"""A value that fills the corners and is darker is no air, however far the scan is shifted."""
_AIR_RANGE = (_PADDING_HU, -850.0)
_CLAMPED = (-1026.0, -1020.0)
"""Where scanners cut off: air that is one such value everywhere says nothing of a shift."""
_BODY_HU = -300.0
_SOFT_RANGE = (-60.0, 160.0)
_BONE_HU = 300.0
_FILLS_CORNERS = 0.25
"""A value in so large a share of the corners was written there, not measured."""


@dataclass(frozen=True, eq=False)
class IntensitySample:
    """Some of a scan's voxels.

    Attributes
    ----------
    values : Reals of shape (slices, rows, columns)
        Of the whole scan, thinned out.
    corners : Reals of shape (slices, 4)
        The corner voxels of the same slices.
    """

    values: Reals
    corners: Reals

    def scale(self, slope: float, intercept: float) -> IntensitySample:
        """The same voxels after a linear change of their values."""
        return IntensitySample(self.values * slope + intercept, self.corners * slope + intercept)


@dataclass(frozen=True)
class Intensities:
    """What a scan's values are.

    Attributes
    ----------
    lowest, highest, corner : float
        The extremes, and the median of the corners.
    background : float or None
        The value that fills at least half of the corners exactly.
    dark, air, soft, body : float
        Shares: of what is darker than air, of air and of soft tissue in all but padding; of soft tissue in
        all that is no air.
    bone : float
        Share of bone and metal in all that is no air.
    saturated : float
        Share of the highest value in all that is no air.
    air_hu, brain_hu : float or None
        Modes of air and of brain; None where they cannot be told.
    """

    lowest: float
    highest: float
    corner: float
    background: float | None
    dark: float
    air: float
    soft: float
    body: float
    bone: float
    saturated: float
    air_hu: float | None
    brain_hu: float | None


def sample_voxels(voxels: NDArray[np.int16] | NDArray[np.float32]) -> IntensitySample:
    """A sixty-fourth of the voxels, of at most 80 slices, and these slices' corners."""
    part = voxels[:: max(len(voxels) // _SLICES, 1)]
    corners = part[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    return IntensitySample(part[:, ::_STEP, ::_STEP].astype(np.float64), corners.astype(np.float64))


def measure_intensities(sample: IntensitySample) -> Intensities:
    """The modes and shares of a sample."""
    constants, counts = np.unique(sample.corners, return_counts=True)
    background = float(constants[counts.argmax()]) if counts.max() * 2 >= counts.sum() else None
    constants = constants[counts >= _FILLS_CORNERS * counts.sum()]
    values = sample.values.ravel()
    written = np.isin(values, constants)
    image = values[~(written & (values < _PADDING_HU))]
    air = (image > _AIR_RANGE[0]) & (image < _AIR_RANGE[1])
    tissue = values[~written & (values > _BODY_HU)]
    soft = np.count_nonzero((tissue > _SOFT_RANGE[0]) & (tissue < _SOFT_RANGE[1]))
    return Intensities(
        lowest=float(values.min()),
        highest=float(values.max()),
        corner=float(np.median(sample.corners)),
        background=background,
        dark=float(np.count_nonzero(image <= _AIR_RANGE[0]) / max(len(image), 1)),
        air=float(np.count_nonzero(air) / max(len(image), 1)),
        soft=float(soft / max(len(image), 1)),
        body=float(soft / max(len(tissue), 1)),
        bone=float(np.count_nonzero(tissue > _BONE_HU) / max(len(tissue), 1)),
        saturated=float(np.count_nonzero(tissue == values.max()) / max(len(tissue), 1)),
        air_hu=_find_air(image[air], constants),
        brain_hu=_find_brain(tissue),
    )


def _find_air(air: Reals, constants: Reals) -> float | None:
    """The mode of measured air where there is enough, else the value that fills the corners."""
    measured = air[~np.isin(air, [*constants, air.min(initial=0.0)])]
    if len(measured) > 0.02 * len(air):
        return _find_mode(measured, _AIR_RANGE)
    if not len(air):
        return None
    value = float(np.median(air))
    return None if _CLAMPED[0] <= value <= _CLAMPED[1] else value


def _find_brain(tissue: Reals) -> float | None:
    return _find_mode(tissue, (-120.0, 200.0))


def _find_mode(values: Reals, bounds: tuple[float, float]) -> float | None:
    """The median around the peak of the smoothed histogram, which noise does not move."""
    counts, edges = np.histogram(values, bins=int(bounds[1] - bounds[0]) // 4, range=bounds)
    if not counts.any():
        return None
    peak = int(np.convolve(counts, np.ones(5), "same").argmax())
    mode = float(edges[peak] + edges[peak + 1]) / 2
    for _ in range(2):
        mode = float(np.median(values[np.abs(values - mode) <= 25]))
    return mode
