"""A hematoma that is marked on one slice only, although it reaches further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import Level
from common.imaging.masks.single_slice import note_single_slice
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan

SHAPE = (6, 60, 60)
SMALL, LARGE = np.s_[20:30, 20:30], np.s_[20:42, 20:40]
"""0.5 and 2.2 ml in a slice."""


def list_looks(geometry_of, area, *, bright: dict[int, int], marked=(2,), ivh=()) -> list[str]:
    """`bright`: HU of the area, by slice."""
    hu = np.full(SHAPE, 32, dtype=np.int16)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for place, value in bright.items():
        hu[place][area] = value
    for place in marked:
        labels[place][area] = 1
    for place in ivh:
        labels[place][area] = 2
    scan = Scan(Path("ct"), hu, geometry_of(shape=SHAPE, spacing_mm=(1.0, 1.0, 5.0)))
    notes = list(note_single_slice(Path("mask"), labels, scan, find_extent(labels)))
    assert all(note.level is Level.LOOK for note in notes)
    return [note.what for note in notes]


def test_a_large_hematoma_on_one_slice_is_to_be_looked_at(geometry_of):
    (what,) = list_looks(geometry_of, LARGE, bright={2: 60})
    assert what == "the ICH (2.2 ml) is marked on slice 3 of 6 from below alone"


@pytest.mark.parametrize(("neighbours", "slices"), [({1: 60}, "2"), ({1: 60, 3: 50}, "2 and 4")])
def test_a_small_one_is_if_it_goes_on_in_a_neighbour(geometry_of, neighbours, slices):
    (what,) = list_looks(geometry_of, SMALL, bright={2: 60, **neighbours})
    assert what.endswith(f"alone, and is as bright in slice {slices}")


@pytest.mark.parametrize(
    ("bright", "marked", "ivh"),
    [
        ({2: 60}, (2,), ()),
        ({2: 60, 3: 40}, (2,), ()),
        ({2: 60, 3: 60}, (2, 3), ()),
        ({2: 60, 3: 60}, (2,), (3,)),
        ({2: 34, 3: 34}, (2,), ()),
        ({2: 60}, (), (2,)),
        ({5: 60}, (5,), ()),
    ],
    ids=["alone", "partial", "both marked", "goes on as IVH", "no contrast", "IVH alone", "at the end"],
)
def test_a_small_one_that_ends_there_is_not(geometry_of, bright, marked, ivh):
    assert list_looks(geometry_of, SMALL, bright=bright, marked=marked, ivh=ivh) == []
