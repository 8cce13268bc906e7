"""Coordinator and hospitals as real processes: what happens when any of them is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from processes.stage import Stage, end, expected, family, named, results, staged, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    with staged(tmp_path) as prepared:
        yield prepared


def test_a_study_runs_to_its_end_and_ctrl_c_leaves_no_process(stage):
    coordinator = stage.coordinator()
    sites = [stage.site(name) for name in "AB"]
    everybody = [process for child in (coordinator, *sites) for process in family(child)]
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
    assert not [process for process in everybody if process.is_running()]


def test_a_killed_engine_is_started_again_and_the_study_resumed(stage):
    stage.coordinator()
    site = stage.site("A")
    stage.site("B")
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    hold = stage.state("A") / "hold"
    hold.touch()
    wait_until((stage.state("A") / "holding").exists)
    named(site, "engine").kill()
    hold.unlink()

    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: "engine was killed" in site.tail())
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)


def test_a_killed_superlink_comes_back_with_its_nodes_and_the_study_is_resumed(stage):
    coordinator = stage.coordinator()
    for name in "AB":
        stage.site(name)
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    named(coordinator, "flower-superlink").kill()

    assert end(study) == 19
    assert "--resume" in study.tail()
    wait_until(lambda: "died and is started again" in coordinator.tail())
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)


def test_an_engine_that_cannot_run_ends_its_site_with_the_reason(stage):
    (stage.folder / "A" / "broken").touch()
    site = stage.open("A", "rhe-client", "start", stage.folder / "A")

    assert end(site) == 11
    assert "the engine cannot run" in site.tail()
    assert "No space left on device" in site.tail()
    assert "Traceback" not in site.tail()


def test_a_study_that_fails_ends_with_its_own_exit_code(tmp_path):
    with staged(tmp_path, name="too small") as stage:
        stage.coordinator()
        for site in "AB":
            stage.site(site)
        study = stage.study()
        assert end(study) == 16
        assert study.tail().count("rhe-server: 3 patients -> 20 are needed  [E_SMALL_N]") == 1
        assert "Traceback" not in study.tail()


def test_a_killed_link_connects_again(stage):
    stage.coordinator()
    site = stage.site("A")
    log = stage.state("A") / "logs" / "link.log"
    named(site, "flower-supernode").kill()

    wait_until(lambda: "the link ended" in site.tail())
    wait_until(lambda: log.read_text().count("SuperNode ID:") == 2)
    wait_until(lambda: site.tail().count(": connected to") == 2)


def test_whatever_kills_a_supervisor_ends_its_children(stage):
    coordinator = stage.coordinator()
    site = stage.site("A")
    orphans = [process for child in (coordinator, site) for process in family(child)[1:]]
    for child in (coordinator, site):
        os.kill(child.process.pid, signal.SIGKILL)

    gone, alive = psutil.wait_procs(orphans, timeout=30)
    assert alive == []
    assert len(gone) >= 5


def test_ctrl_c_stops_the_study_and_its_server_app(stage):
    stage.coordinator()
    for name in "AB":
        stage.site(name)
    study = stage.study()
    wait_until(lambda: "round number=1" in study.tail())
    (process,) = (stage.office / "jobs").glob("*/process")
    server_app = psutil.Process(int(process.read_text()))
    study.process.send_signal(signal.SIGINT)

    assert end(study) == 130
    assert "--resume" in study.tail()
    psutil.wait_procs([server_app], timeout=20)
    assert not server_app.is_running() or server_app.status() == psutil.STATUS_ZOMBIE
    resumed = stage.study("--resume")
    assert end(resumed) == 0
    assert results(stage) == expected(2)
