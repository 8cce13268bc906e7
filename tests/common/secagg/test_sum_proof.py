"""A coordinator that tells a member a false sum of a round is found out, once, and answered nothing more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from secagg.attacker import Attacker, seed_of
from secagg.faults import Killed, counted
from secagg.world import COUNTS, ROUNDS, UPDATE, VECTORS, World, code_of

from common.secagg.coordinator.drive import finish, run_round
from common.secagg.crypto.sum_tag import TAG_MODULUS
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.rules import Computed, OpenedRound, PhaseRules
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


class ProvingWorld(World):
    """A world in which the update and the counts come back to all sites."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=VECTORS, rounds=10, returned=RETURNED)

    def machine(self, site: int) -> SiteMachine:
        return replace(super().machine(site), derive=derive)

    def question(self, number: int = 1, **changes: object) -> Any:
        return super().question(number, **({"returned": RETURNED} | changes))


@pytest.fixture
def world(tmp_path):
    return ProvingWorld(tmp_path, 3)


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


def history_of(world, site):
    files = world.files(site)
    with files.lock():
        return files.history


def check_stopped(world, opened, site, message):
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


@pytest.mark.parametrize(("sites", "colluders"), [(2, 0), (3, 1), (5, 1)])
def test_members_derive_the_result_from_the_proved_sum(tmp_path, sites, colluders):
    world = ProvingWorld(tmp_path, sites, colluders)
    opened = Opened(world)

    for site in world.identities:
        assert opened.send(site, opened.close()) == "OK"
        assert history_of(world, site).list_results(ROUNDS) == {opened.result()}
        assert history_of(world, site).find_weight(ROUNDS) == WEIGHT
        # Again, as after a lost answer
        assert opened.send(site, opened.close()) == "OK"


def test_the_coordinator_s_own_round_is_accepted(world):
    server = world.round()
    sums = run_round(server, world.exchange)
    total = server._files.read_total("opened")
    words = dict(zip([vector.name for vector in VECTORS], total.words, strict=True))
    result = sha256(sha256(MODEL, *(words[name].tobytes() for name in RETURNED)).encode())

    server.close(result, WEIGHT)

    assert finish(server, world.exchange)
    assert set(sums) == {vector.name for vector in VECTORS}
    assert all(history_of(world, site).find_result(ROUNDS) == result for site in world.identities)


def move_one(words):
    words[3] += 1


def count_one_less(words):
    words[0] -= 1


def replace_by_a_third(words):
    words //= 3


ATTACKS = {
    "update": (move_one, replace_by_a_third, lambda words: words.fill(0)),
    "patients": (count_one_less, lambda words: words.fill(0)),
}


@pytest.mark.parametrize(("name", "change"), [(name, one) for name, some in ATTACKS.items() for one in some])
def test_attack_43_a_false_sum_alone(world, name, change):
    opened = Opened(world).alter(name, change)

    check_stopped(world, opened, 2, opened.close())


@pytest.mark.parametrize("factor", [0, 2, -1])
def test_attack_43_sum_and_tag_scaled_together(world, factor):
    opened = Opened(world)
    for name in RETURNED:
        opened.alter(name, lambda words: np.copyto(words, words * np.array(factor).astype(words.dtype)))
        opened.tags[name] = write_tag(factor * read_tag(opened.tags[name]) % TAG_MODULUS)

    check_stopped(world, opened, 1, opened.close())


def send_nothing(compute):
    def send(*asked):
        parts = compute(*asked).parts
        return Computed(tuple(replace(part, values=0 * np.asarray(part.values)) for part in parts))

    return send


def test_attack_43_the_tag_divided_by_a_sum_with_one_entry(tmp_path):
    """Of zeros the tag would be zero without a pad, and any multiple of it one of a sum with one entry."""
    world = ProvingWorld(tmp_path, 2)
    for site in world.identities:
        world.compute[site] = send_nothing(world.machine(site).compute)
    opened = Opened(world)
    assert not opened.words("patients").any()
    tag = read_tag(opened.tags["patients"])
    opened.alter("patients", lambda words: words.__setitem__(0, 7))
    opened.tags["patients"] = write_tag(7 * tag)

    check_stopped(world, opened, 2, opened.close())


def test_attack_43_tags_of_another_vector_or_of_none(world):
    opened = Opened(world)
    swapped = tuple(opened.tags[name] for name in RETURNED[::-1])

    check_stopped(world, opened, 1, opened.close(tags=swapped))
    check_stopped(world, opened, 2, opened.close(tags=()))
    check_stopped(world, opened, 3, opened.close(names=("update", "moments")))


def test_attack_43_the_sum_of_an_earlier_round(world, first):
    following = Following(world, first).join()
    following.reveal(following.contribute())
    first.attack = following

    assert first.send(1, first.close()) == "E_SUM_PROOF"
    assert len(history_of(world, 1).list_results(ROUNDS)) == 1


def test_attack_43_a_sum_of_another_attempt_or_set(tmp_path):
    """The first attempt is never opened, so its masks are in its sum; and the keys of the second are new."""
    world = ProvingWorld(tmp_path, 4)
    opened = Opened(world, attempt=1, sites=(1, 2, 3))
    assert opened.send(1, opened.close()) == "OK"
    other = Opened(ProvingWorld(tmp_path / "other", 4))
    opened.tags = other.tags

    check_stopped(world, opened, 2, opened.close())


def test_a_result_that_does_not_follow_from_its_sums(world):
    opened = Opened(world)

    check_stopped(world, opened, 1, opened.close(result="5" * 64))


def test_words_that_were_damaged_on_the_way_are_no_proof_of_anything(world):
    opened = Opened(world)
    message = bytearray(opened.close())
    message[-9] ^= 1

    assert opened.send(1, bytes(message)) == "E_INPUT_HASH"
    assert not history_of(world, 1).is_disproved
    assert opened.send(1, opened.close()) == "OK"


def test_a_close_without_sums_makes_no_model_known(world):
    opened = Opened(world)

    assert opened.send(1, opened.close(names=())) == "OK"
    assert history_of(world, 1).list_results(ROUNDS) == frozenset()
    # Nor can it be made known later
    assert opened.send(1, opened.close()) == "OK"
    assert history_of(world, 1).list_results(ROUNDS) == frozenset()


def test_a_refused_weight_is_no_false_sum(world):
    class Refusing(ProvingWorld):
        def machine(self, site: int) -> SiteMachine:
            return replace(super().machine(site), derive=refuse)

    def refuse(opened: OpenedRound, _write: object) -> bytes:
        assert (opened.weight, opened.earlier_weight, bytes(opened.model)) == (WEIGHT, None, MODEL)
        raise ValueError("not the sites'")

    opened = Opened(world)
    world.__class__ = Refusing

    assert opened.send(1, opened.close()) == "E_INTERNAL"
    world.__class__ = ProvingWorld
    assert opened.send(1, opened.close()) == "OK"


def test_a_site_that_is_killed_at_any_point_of_the_proof_comes_to_the_same(world, tmp_path):
    opened = Opened(world)
    message, at = opened.close(), 0
    answer = b""
    while not answer:
        copy = ProvingWorld(tmp_path / str(at), 3)
        shutil.rmtree(copy.folder / "site1")
        shutil.copytree(world.folder / "site1", copy.folder / "site1")
        with suppress(Killed), counted(at):
            answer = copy.handle("centre1", message)
        again = copy.handle("centre1", message)

        assert code_of(again) == "OK"
        assert history_of(copy, 1).list_results(ROUNDS) == {opened.result()}
        kept = copy.files(1).models_of(ROUNDS)
        assert kept.find(opened.result(), 64) is not None
        assert kept.read_memory(opened.result()) == b"memory"
        assert kept.find(sha256(MODEL), len(MODEL)) is None
        assert not [path for path in copy.state(1).iterdir() if path.is_dir()]
        at += 1

    assert answer == again
    assert at > 10


def test_a_site_that_is_killed_at_any_point_after_a_false_sum_has_stopped(world):
    opened = Opened(world).alter("patients", count_one_less)
    message = opened.close()

    for at in range(400):
        try:
            with counted(at):
                answer = world.handle("centre1", message)
            break
        except Killed:
            # Nothing was answered: the coordinator has learnt nothing
            pass

    assert code_of(answer) == "E_SUM_PROOF"
    check_stopped(world, opened, 1, message)


class Following(Attacker):
    """The second round, whose question may leave the model out."""

    def __init__(self, world: World, first: Opened) -> None:
        super().__init__(world, 2, seed=b"two")
        self.model = sha256(MODEL, *(first.words(name).tobytes() for name in RETURNED)).encode()
        self.request = world.question(2).request(world.coordinator, self.model, self.seed)

    def without_model(self) -> bytes:
        return self.message(MessageKind.ROUND_REQUEST, self.request, self.seed)


@pytest.fixture
def first(world):
    opened = Opened(world)
    for site in world.identities:
        assert opened.send(site, opened.close()) == "OK"
    return opened


def watch_payloads(world, site):
    plain, payloads = world.machine(site).compute, []

    def compute(request, question, payload):
        payloads.append(bytes(payload))
        return plain(request, question, payload)

    world.compute[site] = compute
    return payloads


def test_the_next_question_needs_no_model(world, first):
    following, payloads = Following(world, first), watch_payloads(world, 1)

    whole = first.close() + following.without_model()

    assert first.send(1, whole) == "OK"
    assert payloads == [following.model + b"two"]
    assert world.handle("centre1", whole) == world.handle("centre1", following.m1())


@pytest.mark.parametrize("damage", ["gone", "short", "altered"])
def test_a_site_whose_model_is_gone_says_so_and_takes_the_whole(world, first, damage):
    following, payloads = Following(world, first), watch_payloads(world, 1)
    (path,) = world.state(1).glob("*.model.*")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "short" else b"x" * 64)

    assert first.send(1, following.without_model()) == "E_NO_MODEL"
    assert first.send(1, following.m1()) == "OK"
    assert payloads == [following.model + b"two"]
    assert world.files(1).models_of(ROUNDS).find(following.request.model, 64) is not None


def test_a_question_without_a_model_is_still_the_one_that_was_signed(world, first):
    following = Following(world, first)
    altered = following.message(MessageKind.ROUND_REQUEST, following.request, b"tWo")

    assert first.send(1, altered) == "E_INPUT_HASH"


def test_a_site_that_needs_no_model_gets_none_and_no_sums(tmp_path):
    world = ProvingWorld(tmp_path, 3)
    rules = world.plan.phases[ROUNDS]
    world.plan.phases[ROUNDS] = replace(rules, returned=(), needs_model=False)
    payloads = watch_payloads(world, 1)
    opened = Opened(world)

    assert payloads == [b"seed"]
    assert opened.send(1, opened.close(names=())) == "OK"
    assert not list(world.state(1).glob("*.model.*"))


@pytest.mark.parametrize("number", [9, 10])
def test_after_the_last_round_no_model_is_kept(world, number):
    opened = Opened(world, number)

    assert opened.send(1, opened.close()) == "OK"
    assert bool(list(world.state(1).glob("*.m*"))) == (number < 10)


def test_a_round_that_is_lost_leaves_no_model(world):
    attack = Attacker(world).join()
    assert list(world.state(1).glob("*.model.*"))
    close = Close(hdr=attack.hdr, phase=ROUNDS, status="lost", result="0" * 64)

    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, close))) == "OK"
    assert not list(world.state(1).glob("*.m*"))
