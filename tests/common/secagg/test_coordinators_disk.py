"""What a round's coordinator writes, how often it waits for the disk, and that a full disk costs nothing."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from secagg.world import VECTORS, World, check_sums

from common.errors import StorageError
from common.runtime import storage
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import gather, run_round
from common.secagg.coordinator.files import ServerFiles
from common.secagg.coordinator.round import ServerRound, Stage
from common.secagg.wire.frames import sha256


@pytest.fixture
def synced(monkeypatch) -> Counter[str]:
    """How often each file of the coordinator was waited for, by name; folders under "folder"."""
    counted: Counter[str] = Counter()
    original = os.fsync

    def count(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if "server" in path.parts:
            counted["folder" if path.is_dir() else path.name.split(".")[1]] += 1
        original(handle)

    monkeypatch.setattr(os, "fsync", count)
    return counted


def collect(world: World, **changes: object) -> ServerRound:
    """A round whose sums can be opened."""
    server = world.round(**changes)
    for _ in range(3):
        gather(server, world.exchange)
        if server.stage is not Stage.REVEALING:
            server.proceed()
    return server


def test_a_round_waits_for_the_masked_and_the_opened_sum_once_and_for_no_layout(tmp_path, synced):
    run_round(World(tmp_path).round(), World(tmp_path, approve=False).exchange)

    assert synced == {"record": 4, "sums": 1, "opened": 1, "folder": 6}


def test_the_masked_sum_is_not_read_again_by_who_wrote_it(tmp_path, monkeypatch):
    world = World(tmp_path)
    monkeypatch.setattr(ServerFiles, "read_total", None)

    check_sums(run_round(world.round(), world.exchange), [1, 2, 3])


@pytest.mark.parametrize("fails_at", ["opened", "record"])
def test_sums_that_could_not_be_kept_are_opened_when_there_is_room_again(tmp_path, monkeypatch, fails_at):
    server, replace = collect(World(tmp_path)), Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target.name == fails_at:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as full:
        full.setattr(storage.Path, "replace", refuse)
        with pytest.raises(StorageError, match="disk is full"):
            server.open()
    check_sums(server.open(), [1, 2, 3])


def test_words_that_no_site_signed_leave_the_sum_as_it_was(tmp_path):
    world = World(tmp_path)
    server = world.round()
    gather(server, world.exchange)
    server.proceed()
    answers = world.exchange(server.make_requests())
    altered = bytearray(answers["centre2"])
    altered[-50] ^= 1

    server.receive("centre1", answers["centre1"])
    with pytest.raises(SecAggError, match="not those that it signed"):
        server.receive("centre2", bytes(altered))
    with pytest.raises(SecAggError, match="not those that it signed"):
        server.receive("centre2", answers["centre2"][:-16])
    check_sums(run_round(server, world.exchange), [1, 2, 3])


def test_the_close_says_where_the_sums_lie_that_it_brings_back(tmp_path):
    returned = (VECTORS[0].name, VECTORS[-1].name)
    server = collect(World(tmp_path), returned=returned)
    sums = server.open()
    server.close("1" * 64)

    told = server.tell_close()

    assert told.path is not None
    content = told.path.read_bytes()
    payload = b"".join(content[start:stop] for start, stop in told.places)
    assert told.front + payload == server.make_close(is_told=True)
    assert sha256(payload).encode() in told.front
    opened = server.view_opened()
    words = [opened[name].tobytes() for name in returned]
    assert [name for name in sums if name in returned] == list(returned)
    assert payload.startswith(words[0])
    assert payload.rstrip(b"\0").endswith(words[1].rstrip(b"\0"))
