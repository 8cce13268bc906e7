"""Coordinator and hospitals as real processes: what happens when any of them is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes.stage import ROUNDS, Stage, end, expected, family, named, results, staged, wait_until

from common.runtime.processes import Child

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A coordinator and two hospitals, to be shared: it takes long until they are connected."""
    with staged(tmp_path_factory.mktemp("stage")) as shared:
        yield shared


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


def test_a_study_runs_to_its_end_and_ctrl_c_leaves_no_process(stage):
    coordinator, *sites = stage.gather()
    processes = [process for child in (coordinator, *sites) for process in family(child)]
    study = stage.study()
    wait_until(lambda: "site connected" in study.tail())
    second = stage.study("--resume")

    assert end(second) == 21
    assert "another process is working" in second.tail()
    assert end(study) == 0
    assert results(stage) == expected(ROUNDS)
    assert f"round number={ROUNDS}" in study.tail()
    again = stage.study()
    assert end(again) == 20
    assert "--resume" in again.tail()
    for child in (*sites, coordinator):
        child.process.send_signal(signal.SIGINT)
        assert end(child) == 130
    assert not [process for process in processes if process.is_running()]


def kill_the_engine_while_it_answers(stage: Stage, site: Child) -> None:
    hold = stage.state("A") / "hold"
    hold.touch()
    wait_until((stage.state("A") / "holding").exists)
    named(site, "engine").kill()
    hold.unlink()


def test_a_study_goes_on_after_each_kill_and_after_ctrl_c_to_the_same_numbers(stage):
    coordinator, site, _ = stage.gather()
    engine_killed = site.tail().count("engine was killed")
    superlink_died = coordinator.tail().count("died and is started again")

    study = stage.study()
    wait_until(lambda: "round number=" in study.tail())
    kill_the_engine_while_it_answers(stage, site)
    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: site.tail().count("engine was killed") > engine_killed)

    study = stage.study("--resume")
    wait_until(lambda: "round number=" in study.tail())
    named(coordinator, "flower-superlink").kill()
    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: coordinator.tail().count("died and is started again") > superlink_died)

    study = stage.study("--resume")
    wait_until(lambda: "round number=" in study.tail())
    server_app = server_app_of(stage)
    study.process.send_signal(signal.SIGINT)
    assert end(study) == 130
    assert "--resume" in study.tail()
    psutil.wait_procs([server_app], timeout=20)
    assert not server_app.is_running() or server_app.status() == psutil.STATUS_ZOMBIE

    assert end(stage.study("--resume")) == 0
    assert results(stage) == expected(ROUNDS)


def server_app_of(stage: Stage) -> psutil.Process:
    """The process that works on the stage's study now."""
    orders = sorted((stage.office / "jobs").glob("*/order.json"), key=lambda path: path.stat().st_mtime)
    newest = [order for order in orders if str(stage.out) in order.read_text()][-1]
    return psutil.Process(int(newest.with_name("process").read_text()))


def test_an_engine_that_cannot_run_ends_its_site_with_the_reason(own_stage):
    (own_stage.folder / "A" / "broken").touch()
    site = own_stage.open("A", "rhe-client", "start", own_stage.folder / "A")

    assert end(site) == 11
    assert "the engine cannot run" in site.tail()
    assert "No space left on device" in site.tail()
    assert "Traceback" not in site.tail()


def test_a_study_that_fails_ends_with_its_own_exit_code(stage):
    stage.out = stage.out.with_name("too small")
    study = stage.study()
    assert end(study) == 16
    assert study.tail().count("rhe-server: 3 patients -> 20 are needed  [E_SMALL_N]") == 1
    assert "Traceback" not in study.tail()


def test_a_killed_link_connects_again(stage):
    _, site, _ = stage.gather()
    log = stage.state("A") / "logs" / "link.log"
    ended, joined, connected = (
        site.tail().count("the link ended"),
        log.read_text().count("SuperNode ID:"),
        site.tail().count(": connected to"),
    )
    named(site, "flower-supernode").kill()

    wait_until(lambda: site.tail().count("the link ended") > ended)
    wait_until(lambda: log.read_text().count("SuperNode ID:") == joined + 1)
    wait_until(lambda: site.tail().count(": connected to") == connected + 1)


def test_whatever_kills_a_supervisor_ends_its_children(own_stage):
    coordinator = own_stage.coordinator()
    site = own_stage.site("A")
    orphans = [process for child in (coordinator, site) for process in family(child)[1:]]
    for child in (coordinator, site):
        os.kill(child.process.pid, signal.SIGKILL)

    gone, alive = psutil.wait_procs(orphans, timeout=30)
    assert alive == []
    assert len(gone) >= 5
