"""The file in which a site keeps where a training stands, so that an engine that dies goes on at its epoch.

It lies with the site's models, readable for the engine's user alone, and is gone when the training is done.
It is bound to everything that the training's bits follow from; of any other training it is never used.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import StorageError
from common.runtime.storage import write_pieces_atomically
from common.runtime.tensor_file import cut_tensor_file, read_metadata, read_tensor_file
from common.training.epoch_state import EpochState

_log = logging.getLogger(__name__)

SHARE = 0.02
"""Of a training's time, at most, goes into its files: where epochs are short, not each is kept."""
_BYTES_PER_S = 200e6
"""What the first file is expected to take, until one was written."""


@dataclass(frozen=True)
class EpochNote:
    """What whoever trains has to remember beside the training's own state.

    Attributes
    ----------
    text : str
        Anything, as JSON.
    arrays : mapping of str to arrays
        By name.
    """

    text: str = ""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass
class EpochFile:
    """One training's file; implements `EpochMemory`.

    Attributes
    ----------
    path : Path
        Where it lies; there is one training at a time.
    bind : callable
        Gives what the training's bits follow from, as a digest. It is asked when a file is there or due.
    size : int
        About how many bytes a file will have.
    note : callable
        Gives what else has to be remembered at an epoch's end.
    """

    path: Path
    bind: Callable[[], str]
    size: int
    note: Callable[[], EpochNote] = EpochNote
    _cost_s: float = 0.0
    _since: float = 0.0

    def __post_init__(self) -> None:
        self._since = time.monotonic()

    @cached_property
    def start(self) -> EpochState | None:
        """Where this training was when its process ended; None if it begins."""
        return None if self._found is None else self._found[0]

    @property
    def noted(self) -> EpochNote:
        """What was remembered then; empty if the training begins."""
        return EpochNote() if self._found is None else self._found[1]

    def keep(self, collect: Callable[[], EpochState]) -> None:
        """Write where the training stands, unless that would take too much of its time."""
        begun = time.monotonic()
        expected_s = self._cost_s or self.size / _BYTES_PER_S
        if begun - self._since < expected_s / SHARE:
            return
        state, note = collect(), self.note()
        arrays = {f"state/{name}": array for name, array in state.arrays.items()}
        arrays |= {f"note/{name}": array for name, array in note.arrays.items()}
        metadata = {
            "training": self._digest,
            "losses": json.dumps([loss.hex() for loss in state.losses]),
            "steps": str(state.steps),
            "note": note.text,
            "sum": str(_sum_up(arrays)),
        }
        try:
            write_pieces_atomically(self.path, cut_tensor_file(arrays, metadata), private=True)
        except StorageError as failure:
            _log.warning("an epoch is not kept; if the engine dies it is trained again: %s", failure)
        self._since = time.monotonic()
        self._cost_s = self._since - begun

    def drop(self) -> None:
        """Remove the file: the training is done, or it is of no use."""
        # One that cannot be removed is used by no other training
        with suppress(OSError):
            self.path.unlink()

    @cached_property
    def _digest(self) -> str:
        return self.bind()

    @cached_property
    def _found(self) -> tuple[EpochState, EpochNote] | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as failure:
            _log.warning("%s: cannot be read (%s), its training begins anew", self.path, failure.strerror)
            return None
        try:
            if read_metadata(content)["training"] != self._digest:
                _log.info("kept epochs of another training are dropped file=%s", self.path.name)
                self.drop()
                return None
            return _read(content)
        except (ValueError, KeyError):
            _log.warning("%s: is damaged, its training begins anew", self.path)
            self.drop()
            return None


def _read(content: bytes) -> tuple[EpochState, EpochNote]:
    """What a file holds.

    Raises
    ------
    ValueError
        If it is damaged, as also a KeyError tells.
    """
    metadata, arrays = read_tensor_file(content)
    if int(metadata["sum"]) != _sum_up(arrays):
        raise ValueError("an array was altered")
    parts: dict[str, dict[str, NDArray[Any]]] = {"state": {}, "note": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    losses = tuple(float.fromhex(loss) for loss in json.loads(metadata["losses"]))
    state = EpochState(losses, int(metadata["steps"]), parts["state"])
    return state, EpochNote(metadata["note"], parts["note"])


def _sum_up(arrays: Mapping[str, NDArray[Any]]) -> int:
    """A sum of all bytes, in the order of the names: for bits that flipped, not against anybody."""
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data, total)
    return total
