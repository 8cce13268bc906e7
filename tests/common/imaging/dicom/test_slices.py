from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Level, ScanError
from common.imaging.dicom.slices import SlicePosition, order_slices

NORMAL = np.array([0.0, -0.6, 0.8])


def stack(heights, thickness_mm=None) -> list[SlicePosition]:
    values = thickness_mm or [None] * len(heights)
    return [
        SlicePosition(f"slice {index}", np.array([3.0, 4.0, 5.0]) + height * NORMAL, value)
        for index, (height, value) in enumerate(zip(heights, values, strict=True))
    ]


@given(
    count=st.integers(2, 60),
    step_mm=st.floats(0.3, 10),
    start_mm=st.floats(-500, 500),
    seed=st.integers(0, 1000),
)
def test_even_slices_in_any_order_are_sorted_along_their_normal(count, step_mm, start_mm, seed):
    shuffled = np.random.default_rng(seed).permutation(count)
    heights = start_mm + shuffled * step_mm
    order = order_slices(Path("ct"), stack(heights), NORMAL)
    assert [shuffled[index] for index in order.indices] == list(range(count))
    assert order.notes == order.gaps == ()


@given(count=st.integers(4, 60), data=st.data())
def test_a_slice_that_is_taken_out_anywhere_inside_is_missed(count, data):
    gone = data.draw(st.integers(1, count - 2))
    heights = [5.0 * index for index in range(count) if index != gone]
    if len(heights) < 4:
        return
    with pytest.raises(ScanError, match="missing|uneven"):
        order_slices(Path("ct"), stack(heights, [5.0] * len(heights)), NORMAL)


@given(count=st.integers(2, 40), data=st.data())
def test_a_slice_that_is_there_twice_is_found(count, data):
    heights = [2.5 * index for index in range(count)]
    heights.insert(data.draw(st.integers(0, count)), heights[data.draw(st.integers(0, count - 1))])
    with pytest.raises(ScanError, match="occur twice"):
        order_slices(Path("ct"), stack(heights), NORMAL)


@given(
    thin=st.integers(3, 20),
    thick=st.integers(3, 20),
    thin_mm=st.floats(0.6, 3),
    ratio=st.floats(1.2, 4),
    feet_first=st.booleans(),
)
def test_contiguous_slices_of_two_thicknesses_are_a_protocol(thin, thick, thin_mm, ratio, feet_first):
    thickness = [thin_mm] * thin + [thin_mm * ratio] * thick
    if feet_first:
        thickness.reverse()
    edges = np.concatenate([[0], np.cumsum(thickness)])
    heights = (edges[1:] + edges[:-1]) / 2

    order = order_slices(Path("ct"), stack(heights, thickness), NORMAL)

    assert order.indices == tuple(range(thin + thick))
    assert "two slice spacings" in order.notes[0].what


@pytest.mark.parametrize(
    ("heights", "thickness"),
    [
        ([0, 5, 10, 15, 25, 35], [5] * 6),
        ([0, 5, 10, 15, 25], [5, 5, 5, 5, 10]),
        ([0, 5, 10, 14, 24, 34], [5, 5, 5, 5, 10, 10]),
        ([0, 5, 10, 20, 30, 35, 40], [5, 5, 5, 10, 10, 5, 5]),
        ([0, 5, 10, 20, 30, 40], [5, None, 5, 10, 10, 10]),
    ],
    ids=["one thickness", "one step only", "a step that is neither", "three runs", "silent headers"],
)
def test_what_only_resembles_a_two_thickness_protocol_is_refused(heights, thickness):
    with pytest.raises(ScanError, match="missing|uneven"):
        order_slices(Path("ct"), stack(heights, thickness), NORMAL)


def test_slices_further_apart_than_they_are_thick_are_to_be_looked_at():
    """Every second slice is missing: the steps are even, and only the thickness tells."""
    sparse = order_slices(Path("ct"), stack([10.0 * index for index in range(8)], [5.0] * 8), NORMAL)
    (note,) = sparse.notes
    assert note.level is Level.LOOK
    assert "10 mm apart and are 5 mm thick" in note.what


@pytest.mark.parametrize("thickness", [[5.0] * 8, [3.5] * 8, [10.0] * 8, [0.0] * 8, None])
def test_contiguous_overlapping_and_slightly_parted_slices_are_usual(thickness):
    assert order_slices(Path("ct"), stack([5.0 * index for index in range(8)], thickness), NORMAL).notes == ()


def test_the_thinner_part_of_a_protocol_may_lack_every_second_slice():
    heights = [*range(0, 40, 5), *range(45, 105, 10)]
    thickness = [2.5] * 8 + [10.0] * 6
    notes = order_slices(Path("ct"), stack(heights, thickness), NORMAL).notes
    assert [note.level for note in notes] == [Level.KNOW, Level.LOOK]
    assert "5 mm apart and are 2.5 mm thick" in notes[1].what


def test_three_thicknesses_are_named_and_not_denied():
    heights = [
        *range(30),
        *(30 + 2.5 * index for index in range(10)),
        *(55 + 5 * index for index in range(12)),
    ]
    with pytest.raises(ScanError, match=r"Slice Thickness of 1, 2\.5, 5 mm in turn") as refusal:
        order_slices(Path("ct"), stack(heights, [1.0] * 30 + [2.5] * 10 + [5.0] * 12), NORMAL)
    assert "does not change" not in str(refusal.value)
