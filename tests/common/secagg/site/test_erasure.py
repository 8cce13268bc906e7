"""Nothing stays longer than needed, whatever became of the study; no message fills the disk with lines."""

import os

import pytest
from secagg.attacker import Attacker, codes
from secagg.world import ROUNDS, SESSIONS, World, code_of

from common.runtime.chained_file import list_chain
from common.secagg.codes import SecAggError
from common.secagg.site.erasure import erase_open, list_open, sweep
from common.secagg.site.session import count_kept_keys


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def events(world):
    return list_chain(world.state(1) / "audit.jsonl")


def sweep_late(world, seconds=8 * 86_400):
    world.now += seconds
    return sweep(world.files(1), world.clock)


def test_everything_past_its_deadline_is_erased_at_once(world):
    Attacker(world).join().contribute()
    Attacker(world, mode="session").join().contribute()
    assert len(list_open(world.files(1))) == 2

    assert sweep_late(world) == 2
    assert list_open(world.files(1)) == []
    assert [(line["event"], line["reason"]) for line in events(world)[-2:]] == [("ERASE", "deadline")] * 2
    assert count_kept_keys(world.state(1)) == 0


def test_a_state_that_nobody_can_read_is_erased_after_a_week(world):
    Attacker(world).join().contribute()
    (opened,) = list_open(world.files(1))
    (opened.path / "state").write_bytes(b"{}")
    for path in opened.path.iterdir():
        os.utime(path, (world.now, world.now))

    assert sweep_late(world, 6 * 86_400) == 0
    assert sweep_late(world, 2 * 86_400) == 1
    assert events(world)[-1]["reason"] == "damaged"


def test_what_came_back_from_a_backup_is_erased_at_its_deadline_too(world):
    """Its state is behind the witness, so that no message may be answered from it."""
    attack = Attacker(world).join()
    (opened,) = list_open(world.files(1))
    before = (opened.path / "state").read_bytes()
    attack.contribute()
    (opened.path / "state").write_bytes(before)

    assert codes(attack.contribute(asked=[1])) == {"E_RESTORED"}
    assert sweep_late(world) == 1


def test_a_site_whose_roster_or_history_is_gone_is_swept_all_the_same(world):
    Attacker(world).join()
    (world.state(1) / "roster").unlink()
    (world.state(1) / "ledger").write_bytes(b"?")

    assert sweep_late(world) == 1


def test_an_operator_ends_one_phase_and_the_other_goes_on(world):
    ended, other = Attacker(world).join(), Attacker(world, mode="session").join()
    (erased,) = erase_open(world.files(1), world.clock, ROUNDS)

    assert str(erased).startswith(f"{ROUNDS}: round 1, until 20")
    assert codes(ended.contribute(asked=[1])) == {"E_ABORTED"}
    assert code_of(ended.send(1, ended.m1())) == "E_ABORTED"
    assert codes(other.contribute()) == {"OK"}
    assert [opened.phase for opened in list_open(world.files(1))] == [SESSIONS]


def test_an_operator_ends_what_cannot_be_read(world):
    Attacker(world).join()
    (opened,) = list_open(world.files(1))
    (opened.path / "state").write_bytes(b"{}")

    (erased,) = erase_open(world.files(1), world.clock)

    assert "cannot be read" in str(erased)
    with pytest.raises(SecAggError, match="nothing is open") as refused:
        erase_open(world.files(1), world.clock)
    assert refused.value.code == "E_NO_STATE"


def test_a_later_round_is_not_ended_by_an_abort(world):
    Attacker(world).join()
    erase_open(world.files(1), world.clock)
    later = Attacker(world, 2, seed=b"2").join()

    assert codes(later.contribute()) == {"OK"}


def test_signed_messages_that_are_refused_without_end_are_counted(world, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("common.runtime.repeat_counts.time.monotonic", lambda: now[0])
    attack, machine = Attacker(world), world.machine(1)
    m1 = attack.m1()
    world.now += 8 * 86_400
    for _ in range(50):
        assert code_of(machine.handle(m1)) == "E_EXPIRED"
    now[0] += 3600.0
    machine.handle(m1)

    assert [(line["event"], line["code"], line["times"]) for line in events(world)] == [
        ("REFUSED", "E_EXPIRED", 1),
        ("REFUSED", "E_EXPIRED", 50),
    ]
    assert all("signature" in line["request"] for line in events(world))


def test_the_same_question_again_and_again_is_counted(world):
    attack, machine = Attacker(world), world.machine(1)
    answers = {bytes(machine.handle(attack.m1())) for _ in range(50)}

    assert len(answers) == 1
    assert [line["event"] for line in events(world)] == ["ENCODED", "JOIN"]


def test_each_line_says_how_far_the_history_had_come(world):
    world.release_round()
    history = list_chain(world.state(1) / "ledger")

    told = [line["history"]["lines"] for line in events(world) if "history" in line]

    assert told == sorted(told)
    assert told[-1] == len(history)


def test_a_history_that_was_altered_at_its_end_is_known_to_the_witness(world):
    world.release_round()
    path = world.state(1) / "ledger"
    path.write_bytes(path.read_bytes().replace(b'"status":"opened"', b'"status":"lost"'))
    later = Attacker(world, 2, seed=b"2")

    assert code_of(later.send(1, later.m1())) == "E_STATE_CORRUPT"
