"""What is joined in place has the bytes of a join, and the memory of the array."""

from __future__ import annotations

import numpy as np
import pytest

from common.runtime.front_room import join_in_place, make_behind_room

SIZE = 1 << 18
"""Of float32: the fewest elements that have room."""


@pytest.fixture
def array():
    made = make_behind_room(SIZE, np.float32)
    made[:] = np.arange(SIZE)
    return made


def bytes_of(array):
    return array.view(np.uint8).data


@pytest.mark.parametrize("front", [[], [b"x"], [b"ab", b"", b"c"], [bytes(1 << 16)]])
def test_the_front_stands_before_the_array_which_is_not_copied(array, front):
    joined = join_in_place([*front, bytes_of(array)])

    assert bytes(joined) == b"".join(front) + array.tobytes()
    assert np.shares_memory(np.frombuffer(joined, np.uint8), array)
    assert joined.readonly


def test_what_was_joined_first_stays_as_it_is(array):
    first = join_in_place([b"first", bytes_of(array)])
    second = join_in_place([b"later", bytes_of(array)])

    assert bytes(first) == b"first" + array.tobytes()
    assert bytes(second) == b"later" + array.tobytes()


@pytest.mark.parametrize("part", [slice(0, SIZE // 2), slice(1, None)])
def test_a_part_of_the_array_is_copied(array, part):
    joined = join_in_place([b"front", bytes_of(array[part])])

    assert joined == b"front" + array[part].tobytes()
    assert not np.shares_memory(np.frombuffer(joined, np.uint8), array)


def test_a_front_that_is_longer_than_the_room_is_copied(array):
    front = bytes((1 << 16) + 1)

    assert join_in_place([front, bytes_of(array)]) == front + array.tobytes()


@pytest.mark.parametrize("last", [b"", b"bytes", np.arange(9, dtype=np.uint8).data])
def test_memory_without_room_is_copied(last):
    assert join_in_place([b"front", last]) == b"front" + bytes(last)


def test_a_small_array_has_no_room():
    small = make_behind_room(SIZE - 1, np.float32)

    assert small.base is None
    assert not small.any()
