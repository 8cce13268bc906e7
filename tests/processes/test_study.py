"""Coordinator and hospitals as real processes: what happens when any of them is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from processes.stage import ROUNDS, Stage, end, expected, family, named, results, staged, wait_until

from common.runtime.processes import Child

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A coordinator and two hospitals, to be shared: it takes long until they are connected.

    After the last test Ctrl-C ends them, and leaves no process.
    """
    with staged(tmp_path_factory.mktemp("stage")) as shared:
        yield shared
        coordinator, *sites = shared.gather()
        processes = [process for child in (coordinator, *sites) for process in family(child)]
        for child in (*sites, coordinator):
            child.process.send_signal(signal.SIGINT)
            assert end(child) == 130
        assert len(processes) > len(sites) + 1
        assert not [process for process in processes if process.is_running()]


@pytest.fixture
def stage(everybody: Stage, tmp_path: Path) -> Stage:
    """Everybody at work, whatever the tests before have ended, and no study yet."""
    everybody.gather()
    everybody.out = tmp_path / "out"
    return everybody


@pytest.fixture
def own_stage(tmp_path: Path) -> Iterator[Stage]:
    """A coordinator and two hospitals that nobody has started yet."""
    with staged(tmp_path) as prepared:
        yield prepared


@contextmanager
def hold(stage: Stage, number: int) -> Iterator[None]:
    """The round of this number waits in the engine of site A until it is released."""
    path = stage.state("A") / f"hold-{number}"
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def release(stage: Stage, number: int) -> Iterator[None]:
    """A context that is entered when the round is held; at its end the round goes on."""
    held = stage.state("A") / f"holding-{number}"
    wait_until(held.exists)
    yield
    held.unlink()
    (stage.state("A") / f"hold-{number}").unlink()


@contextmanager
def held_in(stage: Stage, number: int, *options: str) -> Iterator[Child]:
    """A study whose round of this number waits in the engine of site A."""
    hold = stage.state("A") / f"hold-{number}"
    hold.touch()
    try:
        study = stage.study(*options)
        wait_until((stage.state("A") / f"holding-{number}").exists)
        yield study
    finally:
        hold.unlink()


def test_a_study_runs_to_its_end_and_no_other_runs_beside_it(stage):
    with held_in(stage, 1) as study:
        second = stage.study("--resume")
        assert end(second) == 21
    assert "another process is working" in second.tail()
    assert end(study) == 0
    assert results(stage) == expected(ROUNDS)
    assert f"round number={ROUNDS}" in study.tail()
    again = stage.study()
    assert end(again) == 20
    assert "--resume" in again.tail()


def test_a_study_goes_on_by_itself_or_after_ctrl_c_with_resume_to_the_same_numbers(stage):
    coordinator, site, _ = stage.gather()
    engine_killed, link_killed = (site.tail().count(f"{one} was killed") for one in ("engine", "link"))
    superlink_died = coordinator.tail().count("died and is started again")

    with hold(stage, 2), hold(stage, 3), hold(stage, 4):
        study = stage.study()
        with release(stage, 2):
            named(site, "engine").kill()
            wait_until(lambda: site.tail().count("engine was killed") > engine_killed)
        with release(stage, 3):
            named(site, "link").kill()
            wait_until(lambda: site.tail().count("the link was killed") > link_killed)
        with release(stage, 4):
            named(coordinator, "superlink").kill()
            wait_until(lambda: coordinator.tail().count("died and is started again") > superlink_died)
            wait_until(lambda: "the SuperLink is back" in study.tail())
            study.process.send_signal(signal.SIGINT)
            assert end(study) == 130
    assert "round number=3" in study.tail()
    assert "--resume" in study.tail()

    study = stage.study("--resume")
    assert end(study) == 0
    assert "round number=3" not in study.tail()
    assert results(stage) == expected(ROUNDS)


def test_an_engine_that_cannot_run_ends_its_site_with_the_reason(own_stage):
    (own_stage.folder / "A" / "broken").touch()
    site = own_stage.open("A", "rhe-client", "start", own_stage.folder / "A", "--same-user")

    assert end(site) == 11
    assert "the engine cannot run" in site.tail()
    assert "No space left on device" in site.tail()
    assert "Traceback" not in site.tail()


def test_an_engine_that_stands_still_is_not_told_as_a_node_that_failed(stage):
    with held_in(stage, 1, "--stall", "6", "--wait", "0") as study:
        assert end(study) == 19
    assert "A: its engine makes no progress, since " in study.tail()
    assert "see the log of the engine there" in study.tail()


def test_a_study_that_fails_ends_with_its_own_exit_code(stage):
    stage.out = stage.out.with_name("too small")
    study = stage.study()
    assert end(study) == 16
    assert study.tail().count("rhe-server: 3 patients -> 20 are needed  [E_SMALL_N]") == 1
    assert "Traceback" not in study.tail()


def test_whatever_kills_a_supervisor_ends_its_children(own_stage):
    coordinator = own_stage.coordinator()
    site = own_stage.site("A")
    orphans = [process for child in (coordinator, site) for process in family(child)[1:]]
    for child in (coordinator, site):
        os.kill(child.process.pid, signal.SIGKILL)

    gone, alive = psutil.wait_procs(orphans, timeout=120)
    assert alive == []
    assert len(gone) >= 5
