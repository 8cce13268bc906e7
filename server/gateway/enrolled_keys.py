"""The keys of the hospitals that are enrolled now, of those too that were enrolled since the start."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress

from common.errors import RheError
from server.provision.office import Office

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
"""A request comes every few milliseconds, and each look at a file may cost it its turn."""
_TICK_NS = 50_000_000
"""Two changes of a folder within a tick of the file system's clock have one time."""


class EnrolledKeys:
    """Tells whether a public key is on a card of the study.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    """

    def __init__(self, office: Office) -> None:
        self._office, self._folder = office, office.folder / "sites"
        self._seen: frozenset[tuple[str, int, int, int]] = frozenset()
        self._keys: frozenset[bytes] = frozenset()
        self._changed, self._looked = -1, -_LOOK_S

    def __contains__(self, key: bytes) -> bool:
        """Whether this public key, PEM, is enrolled."""
        now, changed = time.monotonic(), self._tell_change()
        # A card may be written over, which leaves its folder's time
        is_settled = time.time_ns() - changed > _TICK_NS and now - self._looked < _LOOK_S
        if changed != self._changed or not is_settled:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._read()
            self._changed, self._looked = changed, now
        return key in self._keys

    def _tell_change(self) -> int:
        """When a card came or went last; -1 if there is no folder."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return -1

    def _look(self) -> frozenset[tuple[str, int, int, int]]:
        """Name, number, time and size of every card: what changes if one of them does."""
        found = set()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(".card"):
                    with suppress(FileNotFoundError):
                        state = entry.stat()
                        found.add((entry.name, state.st_ino, state.st_mtime_ns, state.st_size))
        return frozenset(found)

    def _read(self) -> None:
        try:
            self._keys = frozenset(card.key_as_pem() for card in self._office.load_cards())
        except RheError as failure:
            # Whoever was let in stays: what registers the sites tells of the same card, and ends the server
            _log.warning("%s", failure)
