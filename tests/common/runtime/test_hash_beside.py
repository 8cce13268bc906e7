"""A hash beside other work is the hash of the whole, however it is cut, and its thread ends."""

from __future__ import annotations

import hashlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.runtime.hash_beside import hash_beside

WHOLE = bytes(range(256)) * 8192
"""2 MiB: enough for a thread."""


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_any_cut_gives_the_hash_of_the_whole(places):
    places = sorted(places)
    with hash_beside() as beside:
        for start, stop in zip([0, *places], [*places, len(WHOLE)], strict=True):
            beside.add(memoryview(WHOLE)[start:stop])
        digest = beside.end()

    assert digest == hashlib.sha256(WHOLE).hexdigest()


def test_more_pieces_than_may_wait_come_in_order():
    pieces = [bytes([number]) * (1 << 18) for number in range(100)]
    with hash_beside() as beside:
        for piece in pieces:
            beside.add(piece)

        assert beside.end() == hashlib.sha256(b"".join(pieces)).hexdigest()


def fail_beside() -> None:
    with hash_beside() as beside:
        beside.add(WHOLE)
        raise OSError("disk")


def test_the_thread_ends_where_the_work_fails():
    with pytest.raises(OSError, match="disk"):
        fail_beside()

    assert not [thread for thread in threading.enumerate() if thread.name == "hash"]
