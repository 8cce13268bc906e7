import numpy as np
import pytest
from secagg.attacker import Attacker, codes
from secagg.faults import Killed, counted
from secagg.world import AUTHORITY_PUBLIC, ROUNDS, World, check_sums, code_of

from common.errors import ResumeError
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, run_round
from common.secagg.coordinator.gathering import SiteRefusedError
from common.secagg.coordinator.round import ServerRound
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.erasure import erase_open, sweep
from common.secagg.site.files import SiteFiles
from common.secagg.site.rules import SimulatedRandomness, system_randomness
from common.secagg.wire.frames import MessageKind, pack, unpack
from common.secagg.wire.messages import Close, Closed, Join, Reveal


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def open_folders(world, site=1):
    return [path for path in world.state(site).iterdir() if path.is_dir()]


def test_higher_round_supersedes_an_open_one(world):
    Attacker(world).join().contribute()
    later = Attacker(world, 2, seed=b"2").join()

    assert len(open_folders(world)) == 1
    assert codes(later.contribute()) == {"OK"}


def test_higher_round_that_fails_does_not_leave_the_old_one(world):
    attack = Attacker(world).join()
    world.compute[1] = lambda *_: 1 / 0
    later = Attacker(world, 2, seed=b"2")

    assert code_of(later.send(1, later.m1())) == "E_INTERNAL"
    assert code_of(attack.contribute(asked=[1])[1]) == "E_NO_STATE"


def test_operator_aborts_and_the_round_does_not_come_back(world):
    attack = Attacker(world).join()
    erase_open(world.files(1), world.clock, ROUNDS)

    assert not open_folders(world)
    assert code_of(attack.send(1, attack.m1())) == "E_ABORTED"
    assert code_of(attack.contribute(asked=[1])[1]) == "E_ABORTED"
    with pytest.raises(SecAggError) as refused:
        erase_open(world.files(1), world.clock, ROUNDS)
    assert refused.value.code == "E_NO_STATE"


def test_coordinator_may_close_what_the_operator_aborted(world):
    attack = Attacker(world).join()
    erase_open(world.files(1), world.clock, ROUNDS)
    close = Close(hdr=attack.hdr, phase=ROUNDS, status="lost", result="0" * 64)

    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, close))) == "OK"


def test_round_is_closed_once(world):
    attack = Attacker(world).join()
    close = Close(hdr=attack.hdr, phase=ROUNDS, status="lost", result="0" * 64)
    other = close.model_copy(update={"result": "1" * 64})

    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, close))) == "OK"
    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, other))) == "E_CONTEXT"


def test_damaged_state_is_wiped_by_close(world):
    attack = Attacker(world).join()
    (folder,) = open_folders(world)
    (folder / "state").write_bytes(b"{}")
    close = Close(hdr=attack.hdr, phase=ROUNDS, status="lost", result="0" * 64)

    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, close))) == "OK"
    assert not open_folders(world)


def test_sweep_wipes_what_has_expired(world):
    Attacker(world).join()
    sweep(world.files(1), world.clock)
    assert open_folders(world)
    world.now += 86_401

    sweep(world.files(1), world.clock)

    assert not open_folders(world)


def test_next_request_sweeps_the_other_phases(world):
    Attacker(world).join(1)
    world.now += 86_401
    Attacker(world, mode="session").join(1)

    assert len(open_folders(world)) == 1


def test_vector_of_a_killed_process_is_wiped(world):
    with pytest.raises(Killed), counted(2):
        Attacker(world).join(1)
    assert [path.name for path in open_folders(world)[0].iterdir()] == ["encoded.0"]

    sweep(world.files(1), world.clock)

    assert not open_folders(world)


def test_damaged_state_of_one_phase_does_not_block_another(world):
    Attacker(world).join()
    (folder,) = open_folders(world)
    (folder / "state").write_bytes(b"{}")

    assert codes(Attacker(world, mode="session").join().contribute()) == {"OK"}


def test_site_without_a_roster_answers_nothing(world, tmp_path):
    machine = world.machine(1)
    bare = SiteMachine(
        machine.identity, AUTHORITY_PUBLIC, SiteFiles(tmp_path / "bare"), world.plan, machine.compute
    )

    assert code_of(bare.handle(Attacker(world).m1())) == "E_CONTEXT"


def test_quota_of_releases(world):
    rules = world.plan.phases[ROUNDS]
    world.plan.phases[ROUNDS] = type(rules)(**{**vars(rules), "maximum_releases": 1})
    world.release_round(1)
    second = Attacker(world, 2, seed=b"2")

    assert code_of(second.send(1, second.m1())) == "E_POLICY"


def test_policy_of_the_engine_is_asked_with_the_history(world):
    world.release_round(1)
    seen = []

    def check(request, history):
        seen.append((request.round, history.count_releases(ROUNDS)))
        raise SecAggError("not this model", code="E_POLICY")

    world.plan.check = check
    second = Attacker(world, 2, seed=b"2")

    assert code_of(second.send(1, second.m1())) == "E_POLICY"
    assert seen == [(2, 1)]


def test_server_folder_is_of_one_round(world):
    world.round(1)
    folder = next((world.folder / "server").iterdir())

    with pytest.raises(ResumeError, match="another round"):
        ServerRound(world.coordinator, folder, world.question(2), b"model", b"seed")
    (folder / "record").write_bytes(b"?")
    with pytest.raises(ResumeError, match="damaged"):
        ServerRound(world.coordinator, folder, world.question(1), b"model", b"seed")


def test_opened_sum_that_is_gone(world):
    server = world.round()
    run_round(server, world.exchange)
    for path in (world.folder / "server").rglob("opened"):
        path.unlink()

    with pytest.raises(ResumeError, match="gone or damaged"):
        server.open()


def test_answers_to_an_abandoned_attempt_do_not_count(world):
    server = world.round()
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    old = world.exchange(server.make_requests())
    for name in ("centre1", "centre2"):
        server.receive(name, old[name])
    server.retry()

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", old["centre1"])

    assert refused.value.code == "S_STALE"
    check_sums(run_round(server, world.exchange), [1, 2])


def test_seed_of_another_attempt_does_not_count(world):
    server = world.round()
    for _ in range(2):
        for name, answer in world.exchange(server.make_requests()).items():
            server.receive(name, answer)
        server.proceed()
    answer = unpack(world.handle("centre1", server.make_requests()["centre1"]))
    other = Reveal.model_validate_json(answer.header).model_copy(update={"attempt": 1})

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", pack(MessageKind.REVEAL, other.body(), world.identities[1].key))
    assert refused.value.code == "S_STALE"
    with pytest.raises(ValueError, match="proceed from revealing"):
        server.proceed()


def test_answer_in_the_name_of_another_or_of_another_round(world):
    server, other = world.round(), Attacker(world, 2, seed=b"2")
    frame = unpack(world.handle("centre1", server.make_requests()["centre1"]))
    join = Join.model_validate_json(frame.header)
    named = join.model_copy(update={"site": 2})
    elsewhere = join.model_copy(update={"hdr": other.hdr})

    for header, code in ((named, "S_SIG"), (elsewhere, "S_CONTEXT")):
        with pytest.raises(SecAggError) as refused:
            server.receive("centre1", pack(MessageKind.JOIN, header.body(), world.identities[1].key))
        assert refused.value.code == code
    server.lose()
    closed = Closed(hdr=other.hdr, site=1)
    with pytest.raises(SecAggError, match="closed another round"):
        server.receive("centre1", pack(MessageKind.CLOSED, closed.body(), world.identities[1].key))


def test_refusal_names_the_site(world):
    world.compute[2] = lambda *_: 1 / 0
    server = world.round()

    with pytest.raises(SiteRefusedError, match="site centre2 refused: E_INTERNAL") as refused:
        run_round(server, world.exchange)

    assert (refused.value.site, refused.value.code) == ("centre2", "E_INTERNAL")


def test_server_refuses_answers_that_are_out_of_place(world):
    server = world.round()
    answers = world.exchange(server.make_requests())
    with pytest.raises(SecAggError, match="no answer of site nobody"):
        server.receive("nobody", answers["centre1"])
    with pytest.raises(ValueError, match="cannot be opened in joining"):
        server.open()
    with pytest.raises(ValueError, match="repeated in joining"):
        server.retry()
    with pytest.raises(ValueError, match="closed in joining"):
        server.close()
    for name, answer in answers.items():
        server.receive(name, answer)
    server.proceed()
    with pytest.raises(SecAggError) as refused:
        server.proceed()
    assert refused.value.code == "E_SET_INCOMPLETE"


def test_lost_round_is_forgotten_by_the_sites(world):
    server = world.round()
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.lose()

    assert finish(server, world.exchange)
    assert not open_folders(world)


def test_resting_sites_keep_the_round_allowed(tmp_path):
    """One of six is lost, so another rests with it: a sum less one site would isolate it."""
    world = World(tmp_path, 6)
    world.release_round(1)
    server = world.round(2, model=b"next", configuration=b"2")

    check_sums(run_round(server, world.exchange_without("centre2")), [1, 3, 4, 5])
    assert server.members == ("centre1", "centre3", "centre4", "centre5")


def test_simulated_study_has_the_same_bits_twice(tmp_path):
    def answers(folder):
        world = World(folder, 3)
        made = World.machine

        def machine(site):
            honest = made(world, site)
            fields = {name: getattr(honest, name) for name in honest.__dataclass_fields__}
            return SiteMachine(**(fields | {"randomness": SimulatedRandomness(b"study")}))

        world.machine = machine
        return Attacker(world).join().contribute()

    assert answers(tmp_path / "a") == answers(tmp_path / "b")


def test_simulated_randomness_has_one_stream_for_each_purpose():
    random = SimulatedRandomness(b"seed")

    assert len(random(100, "a")) == 100
    assert random(64, "a")[:32] == random(32, "a") != random(32, "b")
    assert len(system_randomness(32, "a")) == 32


def test_noise_is_drawn_once_and_stays_in_the_sum(world):
    from dataclasses import replace

    from common.secagg.site.rules import Computed

    for site in world.identities:
        plain = world.machine(site).compute

        def noisy(*arguments, plain=plain):
            parts = plain(*arguments).parts
            return Computed((parts[0], replace(parts[1], variance=1e6), parts[2]))

        world.compute[site] = noisy
    attack = Attacker(world).join()

    answers = attack.contribute()

    assert answers == attack.contribute()
    assert codes(attack.reveal(answers)) == {"OK"}
    sums = run_round(world.round(2, configuration=b"2"), world.exchange)
    with pytest.raises(AssertionError):
        check_sums(sums, [1, 2, 3])
    assert np.abs(sums["patients"]).max() < 20_000
