"""What a scan's values are: the modes of air and brain, with padding set apart; and what they can be instead.

Air is -1000 HU, brain 25 to 40. Padding is not tissue: a scanner writes one value (-2000, -3024) everywhere
outside its circle, a program that removes the skull writes one value (0, -1024) everywhere outside the brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.imaging.scan import Hounsfield
from common.types import Counts, Flags, Reals

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
_BRAIN_RANGE = (-120.0, 200.0)
_BONE_HU = 300.0
_FILLS_CORNERS = 0.25
"""A value in so large a share of the corners was written there, not measured."""


@dataclass(frozen=True, eq=False)
class IntensitySample:
    """Some of a scan's voxels.

    Attributes
    ----------
    values : Reals of shape (values,)
        The different values, in rising order.
    counts : int array of shape (values,)
        How many voxels have each value.
    corners : Reals of shape (slices, 4)
        The corner voxels of the same slices.
    """

    values: Reals
    counts: Counts
    corners: Reals

    def scale(self, slope: float, intercept: float) -> IntensitySample:
        """The same voxels after a linear change of their values."""
        values, order = self.values * slope + intercept, -1 if slope < 0 else 1
        return IntensitySample(values[::order], self.counts[::order], self.corners * slope + intercept)

    def select(self, chosen: Flags) -> IntensitySample:
        """The voxels that have some of the values; all corners."""
        return IntensitySample(self.values[chosen], self.counts[chosen], self.corners)

    def count(self, chosen: Flags | None = None) -> int:
        """How many voxels there are, or how many have some of the values."""
        return int((self.counts if chosen is None else self.counts[chosen]).sum())

    def find_median(self) -> float:
        """The median of all voxels; there must be one."""
        ends, total = np.cumsum(self.counts), self.count()
        middle = self.values[np.searchsorted(ends, [(total - 1) // 2, total // 2], "right")]
        return float(middle.mean())


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


def take_median(values: Hounsfield) -> float:
    """The median of at least one value; as NumPy's, but whole numbers are counted, not sorted."""
    if values.dtype.kind != "i":
        return float(np.median(values))
    return _count_values(values, np.empty((0, 4))).find_median()


def sample_voxels(voxels: Hounsfield) -> IntensitySample:
    """A sixty-fourth of the voxels, of at most 80 slices, and these slices' corners."""
    part = voxels[:: max(len(voxels) // _SLICES, 1)]
    corners = part[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(np.float64)
    sample = part[:, ::_STEP, ::_STEP].ravel()
    if sample.dtype.kind != "i":
        return IntensitySample(*np.unique(sample.astype(np.float64), return_counts=True), corners)
    return _count_values(sample, corners)


def _count_values(values: Hounsfield, corners: Reals) -> IntensitySample:
    lowest = int(values.min())
    counts = np.bincount(np.subtract(values, lowest, dtype=np.intp))
    seen = np.flatnonzero(counts)
    return IntensitySample((seen + lowest).astype(np.float64), counts[seen], corners)


def measure_intensities(sample: IntensitySample) -> Intensities:
    """The modes and shares of a sample."""
    constants, counts = np.unique(sample.corners, return_counts=True)
    background = float(constants[counts.argmax()]) if counts.max() * 2 >= counts.sum() else None
    constants = constants[counts >= _FILLS_CORNERS * counts.sum()]
    written = np.isin(sample.values, constants)
    image = sample.select(~(written & (sample.values < _PADDING_HU)))
    air = image.select((image.values > _AIR_RANGE[0]) & (image.values < _AIR_RANGE[1]))
    tissue = sample.select(~written & (sample.values > _BODY_HU))
    soft = tissue.count((tissue.values > _SOFT_RANGE[0]) & (tissue.values < _SOFT_RANGE[1]))
    of_image, of_tissue = max(image.count(), 1), max(tissue.count(), 1)
    return Intensities(
        lowest=float(sample.values[0]),
        highest=float(sample.values[-1]),
        corner=float(np.median(sample.corners)),
        background=background,
        dark=image.count(image.values <= _AIR_RANGE[0]) / of_image,
        air=air.count() / of_image,
        soft=soft / of_image,
        body=soft / of_tissue,
        bone=tissue.count(tissue.values > _BONE_HU) / of_tissue,
        saturated=tissue.count(tissue.values == sample.values[-1]) / of_tissue,
        air_hu=_find_air(air, constants),
        brain_hu=_find_mode(tissue, _BRAIN_RANGE),
    )


def _find_air(air: IntensitySample, constants: Reals) -> float | None:
    """The mode of measured air where there is enough, else the value that fills the corners."""
    measured = air.select(~np.isin(air.values, [*constants, air.values.min(initial=0.0)]))
    if measured.count() > 0.02 * air.count():
        return _find_mode(measured, _AIR_RANGE)
    if not air.count():
        return None
    value = air.find_median()
    return None if _CLAMPED[0] <= value <= _CLAMPED[1] else value


def _find_mode(sample: IntensitySample, bounds: tuple[float, float]) -> float | None:
    """The median around the peak of the smoothed histogram, which noise does not move."""
    bins = int(bounds[1] - bounds[0]) // 4
    counts, edges = np.histogram(sample.values, bins=bins, range=bounds, weights=sample.counts)
    if not counts.any():
        return None
    peak = int(np.convolve(counts, np.ones(5), "same").argmax())
    mode = float(edges[peak] + edges[peak + 1]) / 2
    for _ in range(2):
        mode = sample.select(np.abs(sample.values - mode) <= 25).find_median()
    return mode
