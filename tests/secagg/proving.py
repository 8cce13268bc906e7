"""Sites that are told a round's sums and derive its result, and a coordinator that tells what it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from secagg.attacker import Attacker, seed_of
from secagg.world import COUNTS, ROUNDS, UPDATE, VECTORS, World, code_of

from common.runtime.chained_file import list_chain
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.history import History
from common.secagg.site.rules import OpenedRound, PhaseRules
from common.secagg.wire.frames import MessageKind, sha256, unpack
from common.secagg.wire.messages import Close, Reveal, read
from common.secagg.wire.payload import cut_rooms
from common.secagg.wire.tag_keys import read_tag, write_tag

RETURNED = (UPDATE.name, COUNTS.name)
MODEL = b"model"
WEIGHT = 12


def derive(opened: OpenedRound, write: Callable[[bytes], None]) -> bytes:
    """The next model is a digest of all that it follows from."""
    write(sha256(bytes(opened.model), *(opened.sums[name].tobytes() for name in RETURNED)).encode())
    return b"memory"


class ProvingWorld(World):  # type: ignore[misc]  # mypy does not see pytest's path
    """A world in which the update and the counts come back to all sites."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=VECTORS, rounds=10, returned=RETURNED)

    def machine(self, site: int) -> SiteMachine:
        return replace(super().machine(site), derive=derive)

    def question(self, number: int = 1, **changes: object) -> Any:
        return super().question(number, **({"returned": RETURNED} | changes))


class Opened:
    """A round that an attacker has opened, and what an honest CLOSE of it would hold."""

    def __init__(self, world: World, number: int = 1, attempt: int = 0, sites: tuple[int, ...] = ()) -> None:
        self.world = world
        self.attack = Attacker(world, number).join()
        if attempt:
            self.attack.contribute()
        answers = self.attack.contribute(*sites, attempt=attempt)
        seeds = self.attack.reveal(answers, attempt)
        total = self.attack.total(answers.values())
        self.attack.unmask(total, {site: seed_of(one) for site, one in seeds.items()}, sites, attempt)
        rooms = cut_rooms(VECTORS, memoryview(total.payload))
        self.rooms = {vector.name: bytes(room) for vector, room in zip(VECTORS, rooms, strict=True)}
        tags = [read(unpack(one), MessageKind.REVEAL, Reveal).tags for one in seeds.values()]
        self.tags = {
            vector.name: write_tag(sum(read_tag(one[place]) for one in tags))
            for place, vector in enumerate(VECTORS)
        }

    def result(self) -> str:
        return sha256(sha256(MODEL, *(self.words(name).tobytes() for name in RETURNED)).encode())

    def words(self, name: str) -> np.ndarray:
        (vector,) = (vector for vector in VECTORS if vector.name == name)
        return np.frombuffer(self.rooms[name], vector.dtype, vector.words)

    def alter(self, name: str, change: Callable[[np.ndarray], object]) -> Opened:
        words = self.words(name).copy()
        change(words)
        self.rooms[name] = words.tobytes().ljust(len(self.rooms[name]), b"\0")
        return self

    def close(self, names: tuple[str, ...] = RETURNED, **changes: Any) -> bytes:
        sums = b"".join(self.rooms[name] for name in names)
        fields: dict[str, Any] = {
            "hdr": self.attack.hdr,
            "phase": ROUNDS,
            "status": "opened",
            "result": self.result(),
            "weight": WEIGHT,
            "tags": tuple(self.tags[name] for name in names),
            "sums": sha256(sums),
            "sums_bytes": len(sums),
        }
        return self.attack.message(MessageKind.CLOSE, Close.model_validate(fields | changes), sums)

    def send(self, site: int, message: bytes) -> str:
        return code_of(self.attack.send(site, message))


class Following(Attacker):  # type: ignore[misc]  # the same
    """The second round, whose question may leave the model out."""

    def __init__(self, world: World, first: Opened) -> None:
        super().__init__(world, 2, seed=b"two")
        self.model = sha256(MODEL, *(first.words(name).tobytes() for name in RETURNED)).encode()
        self.request = world.question(2).request(world.coordinator, self.model, self.seed)

    def without_model(self) -> bytes:
        return self.message(MessageKind.ROUND_REQUEST, self.request, self.seed)


def history_of(world: World, site: int) -> History:
    files = world.files(site)
    with files.lock():
        return files.history


def list_disproved(world: World, site: int) -> list[dict[str, Any]]:
    """What the site's log says of sums that it found false."""
    lines = list_chain(world.state(site) / "audit.jsonl")
    return [line for line in lines if line["event"] == "DISPROVED"]


def count_one_less(words: np.ndarray) -> None:
    words[0] -= 1


def check_stopped(world: World, opened: Opened, site: int, message: bytes) -> None:
    """The site has stopped: no honest message helps, and what it was sent is kept."""
    assert opened.send(site, message) == "E_SUM_PROOF"
    assert history_of(world, site).is_disproved
    assert history_of(world, site).list_results(ROUNDS) == frozenset()
    (evidence,) = world.state(site).glob("evidence.*")
    frame = unpack(evidence.read_bytes())
    assert frame.header == unpack(message).header
    assert frame.is_signed_by(bytes.fromhex(world.roster.coordinator))
    assert opened.send(site, message) == "E_SUM_PROOF"
    assert opened.send(site, Attacker(world, 2).m1()) == "E_SUM_PROOF"
