"""A round with the weights of a ResNet-101 in one process, and how often each side hashes them.

The time is of the last round, with coordinator and both sites one after the other; without the local
trainings, and with those of eight patients.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.bench.federation import Federation, Stopwatch, Training
from tests.bench.measurement import Effort, Measurement

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


@dataclass
class Clock:
    """When each round began, and how many bytes were hashed until then.

    Attributes
    ----------
    trainings : Stopwatch
        Of the local trainings.
    hashed : int
        Bytes that were hashed in large pieces.
    marks : list of (float, float, float, int)
        Wall time, CPU time, wall time of the trainings, and bytes hashed, at the end of each round.
    """

    trainings: Stopwatch
    hashed: int = 0
    marks: list[tuple[float, float, float, int]] = field(default_factory=list)

    def mark(self, _number: int = 0) -> None:
        """Note where the rounds are."""
        self.marks.append((perf_counter(), process_time(), self.trainings.wall_s, self.hashed))

    def measure_last(self) -> tuple[float, float, float, int]:
        """What the last round took."""
        before, after = self.marks[-2:]
        return (
            after[0] - before[0],
            after[1] - before[1],
            after[2] - before[2],
            after[3] - before[3],
        )


def run(effort: Effort) -> list[Measurement]:
    """A masked round and one in the clear."""
    training = effort.choose(FULL, SMOKE)
    return [measurement for secure in (True, False) for measurement in _measure(training, secure=secure)]


def _measure(training: Training, *, secure: bool) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        federation = Federation(Path(name), training, secure=secure)
        wall_s, cpu_s, trained_s, hashed = time_last_round(federation)
        size = 4 * federation.layout.size
    kind = f"{'masked' if secure else 'clear'} round of {size / 2**20:.0f} MiB"
    detail = f"{wall_s - trained_s:.2f} s, {wall_s:.2f} s with the trainings; CPU {cpu_s:.2f} s with them"
    bound_s = BOUNDS_S[secure]
    yield Measurement(
        f"{kind}, without the trainings / {bound_s:g} s",
        (wall_s - trained_s) / bound_s,
        1.0,
        "at most",
        detail,
    )
    yield Measurement(
        f"{kind}: vectors hashed, two sites and the coordinator",
        hashed / size,
        MOST_HASHES[secure],
        "at most",
        f"{hashed / 2**20:.0f} MiB",
    )


def time_last_round(federation: Federation) -> tuple[float, float, float, int]:
    """Wall and CPU time of the last round, wall time of its trainings, and bytes hashed at both sides."""
    from client.answers import trainer

    clock = Clock(Stopwatch(trainer.train))
    with patch.object(trainer, "train", clock.trainings), patch.object(hashlib, "sha256", _count(clock)):
        federation.run_rounds(clock.mark)
    return clock.measure_last()


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
