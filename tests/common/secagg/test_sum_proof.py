"""A round's end at its members: they derive its result from proved sums, also where they are killed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
from secagg.attacker import Attacker
from secagg.faults import Killed, counted
from secagg.proving import (
    MODEL,
    RETURNED,
    WEIGHT,
    Following,
    Opened,
    ProvingWorld,
    check_stopped,
    count_one_less,
    history_of,
)
from secagg.world import ROUNDS, VECTORS, code_of

from common.secagg.coordinator.drive import finish, run_round
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.erasure import sweep
from common.secagg.site.rules import OpenedRound
from common.secagg.wire.frames import MessageKind, sha256
from common.secagg.wire.messages import Close


@pytest.fixture
def world(tmp_path):
    return ProvingWorld(tmp_path, 3)


@pytest.fixture
def first(world):
    opened = Opened(world)
    for site in world.identities:
        assert opened.send(site, opened.close()) == "OK"
    return opened


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
    words = server.view_opened()
    result = sha256(sha256(MODEL, *(words[name].tobytes() for name in RETURNED)).encode())

    server.close(result, WEIGHT)

    assert finish(server, world.exchange)
    assert set(sums) == {vector.name for vector in VECTORS}
    assert all(history_of(world, site).find_result(ROUNDS) == result for site in world.identities)


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


def test_a_round_past_its_deadline_leaves_no_model(world):
    Attacker(world).join()
    world.now += 2 * 86_400

    sweep(world.files(1), world.clock)

    assert not list(world.state(1).glob("*.m*"))
    assert list(world.state(2).glob("*.model.*"))
