"""Sites and servers that are killed at any point, messages that come twice, processes that collide."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from secagg import process
from secagg.attacker import Attacker, codes, seed_of, session_total, signed_contribution, signed_join
from secagg.faults import Killed, counted
from secagg.world import ROUNDS, World, check_sums, code_of

from common.secagg.coordinator.drive import finish, open_session, run_round, run_step
from common.secagg.coordinator.files import ServerFiles
from common.secagg.wire.frames import MessageKind
from common.secagg.wire.messages import Close

MANY = 400


class Killing:
    """An exchange in which site 2 is killed at one point of each message, and then asked again, twice."""

    def __init__(self, world, at):
        self.world, self.at = world, at
        self.kills = 0
        self.passed = []

    def __call__(self, requests):
        return {name: self.answer(name, message) for name, message in requests.items()}

    def answer(self, name, message):
        if name != "centre2":
            return self.world.handle(name, message)
        try:
            with counted(self.at) as passed:
                answer = self.world.handle(name, message)
        except Killed:
            self.kills += 1
        else:
            self.passed.append(len(passed))
            return answer
        first, second = (self.world.handle(name, message) for _ in range(2))
        assert first == second
        assert code_of(first) == "OK"
        return first


def whole_round(world, exchange):
    server = world.round()
    sums = run_round(server, exchange, patience=1)
    server.close()
    assert finish(server, exchange)
    return sums


def whole_session(world, exchange):
    server = world.session()
    open_session(server, exchange, patience=1)
    sums = [run_step(server, exchange, parameters, patience=1) for parameters in (b"a", b"bc")]
    server.close()
    assert finish(server, exchange)
    return sums


def points_of(tmp_path, conduct):
    """How many points site 2 passes in each message."""
    killing = Killing(World(tmp_path / "all"), MANY)
    conduct(killing.world, killing)
    return killing.passed


@pytest.mark.slow
def test_attack_23_site_killed_at_every_point_of_a_round(tmp_path):
    points = points_of(tmp_path, whole_round)
    assert sum(points) > 40

    for at in range(max(points)):
        world = World(tmp_path / str(at))
        killing = Killing(world, at)
        check_sums(whole_round(world, killing), [1, 2, 3])
        assert killing.kills == sum(at < passed for passed in points)
        assert not [path for path in world.state(2).iterdir() if path.is_dir()]


@pytest.mark.slow
def test_attack_38_session_killed_at_every_point(tmp_path):
    points = points_of(tmp_path, whole_session)
    assert sum(points) > 30

    for at in range(max(points)):
        world = World(tmp_path / str(at))
        killing = Killing(world, at)
        first, second = whole_session(world, killing)
        check_sums(first, [1, 2, 3], factor=2)
        check_sums(second, [1, 2, 3], factor=3)
        assert killing.kills == sum(at < passed for passed in points)


def test_attack_38_killed_between_persist_and_send(tmp_path):
    world = World(tmp_path)
    attack = Attacker(world, mode="session").join()
    attack.contribute()
    message = attack.iterate(1, b"beta")
    kept = []

    for at in range(MANY):
        try:
            with counted(at):
                lost = world.handle("centre1", message)
            break
        except Killed:
            kept.append([path.read_bytes() for path in world.state(1).rglob("reply.*")])
    answers = {site: attack.send(site, message) for site in (1, 2, 3)}

    assert answers[1] == lost
    # From the first reply on the disk that its state names, nothing else was ever made
    assert kept[-1] == [lost]
    assert code_of(attack.send(1, attack.iterate(1, b"bEta"))) == "E_ALREADY_RELEASED"
    check_sums(session_total(answers.values()).decode_sums(), [1, 2, 3], factor=5)


class ServerKilled(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("conduct", [whole_round, whole_session])
def test_attack_23_server_killed_at_every_write(tmp_path, monkeypatch, conduct):
    expected = conduct(World(tmp_path / "whole"), World(tmp_path / "whole", approve=False).exchange)
    originals = {name: getattr(ServerFiles, name) for name in ("write", "keep_total", "keep_pieces")}
    for at in range(MANY):
        world, left = World(tmp_path / str(at)), [at]

        def fragile(original, left=left):
            def wrapped(self, *arguments):
                for when in (lambda: None, lambda: original(self, *arguments)):
                    when()
                    left[0] -= 1
                    if left[0] == -1:
                        raise ServerKilled

            return wrapped

        for name, original in originals.items():
            monkeypatch.setattr(ServerFiles, name, fragile(original))
        try:
            conduct(world, world.exchange)
            break
        except ServerKilled:
            found = resumed(conduct, world)
        assert_same(found, expected)
    assert at >= 12


def resumed(conduct, world):
    """What a server finds that begins again where the killed one was."""
    if conduct is whole_session:
        server = world.session()
        if server.stage == "closing":
            server = None
        else:
            open_session(server, world.exchange)
            return [run_step(server, world.exchange, parameters) for parameters in (b"a", b"bc")]
        return [world.session().ask(parameters) for parameters in (b"a", b"bc")]
    return run_round(world.round(), world.exchange)


def assert_same(found, expected):
    found, expected = (one if isinstance(one, list) else [one] for one in (found, expected))
    for left, right in zip(found, expected, strict=True):
        assert all(np.array_equal(left[name], right[name]) for name in right)


def test_attack_23_real_processes_killed(tmp_path):
    """kill -9 of real processes: before the state is on the disk, and between it and the answer."""
    world = World(tmp_path / "world")
    attack = Attacker(world).join(1, 3)
    message = attack.m1()
    for kill in (3, 12, 13):
        assert run_site(tmp_path, message, kill) is None
    attack.joins[2] = signed_join(run_site(tmp_path, message, -1))
    message = attack.m3(attack.members(1, 2, 3))
    assert run_site(tmp_path, message, 3) is None
    second = run_site(tmp_path, message, -1)
    answers = attack.contribute(1, 2, 3)

    assert answers[2] == second
    reveal = attack.m5([signed_contribution(answer) for answer in answers.values()])
    assert run_site(tmp_path, reveal, 7) is None
    seeds = {site: attack.send(site, reveal) for site in (1, 2, 3)}
    opened = attack.unmask(
        attack.total(answers.values()), {site: seed_of(answer) for site, answer in seeds.items()}
    )
    check_sums(opened.decode_sums(), [1, 2, 3])


def run_site(tmp_path, message, kill):
    """The answer of site 2's process, or None if it was killed."""
    asked, answer = tmp_path / "message", tmp_path / "answer"
    asked.write_bytes(message)
    answer.unlink(missing_ok=True)
    arguments = [str(tmp_path / "world"), "2", str(asked), str(answer), str(kill)]
    done = subprocess.run(
        [sys.executable, "-m", "secagg.process", *arguments],
        cwd=Path(process.__file__).parents[1],
        check=False,
        capture_output=True,
        timeout=60,
    )
    if done.returncode == 0:
        return answer.read_bytes()
    assert done.returncode == -9, done.stderr.decode()
    return None


def test_attack_24_two_processes_with_one_message(tmp_path):
    world = World(tmp_path / "world")
    attack = Attacker(world)
    plain = world.machine(2).compute
    others = []

    def compute(*arguments):
        others.append(run_site(tmp_path, attack.m1(), -1))
        return plain(*arguments)

    world.compute[2] = compute
    first = attack.send(2, attack.m1())

    assert codes(dict(enumerate(others))) == {"E_BUSY"}
    assert run_site(tmp_path, attack.m1(), -1) == first


def test_attack_24_many_threads_with_one_message(tmp_path):
    world = World(tmp_path)
    attack = Attacker(world).join()
    message = attack.m3(attack.members())
    answers, start = [], threading.Barrier(6)

    def ask():
        start.wait()
        answers.append(attack.send(1, message))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    whole = {answer for answer in answers if code_of(answer) == "OK"}
    assert {code_of(answer) for answer in answers} <= {"OK", "E_BUSY"}
    assert whole == {attack.send(1, message)}


def test_attack_27_replay_of_every_message(tmp_path):
    world = World(tmp_path)
    attack = Attacker(world).join()
    joins = {site: attack.send(site, attack.m1()) for site in world.identities}
    answers = attack.contribute()
    again = attack.contribute()
    assert attack.send(1, attack.m1()) == joins[1]
    seeds = attack.reveal(answers)
    seeds_again = attack.reveal(answers)
    close = attack.message(
        MessageKind.CLOSE, Close(hdr=attack.hdr, phase=ROUNDS, status="opened", result="0" * 64)
    )
    closed = [attack.send(1, close) for _ in range(3)]

    assert answers == again
    assert seeds == seeds_again
    assert codes(answers) == codes(seeds) == {"OK"}
    assert closed[0] == closed[1] == closed[2]
    assert code_of(closed[0]) == "OK"


def test_attack_27_replay_of_an_abandoned_attempt(tmp_path):
    attack = Attacker(World(tmp_path)).join()
    attack.contribute()
    attack.contribute(1, 2, attempt=1)

    assert code_of(attack.contribute(asked=[1])[1]) == "E_ATTEMPT_OLD"
