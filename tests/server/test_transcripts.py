"""What sites are told of opened sums stands before whatever they are asked next, until they answer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from secagg.world import COUNTS, REALS, World, key

from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply
from common.secagg.coordinator.drive import open_session, run_step
from common.secagg.coordinator.forwarding import list_steps
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import MessageKind, pack
from common.secagg.wire.messages import ProtocolRefusal
from server.sessions import SessionSeat
from server.transcripts import TranscriptPost

ASKED = {"centre1": b"question one", "centre2": b"question two", "centre3": b"question three"}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path, 3)
    world.returns = {COUNTS.name: (1, 2), REALS.name: (1, 2)}
    return world


@pytest.fixture
def sessions(world):
    server = world.session()
    open_session(server, world.exchange)
    run_step(server, world.exchange, b"beta")
    return server


def post_of(world):
    return TranscriptPost(world.coordinator, world.session_folder().parent)


def told(messages):
    return {site for site, message in messages.items() if bytes(message) != ASKED[site]}


def answer(site, **fields):
    return Reply(ReplyHeader(site=site, **fields))


def refusal(site):
    body = ProtocolRefusal(request="0" * 64, site=1, code="E_BUSY").body()
    sealed = pack(MessageKind.REFUSAL, body, key("site 1"))
    return Reply(ReplyHeader(site=site), sealed=np.frombuffer(sealed, dtype=np.uint8))


@pytest.mark.usefixtures("sessions")
def test_each_site_is_told_before_what_it_is_asked_next(world):
    messages = post_of(world).attach(ASKED)

    assert told(messages) == {"centre1", "centre2"}
    for site in ("centre1", "centre2"):
        frames, rest = take_transcripts(messages[site])
        assert len(frames) == 1
        assert bytes(rest) == ASKED[site]
        assert world.machine(int(site[-1])).open_transcripts(messages[site])


@pytest.mark.usefixtures("sessions")
def test_a_site_that_did_not_answer_or_refused_is_told_again_the_same(world):
    post = post_of(world)
    first = post.attach(ASKED)
    post.confirm({"centre1": refusal("centre1"), "centre2": answer("centre2", code="E_SMALL_N")})

    assert post.attach(ASKED) == first
    post.confirm({"centre1": answer("centre1")})
    assert told(post.attach(ASKED)) == {"centre2"}


@pytest.mark.usefixtures("sessions")
def test_what_all_were_told_is_told_once_more_by_a_coordinator_that_resumes_alone(world):
    """A link may have taken the transcripts out: its site has not gone on then, and would be lost."""
    post = post_of(world)
    first = post.attach(ASKED)
    post.confirm({site: answer(site) for site in ASKED})

    assert told(post.attach(ASKED)) == set()
    assert post_of(world).attach(ASKED) == first


@pytest.mark.parametrize("is_answered", [True, False])
def test_of_a_session_that_all_have_erased_nothing_is_kept(world, sessions, is_answered):
    session, folder = sessions, world.session_folder().parent
    if not is_answered:
        run_step(session, world.exchange, b"gamma")
        session.ask(b"delta")
    lost = world.exchange_without("centre3")
    seats = [SimpleNamespace(last=session, exchange=exchange) for exchange in (lost, world.exchange)]

    assert not SessionSeat.close(seats[0])
    assert list_steps(folder)
    assert SessionSeat.close(seats[1])
    assert list_steps(folder) == []


@pytest.mark.usefixtures("sessions")
def test_a_coordinator_that_was_killed_tells_the_same(world):
    post = post_of(world)
    first = post.attach(ASKED)
    post.confirm({"centre1": answer("centre1")})

    assert post_of(world).attach(ASKED) == first


def test_before_any_sum_is_open_nobody_is_told_anything(world):
    post = post_of(world)

    assert post.attach(ASKED) == ASKED
    post.confirm({"centre1": answer("centre1")})


def test_only_the_last_step_is_told(world, sessions):
    post = post_of(world)
    post.attach(ASKED)
    run_step(sessions, world.exchange, b"gamma")

    messages = post.attach(ASKED)

    (frame,), _ = take_transcripts(messages["centre1"])
    assert b'"step":2' in frame.header
