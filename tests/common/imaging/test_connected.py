"""Parts are those that ITK finds, and have its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.imaging.connected import number_parts


def number_by_itk(marked):
    neighbours = sitk.ConnectedComponentImageFilter()
    neighbours.SetFullyConnected(True)
    numbered = neighbours.Execute(sitk.GetImageFromArray(marked.astype(np.uint8)))
    return sitk.GetArrayFromImage(numbered), neighbours.GetObjectCount()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3, 0.9, 1.0])
def test_parts_and_their_numbers_are_itks(share):
    random = np.random.default_rng(int(100 * share))
    for _ in range(25):
        marked = random.random(tuple(random.integers(1, 13, 3))) < share

        numbers, count = number_parts(marked)

        theirs, their_count = number_by_itk(marked)
        assert count == their_count
        assert np.array_equal(numbers, theirs)


def test_one_long_winding_part_is_one():
    marked = np.zeros((1, 101, 101), dtype=bool)
    marked[0, ::2] = True
    marked[0, 1::4, -1] = marked[0, 3::4, 0] = True

    numbers, count = number_parts(marked)

    assert count == 1
    assert np.array_equal(numbers, marked)


def test_the_end_of_a_row_does_not_touch_the_beginning_of_the_next():
    marked = np.zeros((3, 4, 5), dtype=bool)
    marked[0, 0, -1] = marked[0, 1, 0] = marked[1, -1, 2] = marked[2, 0, 2] = True

    assert number_parts(marked)[1] == 4
