"""The CT scanners of simulated centres: grid, kernel, noise and tilt differ between centres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.imaging.geometry import Geometry


@dataclass(frozen=True)
class Scanner:
    """One scanner with its head protocol.

    Attributes
    ----------
    manufacturer, model, kernel : str
        As in its DICOM headers.
    matrix : int
        Number of rows, and of columns.
    pixel_mm, thickness_mm : float
        In-plane and through-plane size of a voxel; slices adjoin along the table.
    slices : int
        Number of slices.
    lowest_mm : float
        Height of the first slice's centre, relative to the middle of the head.
    blur_mm : float
        Standard deviation of the kernel's point spread.
    noise_hu : float
        Standard deviation in brain, after the kernel.
    tilt_degrees : float
        Tilt of the gantry in tilted scans; 0 where no scan is tilted.
    tilted_share : float
        Share of the scans that are tilted, between 0 and 1.
    kvp : int
        Tube voltage in kV.
    """

    manufacturer: str
    model: str
    kernel: str
    matrix: int
    pixel_mm: float
    thickness_mm: float
    slices: int
    lowest_mm: float
    blur_mm: float
    noise_hu: float
    tilt_degrees: float = 0.0
    tilted_share: float = 0.0
    kvp: int = 120

    def build_geometry(self, *, tilted: bool) -> Geometry:
        """Where the voxels lie; a tilted gantry shears the stack, because the table moves horizontally."""
        angle = np.radians(self.tilt_degrees if tilted else 0.0)
        axes = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(angle), np.sin(angle)]])
        half_mm = (self.matrix - 1) / 2 * self.pixel_mm
        first = np.array([0.0, 0.0, self.lowest_mm]) - half_mm * (axes[0] + axes[1])
        heights = np.arange(self.slices)[:, None] * np.array([0.0, 0.0, self.thickness_mm])
        # Headers hold decimal strings: the drawing must use the numbers that the files can hold
        return Geometry(
            self.matrix,
            self.matrix,
            (self.pixel_mm, self.pixel_mm),
            np.round(axes, 6),
            np.round(first + heights, 4),
        )

    def coarsen(self) -> Scanner:
        """The same protocol at a quarter of the resolution, for patients whose images are never read."""
        return replace(self, matrix=self.matrix // 4, pixel_mm=self.pixel_mm * 4)


SCANNERS = (
    Scanner("GE MEDICAL SYSTEMS", "LightSpeed VCT", "SOFT", 256, 0.9, 5.0, 27, -58.0, 0.75, 3.0, 12.0, 0.3),
    Scanner("SIEMENS", "SOMATOM Definition AS+", "H31s", 240, 0.94, 4.8, 28, -58.0, 0.6, 3.8),
    Scanner("Philips", "Brilliance 64", "UB", 256, 0.88, 6.0, 22, -56.0, 0.68, 3.4, kvp=140),
)
"""The scanner of each centre; the first has some tilted scans."""


def scanner_of(centre: int) -> Scanner:
    """The scanner of a centre (counted from 1); centres beyond the third repeat the protocols."""
    return SCANNERS[(centre - 1) % len(SCANNERS)]
