"""How much each sender may have under way at once, and how much it may push for one instruction."""

from __future__ import annotations

from collections import Counter

STRANGERS = b""
"""Whom all senders without an enrolled key are counted as, together."""
PLACES = 24
"""Requests of one hospital at once: a link has six, and as many again after a cut that nobody noticed."""
STRANGERS_PLACES = 32
"""Requests of all strangers together at once; a hospital not yet enrolled asks one thing at a time."""
ROOM_BYTES = 16 * 2**20
"""What a hospital may push for one instruction beside the answer's own bytes."""
ANNOUNCEMENT_BYTES = 256 * 1024
"""What announcing an answer costs at least: 64 of them fit into the room."""

_REPEATS = 4
"""How often an answer may be uploaded whole: three attempts of the link, and what was lost on the way."""


class Allowances:
    """The requests under way of every sender, and the bytes that each may still push.

    Flower keeps in memory what a node pushes until the coordinator fetches it. So a node may push for an
    instruction that it was handed, and only so much; what is not used up does not add up. One that was handed
    none since the SuperLink began has no bound here: Flower stores nothing but replies to what it handed out,
    and tells a site whose instruction was of an earlier SuperLink that its run is over.

    Parameters
    ----------
    largest_message : int
        Most bytes that an answer of the study needs.
    """

    def __init__(self, largest_message: int) -> None:
        self._quota = _REPEATS * largest_message + ROOM_BYTES
        self._under_way: Counter[bytes] = Counter()
        self._left: dict[bytes, int] = {}

    def enter(self, sender: bytes) -> bool:
        """Take a place for one request; whether there was one."""
        places = STRANGERS_PLACES if sender == STRANGERS else PLACES
        if self._under_way[sender] >= places:
            return False
        self._under_way[sender] += 1
        return True

    def leave(self, sender: bytes) -> None:
        """Give the place back."""
        self._under_way[sender] -= 1
        if not self._under_way[sender]:
            del self._under_way[sender]

    def grant(self, sender: bytes) -> None:
        """Let a sender push one answer: an instruction was handed to it."""
        self._left[sender] = self._quota

    def spend(self, sender: bytes, size: int) -> bool:
        """Take this many bytes from what a sender may push; whether they were left."""
        if sender not in self._left:
            return True
        if size > self._left[sender]:
            return False
        self._left[sender] -= size
        return True
