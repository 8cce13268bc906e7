import time

import pytest
from secagg.attacker import Attacker
from secagg.world import SESSIONS, World, check_sums

from common.errors import ResumeError
from common.secagg.codes import SecAggError
from common.secagg.coordinator import session
from common.secagg.coordinator.drive import finish, open_session, run_step
from common.secagg.coordinator.gathering import SiteRefusedError
from common.secagg.site.rules import Computed, PhaseRules
from common.secagg.site.session import count_kept_keys
from common.secagg.wire.frames import sha256
from common.secagg.wire.messages import set_digest


def test_session_opens_every_iteration(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)

    for step in range(4):
        check_sums(run_step(server, world.exchange, bytes(step)), [1, 2, 3], factor=1 + step)

    server.close()
    assert finish(server, world.exchange)


def test_session_answers_the_same_parameters_from_the_disk(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    first = run_step(server, world.exchange, b"x")

    again = run_step(world.session(), world.exchange_without(*world.names), b"x")

    assert all((first[name] == again[name]).all() for name in first)


def test_site_with_other_vectors_is_named(tmp_path):
    world = World(tmp_path, 3)
    plain = world.machine(2).compute
    world.compute[2] = lambda *arguments: Computed(plain(*arguments).parts[:1])
    server = world.session()
    open_session(server, world.exchange)

    with pytest.raises(SecAggError, match="have: centre2") as refused:
        run_step(server, world.exchange, b"x")

    assert refused.value.code == "S_SHAPE"


def test_member_that_is_missing_pauses_the_session(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    with pytest.raises(SecAggError, match="not answered: centre3") as refused:
        run_step(server, world.exchange_without("centre3"), b"x")
    assert refused.value.code == "E_SET_INCOMPLETE"

    with pytest.raises(ResumeError, match="not open yet"):
        world.session().ask(b"other")
    check_sums(run_step(world.session(), world.exchange, b"x"), [1, 2, 3], factor=2)


def test_iteration_that_is_refused_may_be_asked_again(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    world.compute[2] = lambda *_: 1 / 0
    with pytest.raises(SiteRefusedError, match="centre2 refused: E_INTERNAL"):
        run_step(server, world.exchange, b"x")
    del world.compute[2]

    check_sums(run_step(server, world.exchange, b"x"), [1, 2, 3], factor=2)


def test_a_session_that_is_given_up_keeps_what_it_opened_and_another_goes_on(tmp_path):
    """A question that a site will always refuse would otherwise be the last: the next may not be asked."""
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    first = run_step(server, world.exchange, b"first")
    world.compute[2] = lambda *_: 1 / 0
    with pytest.raises(SiteRefusedError):
        run_step(server, world.exchange, b"refused")
    del world.compute[2]
    assert server.pending == sha256(b"refused")

    server.close("lost")
    assert finish(server, world.exchange)
    second = world.session(2)
    open_session(second, world.exchange)

    check_sums(run_step(second, world.exchange, b"x"), [1, 2, 3], factor=2)
    again = world.session()
    assert again.pending == ""
    assert again.has_opened(b"first")
    assert not again.has_opened(b"refused")
    assert all((first[name] == again.ask(b"first")[name]).all() for name in first)
    with pytest.raises(ValueError, match="nothing can be asked in closing"):
        again.ask(b"refused")


def test_an_iteration_whose_sites_add_nothing_together_opens_and_the_next_one_too(tmp_path):
    """As when each compared cohort is of one site, whose numbers travel beside the masks."""
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    for site in (1, 2, 3):
        world.compute[site] = lambda *_: Computed(())
    nothing = run_step(server, world.exchange, b"nothing")
    world.compute.clear()

    assert dict(nothing) == {}
    check_sums(run_step(server, world.exchange, b"x"), [1, 2, 3], factor=2)


def test_session_without_a_site_from_the_start(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange_without("centre1"))

    check_sums(run_step(server, world.exchange, b"x"), [2, 3], factor=2)
    assert server.members == ("centre2", "centre3")


def test_next_session_after_the_last_was_closed(tmp_path):
    world = World(tmp_path, 3)
    for number in (1, 2):
        server = world.session(number)
        open_session(server, world.exchange)
        check_sums(run_step(server, world.exchange, bytes(number)), [1, 2, 3], factor=1 + number)
        server.close()
        assert finish(server, world.exchange)


def test_quota_of_iterations(tmp_path):
    world = World(tmp_path, 3)
    world.plan.phases[SESSIONS] = PhaseRules(mode="session", maximum_releases=1)
    server = world.session()
    open_session(server, world.exchange)
    run_step(server, world.exchange, b"a")

    with pytest.raises(SiteRefusedError, match="E_POLICY"):
        run_step(server, world.exchange, b"bc")


def test_answers_that_are_out_of_place(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    server.ask(b"a")
    old = world.exchange(server.make_requests())
    with pytest.raises(SecAggError, match="no answer of site nobody"):
        server.receive("nobody", old["centre1"])
    with pytest.raises(ResumeError, match="ask for it again"):
        world.session().make_requests()
    for name, answer in old.items():
        server.receive(name, answer)
    server.open()
    server.ask(b"bc")

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", old["centre1"])

    assert refused.value.code == "S_STALE"
    altered = bytearray(world.exchange(server.make_requests())["centre1"])
    altered[-1] ^= 1
    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", bytes(altered))
    assert refused.value.code == "S_PAYLOAD"
    with pytest.raises(ValueError, match="proceed from iterating"):
        server.proceed()


def test_stages_out_of_order(tmp_path):
    server = World(tmp_path, 3).session()

    with pytest.raises(ValueError, match="asked in joining"):
        server.ask(b"x")
    with pytest.raises(ValueError, match="opened in joining"):
        server.open()
    with pytest.raises(SecAggError) as refused:
        server.proceed()
    assert refused.value.code == "E_MIN"


def test_fifty_sites(tmp_path):
    """One small vector costs a site less than 50 ms."""
    world = World(tmp_path, 50, 10)
    attack = Attacker(world, mode="session").join()
    attack.contribute(asked=[1])
    machine = world.machine(1)
    times = []
    for step in range(1, 6):
        message = attack.iterate(step, bytes(step))
        start = time.process_time()
        machine.handle(message)
        times.append(time.process_time() - start)

    assert min(times) < 0.05


def test_what_is_the_same_for_all_members_is_found_once_a_step(tmp_path, monkeypatch):
    """The set's digest and who gets which sum back: for each answer anew they cost members times members."""
    world = World(tmp_path, 4)
    world.returns = {"patients": (1, 2, 3, 4)}
    server = world.session()
    open_session(server, world.exchange)
    digests, asked = [], []
    monkeypatch.setattr(session, "set_digest", lambda joins: digests.append(joins) or set_digest(joins))
    server._returns = lambda vector: asked.append(vector) or world.receivers(vector)

    for step in range(3):
        run_step(server, world.exchange, bytes(step + 1))

    assert len(digests) <= 1
    assert asked == 3 * ["patients", "moments"]


def test_the_end_of_a_session_leaves_another_sites_keys(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    run_step(server, world.exchange, b"x")
    folders = [world.files(site).folder for site in world.identities]
    assert [count_kept_keys(folder) for folder in folders] == [1, 1, 1]

    server.close()
    requests = server.make_requests()
    world.handle(world.name(2), requests[world.name(2)])

    assert [count_kept_keys(folder) for folder in folders] == [1, 0, 1]
