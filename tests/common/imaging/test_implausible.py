"""A scan that is not as large as a head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import Level
from common.imaging.geometry import Geometry
from common.imaging.implausible import find_implausible_extent
from common.imaging.scan import Scan


def make_head(spacing_mm=(0.45, 0.45), thickness_mm=5.0, slices=28, size=512) -> Scan:
    """A head of 150 x 190 mm at 0.45 mm, on a headrest, at whatever spacing the file states."""
    y, x = np.mgrid[:size, :size] * (512 / size) - 255.5
    plane = np.where(np.hypot(x / 167, y / 211) < 1, 35, -1000)
    plane[int(size * 0.95) : int(size * 0.96)] = 100
    voxels = np.repeat(plane[None].astype(np.int16), slices, axis=0)
    heights = np.arange(slices)[:, None] * [0.0, 0.0, thickness_mm]
    geometry = Geometry(size, size, spacing_mm, np.eye(3)[:2], heights)
    return Scan(Path("ct"), voxels, geometry)


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"thickness_mm": 0.625, "slices": 236},
        {"spacing_mm": (0.9, 0.9), "size": 256},
        {"slices": 14},
        {"slices": 60, "thickness_mm": 5.0},
        {"spacing_mm": (0.39, 0.39)},
        {"spacing_mm": (0.55, 0.55)},
    ],
    ids=["usual", "thin", "coarse", "partial", "with the neck", "small", "large"],
)
def test_a_head_is_not_remarked_on(head):
    assert find_implausible_extent(make_head(**head)) == ()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"spacing_mm": (1.0, 1.0)}, "slices are 512x512 mm"),
        ({"spacing_mm": (1.0, 0.45)}, "not square"),
        ({"spacing_mm": (0.2, 0.2)}, "slices are 102x102 mm"),
        ({"spacing_mm": (0.25, 0.25)}, "as large as a disc of"),
        ({"thickness_mm": 1.0}, "28 mm high"),
        ({"thickness_mm": 5.0, "slices": 150}, "750 mm high"),
    ],
    ids=["spacing of 1", "one side of 1", "too fine", "a small head", "flat", "long"],
)
def test_a_scan_of_another_size_is_to_be_looked_at(head, said):
    (note,) = find_implausible_extent(make_head(**head))
    assert note.level is Level.LOOK
    assert said in note.what
    assert "voxel size" in note.remedy


def test_slices_of_air_are_no_part_of_the_head():
    scan = make_head(slices=100)
    scan.voxels[30:] = -1000
    assert find_implausible_extent(scan) == ()
