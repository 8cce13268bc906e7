"""A coordinator that asks a session's sites different things, twice, out of order, or in two sessions."""

import numpy as np
import pytest
from secagg.attacker import Attacker, add, codes, frame_layout, session_total
from secagg.world import SESSIONS, World, check_sums, code_of, values_of

from common.secagg.codes import SecAggError
from common.secagg.site import handler, session
from common.secagg.site.rules import Computed, PhaseRules
from common.secagg.wire.frames import MessageKind, unpack
from common.secagg.wire.messages import Close


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def opened(world, number=1, sites=()):
    attack = Attacker(world, number, mode="session").join(*sites)
    assert codes(attack.contribute(*sites)) == {"OK"}
    return attack


def ask(attack, step, parameters, sites=()):
    message = attack.iterate(step, parameters)
    return {site: attack.send(site, message) for site in sites or attack.joins}


def closed(attack):
    header = Close(hdr=attack.hdr, phase=SESSIONS, status="lost", result="0" * 64)
    message = attack.message(MessageKind.CLOSE, header)
    return {attack.send(site, message) for site in attack.joins}


def test_attack_02_same_parameters_in_a_later_session(world):
    attack = opened(world)
    ask(attack, 1, b"beta")
    closed(attack)
    again = opened(world, 2)

    assert codes(ask(again, 1, b"beta")) == {"E_ALREADY_RELEASED"}
    assert codes(ask(again, 1, b"gamma")) == {"OK"}


def test_attack_08_session_s_set_below_the_minimum(world):
    attack = Attacker(world, mode="session").join()

    assert codes(attack.contribute(1)) == {"E_MIN"}


def test_attack_10_session_s_members_and_keys(world):
    attack = Attacker(world, mode="session").join()
    one, two, three = attack.members()
    swapped = three.model_copy(update={"join": three.join.model_copy(update={"key": "11" * 32})})

    assert code_of(attack.send(1, attack.m3([one, two, swapped]))) == "E_JOIN_SIG"
    assert code_of(attack.send(1, attack.m3([two, three]))) == "E_SELF_KEY"


def test_attack_22_session_of_too_few_patients(world):
    world.plan.phases[SESSIONS] = PhaseRules(mode="session", site_minimum=5)
    plain = world.machine(1).compute
    world.compute[1] = lambda *arguments: Computed(plain(*arguments).parts, 4)
    attack = opened(world)

    assert code_of(attack.send(1, attack.iterate(1, b"beta"))) == "E_SMALL_N"


def test_attack_28_session_keeps_one_answer(world):
    attack = opened(world)
    for step in (1, 2, 3):
        ask(attack, step, bytes(step))

    assert len(list(world.state(1).rglob("reply.*"))) == 1


def test_attack_33_different_parameters_for_each_site(world):
    attack = opened(world)
    same = ask(attack, 1, b"beta", (1, 2)) | ask(attack, 1, b"bEta", (3,))

    with pytest.raises(SecAggError) as refused:
        session_total(same.values()).decode_sums()

    assert codes(same) == {"OK"}
    assert refused.value.code == "S_CANARY"


def test_attack_33_would_cancel_at_the_same_parameters(world):
    attack = opened(world)

    check_sums(session_total(ask(attack, 1, b"beta").values()).decode_sums(), [1, 2, 3], factor=5)


def test_attack_33_parameters_that_differ_from_their_hash(world):
    attack = opened(world)
    message = bytearray(attack.iterate(1, b"beta"))
    message[-1] ^= 1

    assert code_of(attack.send(1, bytes(message))) == "E_INPUT_HASH"


def test_attack_34_same_iteration_with_other_parameters(world):
    attack = opened(world)
    first = ask(attack, 1, b"beta")

    assert codes(ask(attack, 1, b"bEta")) == {"E_ALREADY_RELEASED"}
    assert ask(attack, 1, b"beta") == first


def test_attack_34_would_tell_a_site_s_difference(world, monkeypatch):
    """Two answers of one site under one mask: what is left of their difference is plain."""
    monkeypatch.setattr(
        session, "make_session_context", lambda hdr, members, *_: {"hdr": hdr, "set": members}
    )
    attack = opened(world)
    answers = [ask(attack, step, bytes(step), (1,))[1] for step in (1, 2)]

    difference = session_total(answers[1:])
    frame = unpack(answers[0])
    add(difference, frame.payload[frame_layout(frame) :], sign=-1)

    assert np.allclose(difference.decode_sums()["moments"], values_of(1)["moments"], rtol=0, atol=1e-12)


def test_attack_35_skipped_or_old_iteration(world):
    attack = opened(world)
    assert codes(ask(attack, 2, b"beta")) == {"E_CONTEXT"}
    ask(attack, 1, b"beta")
    ask(attack, 2, b"gamma")

    assert codes(ask(attack, 1, b"beta")) == {"E_CONTEXT"}
    assert codes(ask(attack, 4, b"delta")) == {"E_CONTEXT"}


def test_attack_35_iteration_before_the_set_or_of_another(world):
    attack = Attacker(world, mode="session").join()
    assert codes(ask(attack, 1, b"beta")) == {"E_CONTEXT"}
    attack.contribute()

    other = attack.iterate(1, b"beta", sites=(1, 2))

    assert code_of(attack.send(1, other)) == "E_CONTEXT"


def test_attack_36_two_parallel_sessions_of_one_phase(world):
    attack = opened(world)

    second = Attacker(world, 2, mode="session")

    assert code_of(second.send(1, second.m1())) == "E_BUSY"
    assert codes(ask(attack, 1, b"beta")) == {"OK"}


def test_attack_36_other_set_in_an_open_session(world):
    attack = opened(world)

    assert codes(attack.contribute(1, 2)) == {"E_EQUIVOCATION"}
    assert codes(attack.contribute(attempt=1)) == {"E_ATTEMPTS"}


def test_attack_37_smaller_set_at_the_same_parameters_and_a_late_upload(world):
    attack = opened(world)
    ask(attack, 1, b"beta")
    closed(attack)

    smaller = Attacker(world, 2, mode="session").join(1, 2)

    assert codes(smaller.contribute(1, 2)) == {"E_SET_CHANGE"}


def test_attack_37_much_smaller_set_at_the_same_parameters(tmp_path):
    """A set that differs in enough sites is allowed, but not at parameters that were summed over another."""
    world = World(tmp_path, 6)
    attack = opened(world)
    ask(attack, 1, b"beta", (1, 2, 3, 4))
    closed(attack)
    smaller = opened(world, 2, (1, 2, 3, 4))

    assert codes(ask(smaller, 1, b"beta")) == {"E_SET_CHANGE"}
    assert codes(ask(smaller, 1, b"gamma")) == {"OK"}


def test_attack_37_would_isolate_the_laggard(world, monkeypatch):
    monkeypatch.setattr(handler, "check_sets", lambda *_: None)
    monkeypatch.setattr(handler, "check_model", lambda *_: None)
    monkeypatch.setattr(handler, "check_inputs", lambda *_: None)
    attack = opened(world)
    everything = session_total(ask(attack, 1, b"beta").values())
    closed(attack)
    smaller = opened(world, 2, (1, 2))
    two = session_total(ask(smaller, 1, b"beta").values())

    add(everything, memoryview(two.payload), sign=-1)

    check_sums(everything.decode_sums(), [3], factor=5)
