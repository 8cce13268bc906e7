"""The extent of what is marked, however its array lies in memory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from common.imaging.nearest import find_extent

TURNS = [tuple(slice(None, None, step) for step in steps) for steps in product((1, -1), repeat=3)]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_the_extent_of_turned_arrays(turn, dtype):
    stored = np.zeros((5, 6, 7), dtype=dtype)
    stored[1:3, 2:6, 4] = 3
    turned = stored[turn]

    places = np.nonzero(np.ascontiguousarray(turned))

    assert find_extent(turned) == tuple((axis.min(), axis.max()) for axis in places)
    assert find_extent(turned.transpose(2, 0, 1)) == tuple(
        (places[axis].min(), places[axis].max()) for axis in (2, 0, 1)
    )


def test_nothing_has_no_extent_and_what_is_no_number_is_marked():
    empty = np.zeros((2, 3, 4), dtype=np.float32)
    assert find_extent(empty) == find_extent(empty[::-1, :, ::-1]) == ()
    empty[1, 2, 0] = np.nan
    assert find_extent(empty[::-1]) == ((0, 0), (2, 2), (0, 0))
