"""What a site answers passes to the coordinator's process, whatever memory it lies in."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass

from rich.progress import Progress

from simulations.backends.engine_host import EngineHost


@dataclass(frozen=True)
class LargeAnswer:
    """An engine whose answer is a part of larger memory, as a large update's is."""

    def handle(self, message: bytes) -> memoryview:
        return memoryview(b"room" + message)[4:]


def test_an_answer_is_bytes():
    host = EngineHost(None, {"a": LargeAnswer()}, Progress(disable=True))

    here, there = multiprocessing.Pipe()
    with here, there:
        here.send(host.answer("a", b"question"))
        assert there.recv() == b"question"
