"""A study of several hospitals in this process, whose answers can be looked at and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

from flwr.app import Message
from rich.progress import Progress

from client.link.connection import EngineLink
from common.errors import ExchangeError
from common.messages.envelope import split_messages
from common.messages.protocol import Reply, decode_reply
from common.models.checkpoint import load
from common.plan.study import StudyPlan
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import MessageKind, is_sealed, unpack
from common.types import FlatWeights
from server.conduct import conduct
from server.results.file import Results
from server.run import StudyRun
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

NETWORK = {
    "name": "Hidden rounds",
    "seed": 4,
    "threads": 1,
    "profile": "simulation",
    "sites": [{"name": name, "role": "train"} for name in "abc"],
    "models": [
        {
            "name": "net",
            "family": "resnet10-narrow",
            "input_size": 16,
            "training": {"batch_size": 8, "learning_rate": 0.003},
        }
    ],
    "arms": {"local_models": False},
    "federation": {"rounds": 2, "timeout_s": 60},
    "phases": ["training"],
}

Lost: TypeAlias = Callable[[str, MessageKind | None, bool], bool]
"""Whether an answer is lost: of this site, of this kind, in a training."""


class Wire:
    """The sites of one study in this process; keeps what they answered, and can lose what they say.

    `rounds` counts the rounds of messages of all its runs.
    """

    def __init__(self, plan: StudyPlan, sites: Mapping[str, Path], out: Path) -> None:
        self.run = StudyRun(
            plan=plan,
            out=out,
            key=derive_simulated_key(plan),
            roster=derive_simulated_roster(plan),
            resume=True,
        )
        self.sites = sites
        self.answers: list[tuple[str, MessageKind | None, Reply]] = []
        self.rounds = 0
        self.make_grid: Callable[[dict[str, EngineLink]], LocalGrid] = LocalGrid
        self.lost: Lost = lambda _site, _kind, _training: False

    def study(self) -> Results:
        engines = open_engines(self.run, self.sites, Progress(disable=True))
        grid = self.make_grid({name: self._tapped(name, engine.handle) for name, engine in engines.items()})
        push = grid.push_messages

        def count(messages: Iterable[Message]) -> Iterable[str]:
            self.rounds += 1
            return push(messages)

        with patch.object(grid, "push_messages", count):
            return conduct(grid, self.run, Progress(disable=True))

    def _tapped(self, name: str, handle: EngineLink) -> EngineLink:
        def answer(request: bytes) -> bytes:
            kinds = [self._look_at(name, one) for one in split_messages(request)]
            body = handle(request)
            for kind, reply in zip(kinds, split_messages(body), strict=True):
                # What is left for the next message has an empty answer
                if reply:
                    self.answers.append((name, kind, decode_reply(reply)))
            return body

        return answer

    def _look_at(self, name: str, request: bytes) -> MessageKind | None:
        """Of which kind a request is; it may be lost, with those that travel with it."""
        asked = take_transcripts(request)[1]
        frame = unpack(asked) if is_sealed(asked) else None
        kind = None if frame is None else frame.kind
        training = frame is not None and b'"phase":"training' in frame.header
        if self.lost(name, kind, training):
            raise ExchangeError("the hospital is dead")
        return kind


def final(out: Path) -> FlatWeights:
    """The weights of the federated network."""
    return load(out / "models" / "net" / "federated.safetensors").weights
