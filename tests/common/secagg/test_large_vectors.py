"""What a round costs with a large model: how often it is hashed, and how much memory it takes.

The sites' machines live on from message to message here, as an engine does: a fresh one knows no digest.
"""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from secagg.world import ROUNDS, World

from common.runtime.array_digest import freeze_array
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import run_round
from common.secagg.coordinator.gathering import HidingTask
from common.secagg.coordinator.round import ServerRound
from common.secagg.crypto.encoding import encode, round_block, scale_bits_for
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.wire.frames import sha256

SIZE = 1 << 20
BYTES = 4 * SIZE
LARGE = 1 << 17
"""Fewer bytes at once are no part of a model."""
PIECE = 1 << 17
UPDATE = Vector("update", (SIZE,), Ring.UPDATES, 1.0, scale_bits_for(2, 1.0))


def derive(opened, write):
    """The weights before, plus the sum, piece by piece."""
    before = np.frombuffer(opened.model, dtype="<f4")
    for start in range(0, SIZE, PIECE):
        piece = slice(start, start + PIECE)
        moved = before[piece] + round_block(UPDATE, opened.sums["update"], piece)
        write(moved.data.cast("B"))
    return b""


class Training(World):
    """Two sites whose machines live on, and the messages of a training's rounds."""

    def __init__(self, folder):
        super().__init__(folder, sites=2)
        self.plan.phases[ROUNDS] = PhaseRules(
            mode="round", vectors=(UPDATE,), rounds=10, returned=("update",)
        )
        self.values = {
            site: np.random.default_rng(site).uniform(-1, 1, SIZE).astype(np.float32)
            for site in self.identities
        }
        self.compute = {
            site: lambda *_, site=site: Computed((ComputedVector(UPDATE, self.values[site]),))
            for site in self.identities
        }
        self.machines: dict[int, SiteMachine] = {}
        self.side = "coordinator"
        self.peaks: Counter[str] = Counter()

    def machine(self, site):
        if site not in self.machines:
            self.machines[site] = replace(super().machine(site), derive=derive)
        return self.machines[site]

    def handle(self, name, message):
        self.side = name
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        try:
            return self.machine(int(name.removeprefix("centre"))).handle(message)
        finally:
            # With the message itself
            size = tracemalloc.get_traced_memory()[1] - held + len(message)
            self.peaks[name] = max(self.peaks[name], size)
            self.side = "coordinator"

    def begin(self, number, weights):
        asked = HidingTask("round", ROUNDS, number, (UPDATE,), returned=("update",), keeps_words=True)
        return ServerRound(self.coordinator, self.folder / f"server/{number}", asked, weights, b"seed")

    def run(self, number, weights, close=b""):
        """The weights after a round, and the CLOSE that tells the sites its sum."""
        server = self.begin(number, weights)
        if close:
            server.leave_model_out()

        def exchange(messages):
            if close and server.stage == "joining":
                messages = {name: close + question for name, question in messages.items()}
            return {name: self.handle(name, message) for name, message in messages.items()}

        run_round(server, exchange)
        summed = round_block(UPDATE, server.view_opened()["update"], slice(0, SIZE))
        following = freeze_array(weights + summed)
        server.close(sha256(following.data))
        return following, server.make_close(is_told=True)


@pytest.fixture
def hashed(monkeypatch):
    """How many bytes each side hashes in large pieces, once `world` is set."""
    counted: Counter[str] = Counter()
    original = hashlib.sha256

    class Counting:
        def __init__(self, data=b""):
            self._hash = original()
            self.update(data)

        def update(self, data):
            size = memoryview(data).nbytes
            if size >= LARGE:
                counted[counted_world.side] += size
            self._hash.update(data)

        def digest(self):
            return self._hash.digest()

        def hexdigest(self):
            return self._hash.hexdigest()

    class CountedWorld:
        side = "nobody"

    counted_world = CountedWorld()
    monkeypatch.setattr(hashlib, "sha256", Counting)

    def watch(world):
        nonlocal counted_world
        counted_world = world
        return counted

    return watch


def first_weights():
    return freeze_array(np.random.default_rng(0).normal(0, 0.1, SIZE).astype(np.float32))


def test_each_large_vector_is_hashed_once_a_side(tmp_path, hashed):
    world = Training(tmp_path)
    weights, close = world.run(1, first_weights())
    counted = hashed(world)

    world.run(2, weights, close)

    # The sum that comes, the model derived from it, the site's own encoded vector, and the masked one
    assert counted["centre1"] / BYTES == pytest.approx(4, abs=0.1)
    assert counted["centre2"] / BYTES == pytest.approx(4, abs=0.1)
    # The weights, what each of the two sites sent, the sum that goes back, and here the next weights
    assert counted["coordinator"] / BYTES == pytest.approx(5, abs=0.1)


def test_a_question_to_sites_that_derived_the_model_has_no_copy_of_it(tmp_path):
    server = Training(tmp_path).begin(1, first_weights())
    whole = server.ask_with_model()
    assert server.make_requests() == dict.fromkeys(("centre1", "centre2"), whole)

    server.leave_model_out()

    assert whole.count(first_weights().tobytes()) == 1
    without = whole.replace(first_weights().tobytes(), b"")
    assert server.make_requests() == dict.fromkeys(("centre1", "centre2"), without)


def test_a_large_vector_takes_little_memory(tmp_path):
    world = Training(tmp_path)
    weights, close = world.run(1, first_weights())
    world.peaks.clear()
    tracemalloc.start()
    try:
        world.run(2, weights, close)
    finally:
        tracemalloc.stop()

    # Of these, one is the message, and chunks of 1 MiB are a quarter of so short a vector
    assert max(world.peaks["centre1"], world.peaks["centre2"]) / BYTES < 3


def test_what_another_process_altered_is_found(tmp_path):
    world = Training(tmp_path)
    server = world.begin(1, first_weights())
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    (path,) = world.state(1).rglob("encoded.0")
    content = bytearray(path.read_bytes())
    content[77] ^= 1
    path.write_bytes(content)

    with pytest.raises(SecAggError, match="E_STATE_CORRUPT"):
        run_round(server, world.exchange)


def test_a_round_of_a_process_that_lives_on_gives_the_same_as_of_fresh_ones(tmp_path):
    lasting, fresh = Training(tmp_path / "lasting"), Training(tmp_path / "fresh")
    results = []
    for world in (lasting, fresh):
        weights, close = world.run(1, first_weights())
        if world is fresh:
            world.machines = {}
        results.append(world.run(2, weights, close)[0])

    expected = first_weights()
    for _ in range(2):
        words = sum(encode(UPDATE, world.values[site], sites=2).words for site in world.identities)
        expected = expected + round_block(UPDATE, words, slice(0, SIZE))
    assert results[0].tobytes() == results[1].tobytes() == expected.tobytes()
