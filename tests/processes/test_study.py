"""Coordinator and hospitals as real processes: what happens when any of them is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes.stage import Stage, end, expected, family, named, results, staged, wait_until

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
    assert results(stage) == expected(2)
    assert "round number=2" in study.tail()
    again = stage.study()
    assert end(again) == 20
    assert "--resume" in again.tail()
    for child in (*sites, coordinator):
        child.process.send_signal(signal.SIGINT)
        assert end(child) == 130
    assert not [process for process in processes if process.is_running()]


def test_a_killed_engine_is_started_again_and_the_study_resumed(stage):
    _, site, _ = stage.gather()
    killed_before = site.tail().count("engine was killed")
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    hold = stage.state("A") / "hold"
    hold.touch()
    wait_until((stage.state("A") / "holding").exists)
    named(site, "engine").kill()
    hold.unlink()

    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: site.tail().count("engine was killed") > killed_before)
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)


def test_a_killed_superlink_comes_back_with_its_nodes_and_the_study_is_resumed(stage):
    coordinator, *_ = stage.gather()
    died_before = coordinator.tail().count("died and is started again")
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    named(coordinator, "flower-superlink").kill()

    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: coordinator.tail().count("died and is started again") > died_before)
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)


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


def test_ctrl_c_stops_the_study_and_its_server_app(stage):
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    (process,) = [
        path
        for path in (stage.office / "jobs").glob("*/process")
        if str(stage.out) in path.with_name("order.json").read_text()
    ]
    server_app = psutil.Process(int(process.read_text()))
    study.process.send_signal(signal.SIGINT)

    assert end(study) == 130
    assert "--resume" in study.tail()
    psutil.wait_procs([server_app], timeout=20)
    assert not server_app.is_running() or server_app.status() == psutil.STATUS_ZOMBIE
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)
