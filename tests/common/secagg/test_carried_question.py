"""A CLOSE that carries the next round's question: a round trip less, and no check less."""

import pytest
from secagg.attacker import Attacker
from secagg.world import World, code_of

from common.secagg.wire.frames import MessageKind, unpack
from common.secagg.wire.messages import NO_DIGEST, Close


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


@pytest.fixture
def first(world):
    """A round that all sites have opened."""
    attack = Attacker(world).join()
    attack.reveal(attack.contribute())
    return attack


def closing(attack, **changes):
    fields = {"hdr": attack.hdr, "phase": attack.request.phase, "status": "opened", "result": NO_DIGEST}
    return attack.message(MessageKind.CLOSE, Close.model_validate(fields | changes))


def history_of(world, site):
    files = world.files(site)
    with files.lock():
        return files.history


def kind_of(answer):
    return unpack(answer).kind


def test_the_round_ends_and_the_next_begins(world, first):
    following = Attacker(world, number=2, seed=b"two")
    together = closing(first) + following.m1()

    answers = {site: first.send(site, together) for site in (1, 2, 3)}

    assert {kind_of(answer) for answer in answers.values()} == {MessageKind.JOIN}
    for site in (1, 2, 3):
        history = history_of(world, site)
        assert history.find_end(first.hdr).status == "opened"
        assert history.find_begun(following.request.phase).hdr == following.hdr


def test_the_same_bytes_again_have_the_same_answer(world, first):
    together = closing(first) + Attacker(world, number=2, seed=b"two").m1()

    assert first.send(1, together) == first.send(1, together)


def test_a_question_that_is_refused_leaves_the_round_closed(world, first):
    again = closing(first) + first.m1()

    assert code_of(first.send(1, again)) == "E_ROUND_OLD"
    assert history_of(world, 1).find_end(first.hdr) is not None


def test_a_close_that_is_refused_takes_its_question_along(world, first):
    following = Attacker(world, number=2, seed=b"two")
    together = closing(first, hdr="0" * 64) + following.m1()

    assert code_of(first.send(1, together)) == "E_NO_STATE"
    assert history_of(world, 1).find_begun(following.request.phase).hdr == first.hdr


def test_nothing_but_a_question_is_carried(world, first):
    close = closing(first)

    assert code_of(first.send(1, close + first.m3(first.members()))) == "E_CONTEXT"
    assert code_of(first.send(1, close + close)) == "E_CONTEXT"
    assert code_of(first.send(1, close + b"\1")) == "E_CONTEXT"


def test_the_question_needs_a_signature_of_its_own(world, first):
    question = bytearray(Attacker(world, number=2, seed=b"two").m1())
    # The signature follows the header
    length = len(unpack(bytes(question)).header)
    question[16 + length] ^= 1

    assert code_of(first.send(1, closing(first) + bytes(question))) == "E_COORD_SIG"
