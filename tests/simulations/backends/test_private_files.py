"""Whatever the umask, only its owner reads what is a hospital's; the coordinator's results are for others."""

from __future__ import annotations

import os
import stat

import pytest
from rich.progress import Progress
from sites.handmade import make_site
from typer.testing import CliRunner

from client.cli import app
from common.plan.study import StudyPlan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

OTHERS = stat.S_IRWXG | stat.S_IRWXO
READABLE = ("study.json", "results.json", "report.html", "tables", "models")
PLAN = {
    "name": "Private",
    "seed": 3,
    "threads": 1,
    "profile": "simulation",
    "two_site_ack": True,
    "sites": [{"name": name, "role": "train", "model_release": False} for name in "ab"],
    "models": [
        {"kind": "logistic", "name": "Clinical", "covariates": ["onset_to_ct_h", "ich_volume_ml"]},
    ],
    "phases": ["cohort", "training", "evaluation"],
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    return {name: make_site(root / name, name, 24) for name in "ab"}


@pytest.fixture(scope="module")
def out(sites, tmp_path_factory):
    """A study that was run where everybody may write everything."""
    folder = tmp_path_factory.mktemp("study") / "out"
    plan = StudyPlan.model_validate(PLAN)
    before = os.umask(0)
    try:
        run_in_process(StudyRun(plan, folder, derive_simulated_key(plan)), sites, Progress(disable=True))
    finally:
        os.umask(before)
    return folder


def list_open(folder):
    """What others may reach in a folder, the folder included."""
    return sorted(path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & OTHERS)


def test_nobody_else_reads_a_hospital_s_state(out):
    states = [out / "sites" / name for name in "ab"]
    assert all(any(state.rglob("*.npz")) and (state / "ledger").is_dir() for state in states)
    assert [path for state in states for path in list_open(state)] == []


def test_nobody_else_reads_what_each_site_answered(out):
    assert any((out / "sa1").rglob("*.reply"))
    assert list_open(out / "sa1") == []


def test_everybody_reads_the_results(out):
    for name in READABLE:
        assert {out / name, *(out / name).rglob("*")} <= set(list_open(out)), name


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nobody_else_reads_what_a_hospital_prepared(sites, tmp_path, umask):
    (tmp_path / "study.toml").write_text(
        'name = "s"\nseed = 1\nprofile = "simulation"\ntwo_site_ack = true\n[privacy]\nsecure = false\n'
        '[[sites]]\nname = "a"\nrole = "train"\n[[sites]]\nname = "b"\nrole = "train"\n'
        '[[models]]\nname = "m"\nfamily = "resnet10-narrow"\n'
    )
    before = os.umask(umask)
    try:
        command = ["prepare", str(sites["a"]), "--plan", str(tmp_path / "study.toml")]
        done = CliRunner().invoke(app, [*command, "--state", str(tmp_path / "state")])
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    assert any((tmp_path / "state").rglob("*.npy"))
    assert list_open(tmp_path / "state") == []
