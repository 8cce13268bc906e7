"""A study as a process of its own, killed and interrupted and resumed: the bits of one that ran through."""

import json
import signal
import subprocess
import sys
import time

import pytest
from rich.progress import Progress
from sites.handmade import make_site

from common.plan.study import load_plan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

# Small: each of the beginnings reads all patients. Two rounds, so that one stands in a checkpoint.
PLAN = """\
name = "Two hand-made centres"
seed = 3
threads = 1
profile = "simulation"
two_site_ack = true
sites = [{ name = "a", role = "train", model_release = true }, { name = "b", role = "train" }]
[[models]]
name = "flat"
family = "resnet10-narrow"
input_size = 16
[models.training]
batch_size = 8
learning_rate = 0.003
[[models]]
name = "solid"
family = "resnet10-narrow"
dimensions = 3
input_size = 16
[models.training]
batch_size = 8
learning_rate = 0.003
[federation]
rounds = 2
[arms]
pooled_model = true
[explanation]
per_site = 0
"""


@pytest.fixture
def sites(tmp_path):
    return {"a": make_site(tmp_path / "a", "a", 15), "b": make_site(tmp_path / "b", "b", 12, seed=1)}


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def run(path, sites, out, *, resume=False):
    study = load_plan(path)
    request = StudyRun(study, out, derive_simulated_key(study), resume=resume)
    run_in_process(request, sites, Progress(disable=True))


def reproducible_part(out):
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    del content["provenance"]
    return content


BESIDE = "from simulations.cli import app; app()"
ALONE = f"import os; os.cpu_count = lambda: 1; {BESIDE}"
"""The command where sites have no processes of their own: each loads torch anew."""


@pytest.fixture
def start():
    """Starts studies as processes of their own, which do not outlive the test."""
    started = []

    def begin(code, plan, sites, out, *options):
        command = [sys.executable, "-c", code, "run", "--plan", str(plan), "--out", str(out), *options]
        for name, folder in sites.items():
            command += ["--site", f"{name}={folder}"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(path, process):
    deadline = time.monotonic() + 240
    while not path.exists():
        if process.poll() is not None:
            pytest.fail(f"the study ended before {path.name} was there: {process.stderr.read()}")
        if time.monotonic() > deadline:
            pytest.fail(f"{path.name} never came")
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_study_that_was_killed_and_then_ended_by_ctrl_c_is_resumed_to_the_same_bits(
    plan, sites, tmp_path, start
):
    """When it is killed the pooled network is whole, which is not trained again."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(plan, sites, whole)
    resume, pooled, lines = (), [], []
    for code, kept, ending in (
        (BESIDE, "checkpoints/flat/federated.safetensors", signal.SIGKILL),
        (ALONE, "models/solid/federated.safetensors", signal.SIGINT),
    ):
        process = start(code, plan, sites, out, *resume)
        wait_for(out / kept, process)
        process.send_signal(ending)
        _, said = process.communicate(timeout=240)
        assert not (out / "results.json").exists()
        lines.append(said)
        pooled.append((out / "models/flat/pooled.safetensors").stat().st_mtime_ns)
        resume = ("--resume",)
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert pooled[0] == pooled[1]
    assert ["run 1 of this study said nothing of its end" in said for said in lines] == [False, True]

    run(plan, sites, out, resume=True)

    assert reproducible_part(out) == reproducible_part(whole)
    for model in ("flat", "solid"):
        first, second = (
            (folder / "models" / model / "federated.safetensors").read_bytes() for folder in (whole, out)
        )
        assert first == second
