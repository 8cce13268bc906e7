"""A round with the weights of a ResNet-101 in one process, and how often they are hashed and written.

The time is of the last round, with coordinator and both sites one after the other; without the local
trainings, and with those of eight patients.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from dataclasses import astuple, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from tests.bench.federation import Federation, Stopwatch, Training
from tests.bench.measurement import Effort, Measurement, measure_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FULL = Training("resnet101", 32, patients=8, batch_size=8, rounds=2, local_epochs=1)
SMOKE = Training("resnet10-narrow", 32, patients=6, batch_size=4, rounds=2, local_epochs=1)
BOUNDS_S = {True: 3.0, False: 1.5}
"""Of a round, by whether its sums are masked."""
MOST_HASHES = {True: 13.0, False: 6.0}
"""Masked, of the sums, the next weights, the encoded update and the masked one at each of two sites; at the
coordinator of what each site sent, of the sums and the next weights; one to spare. In the clear, at each site
of the weights that come and of the change that leaves, at the coordinator of the weights; one to spare."""
MOST_WRITTEN = {True: 7.2, False: 1.2}
"""Masked, at each of two sites its encoded update and the next weights; at the coordinator the masked sums,
the opened ones, which the pending CLOSE shares, and the checkpoint. In the clear the checkpoint alone."""
_FRESH_BYTES = 2**27
MOST_SYNCED = {True: 112, False: 10}
"""Masked, most are lines of a site's log that must be on the disk before an answer leaves, and its states."""


@dataclass(frozen=True)
class Spending:
    """What was spent until a moment, or between two.

    Attributes
    ----------
    wall_s, cpu_s : float
        Time, and the processor's.
    trained_s, trained_cpu_s : float
        The same of the local trainings.
    hashed : int
        Bytes that were hashed.
    written : int
        Bytes that were written to files.
    synced : int
        How often the disk was waited for.
    """

    wall_s: float
    cpu_s: float
    trained_s: float
    trained_cpu_s: float
    hashed: int
    written: int
    synced: int


@dataclass
class Clock:
    """What was spent until the end of each round.

    Attributes
    ----------
    trainings : Stopwatch
        Of the local trainings.
    hashed, synced : int
        Bytes that were hashed, and how often the disk was waited for.
    marks : list of Spending
        One for each round.
    """

    trainings: Stopwatch
    hashed: int = 0
    synced: int = 0
    marks: list[Spending] = field(default_factory=list)

    def mark(self, _number: int = 0) -> None:
        """Note what was spent."""
        times = perf_counter(), process_time(), self.trainings.wall_s, self.trainings.cpu_s
        self.marks.append(Spending(*times, self.hashed, _count_written(), self.synced))

    def measure_last(self) -> Spending:
        """What the last round took."""
        before, after = (astuple(mark) for mark in self.marks[-2:])
        return Spending(*(end - start for start, end in zip(before, after, strict=True)))


def run(effort: Effort) -> Iterator[Measurement]:
    """A masked round and one in the clear."""
    training = effort.choose(FULL, SMOKE)
    for secure in (True, False):
        yield from _measure(training, secure=secure)


def _measure(training: Training, *, secure: bool) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        federation = Federation(Path(name), training, secure=secure)
        spent = time_last_round(federation)
        size = 4 * federation.layout.size
    kind = f"{'masked' if secure else 'clear'} round of {size / 2**20:.0f} MiB"
    alone_s, bound_s = spent.wall_s - spent.trained_s, BOUNDS_S[secure]
    alone_cpu_s = spent.cpu_s - spent.trained_cpu_s
    detail = f"{alone_s:.2f} s, {spent.wall_s:.2f} s with the trainings; "
    detail += f"CPU {alone_cpu_s:.2f} s, {spent.cpu_s:.2f} s with them"
    if size > _FRESH_BYTES:
        detail += (
            f"; this machine takes {_time_fresh_memory():.1f} s for a GiB of memory that it has not used"
        )
    yield Measurement(
        f"{kind}, without the trainings / {bound_s:g} s",
        alone_s / bound_s,
        1.0,
        "at most",
        detail,
    )
    yield Measurement(
        f"{kind}: vectors hashed, two sites and the coordinator",
        spent.hashed / size,
        MOST_HASHES[secure],
        "at most",
        f"{spent.hashed / 2**20:.0f} MiB",
    )
    yield Measurement(
        f"{kind}: vectors written to files, two sites and the coordinator",
        spent.written / size,
        MOST_WRITTEN[secure],
        "at most",
        f"{spent.written / 2**20:.0f} MiB",
    )
    yield Measurement(
        f"{kind}: waits for the disk, two sites and the coordinator",
        spent.synced,
        MOST_SYNCED[secure],
        "at most",
    )


def _time_fresh_memory() -> float:
    """Seconds a GiB: a virtual machine gets its memory from its host when it is first written to."""
    pages = np.empty(16 * _FRESH_BYTES, dtype=np.uint8)
    return measure_seconds(lambda: pages[:: mmap.PAGESIZE].fill(1)) * 2**30 / pages.nbytes


def time_last_round(federation: Federation) -> Spending:
    """What the last round took at both sides."""
    from client.answers import trainer

    clock, original = Clock(Stopwatch(trainer.train)), os.fsync

    def sync(handle: int) -> None:
        clock.synced += 1
        original(handle)

    with (
        patch.object(trainer, "train", clock.trainings),
        patch.object(hashlib, "sha256", _count(clock)),
        patch.object(os, "fsync", sync),
    ):
        federation.run_rounds(clock.mark)
    return clock.measure_last()


def _count_written() -> int:
    """Bytes that this process has written so far, also to what still lies in the memory; Linux says it."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["wchar"])


def _count(clock: Clock) -> Callable[..., object]:
    """SHA-256 that counts bytes."""
    original = hashlib.sha256

    class Counting:
        def __init__(self, data: bytes = b"") -> None:
            self._hash = original()
            self.update(data)

        def update(self, data: bytes) -> None:
            clock.hashed += memoryview(data).nbytes
            self._hash.update(data)

        def digest(self) -> bytes:
            return self._hash.digest()

        def hexdigest(self) -> str:
            return self._hash.hexdigest()

        def copy(self) -> Counting:
            other = Counting()
            other._hash = self._hash.copy()
            return other

    return Counting
