"""An epoch's number travels in the fraction of a heartbeat's interval, and moves it by less than .1 s."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.messages.epoch_beat import read_epoch_beat, write_epoch_beat


@given(count=st.integers(1, 9999), data=st.data())
def test_what_is_written_is_read_and_hardly_moves_the_interval(count, data):
    number = data.draw(st.integers(1, count))
    for usual in (5.0, 20.0, 30.0, 60.0):
        told = write_epoch_beat(usual, f"training, epoch {number} of {count}")

        # As Flower's message and the SuperLink's database keep it
        (kept,) = struct.unpack("<d", struct.pack("<d", told))
        assert read_epoch_beat(kept) == (number, count)
        assert usual < told < usual + 0.1


@pytest.mark.parametrize(
    "doing",
    [
        *("", "nothing", "preparing patients", "training, epoch 3", "training, epoch 0 of 4"),
        *("training, epoch 5 of 4", "training, epoch 3 of 10000", "training, epoch 3 of 10 of P001"),
        "scoring patients by a network, training, epoch 3 of 10",
    ],
)
def test_nothing_else_travels_so(doing):
    assert write_epoch_beat(30.0, doing) == 30.0
    assert read_epoch_beat(30.0) is None


@given(st.floats())
def test_whatever_interval_comes_it_is_an_epoch_or_none(interval):
    told = read_epoch_beat(interval)

    assert told is None or 1 <= told[0] <= told[1] < 10_000
