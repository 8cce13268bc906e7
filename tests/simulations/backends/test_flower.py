"""The same study over real Flower processes: the same bits, and no process left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.progress import Progress
from sites.handmade import make_site
from studies.page import leave_pictures_empty

from common.errors import PlanError, ResumeError
from common.plan.study import load_plan
from server.run import StudyRun
from simulations.backends.flower import run_over_flower
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key
from simulations.study_request import StudyRequest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PLAN = """\
name = "Two hand-made centres"
seed = 10
threads = 1
profile = "simulation"
two_site_ack = true
# Each message waits until a link asks for it: a regression's many rounds would add time and nothing new
phases = ["training", "evaluation"]
[[sites]]
name = "a"
role = "train"
model_release = true
[[sites]]
name = "b"
role = "external"
[[models]]
name = "flat"
family = "resnet10-narrow"
input_size = 16
repeats = 2
[models.training]
batch_size = 8
learning_rate = 0.003
[federation]
rounds = 1
timeout_s = 120
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    return {"a": make_site(folder / "a", "a", 15), "b": make_site(folder / "b", "b", 12, seed=1)}


@pytest.fixture
def plan(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(PLAN)
    return path


def reproducible_part(out):
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    del content["provenance"]
    return content


def left_behind(out):
    """Processes in whose command line the run's folder stands."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(out) in part for part in process.info["cmdline"] or ())
    ]


def everybody_works(out):
    """Whether the last process is started: a Ctrl-C that comes while Python forks is lost."""
    commands = [process.info["cmdline"] for process in left_behind(out)]
    last = [
        command
        for command in commands
        if {"run", "--resume"} <= {*command} and "rhe-simulate" not in command[1]
    ]
    return len(commands) >= 6 and bool(last)


def test_ctrl_c_ends_every_process_and_resumed_it_has_the_bits_of_the_in_process_backend(
    plan, sites, tmp_path
):
    here, there = tmp_path / "here", tmp_path / "there"
    interrupt_over_flower(plan, sites, there)
    study = load_plan(plan)
    with leave_pictures_empty():
        run_in_process(StudyRun(study, here, derive_simulated_key(study)), sites, Progress(disable=True))

    run_over_flower(StudyRequest(plan, sites, there, "flower", resume=True), Progress(disable=True))

    assert reproducible_part(there) == reproducible_part(here)
    models = sorted(path.relative_to(here) for path in here.glob("models/**/*.safetensors"))
    assert models
    for model in models:
        assert (there / model).read_bytes() == (here / model).read_bytes()
    assert (there / "report.html").stat().st_size > 1000
    assert left_behind(there) == []
    with pytest.raises(ResumeError, match="--resume"):
        run_over_flower(StudyRequest(plan, sites, there, "flower"), Progress(disable=True))


def interrupt_over_flower(plan, sites, out):
    """Start the study by its command, and end it by Ctrl-C once everybody works."""
    command = [str(Path(sys.executable).with_name("rhe-simulate")), "run", "--backend", "flower"]
    command += ["--plan", str(plan), "--out", str(out)]
    for name, folder in sites.items():
        command += ["--site", f"{name}={folder}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not everybody_works(out) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.5)  # to look takes the processor from those who are waited for

    os.kill(process.pid, signal.SIGINT)
    try:
        # A site signs off, a run is cancelled, the SuperLink ends: one after the other
        _, said = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    # What had only just been started hears of it from the kernel
    deadline = time.monotonic() + 120
    while left_behind(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(out) == []


def test_a_wrong_site_is_told_before_any_process_starts(plan, sites, tmp_path):
    with pytest.raises(PlanError, match="no --site for b"):
        run_over_flower(StudyRequest(plan, {"a": sites["a"]}, tmp_path / "out", "flower"), Progress())
    assert not (tmp_path / "out").exists()


def test_a_site_that_refuses_the_plan_is_told(plan, sites, tmp_path):
    # In the clear: four commands fewer before the site is asked
    plan.write_text(f"{PLAN}[privacy]\nsecure = false\n")
    refusing = make_site(tmp_path / "a", "a", 6, release=False)
    request = StudyRequest(plan, {**sites, "a": refusing}, tmp_path / "out", "flower")
    with pytest.raises(Exception, match="model_release") as told:
        run_over_flower(request, Progress(disable=True))
    assert told.value.exit_code == 17
    assert left_behind(tmp_path / "out") == []
