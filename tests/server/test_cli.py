"""The coordinator's commands as a user types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sites.commands import Finished, run_command
from sites.handmade import make_site
from studies.results import Make, make_study

from client.link.supervise import find_free_port
from client.membership.membership import join_study
from common.messages.enrolment import Invitation, load_handout
from server.results.file import save_results

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


def rhe(*arguments: str | Path) -> Finished:
    return run_command("rhe-server", *arguments)


@pytest.fixture
def office(tmp_path) -> Path:
    (tmp_path / "study.toml").write_text(PLAN)
    port = str(find_free_port())
    done = rhe(
        "init", tmp_path / "office", "--plan", tmp_path / "study.toml", "--host", "h.org", "--port", port
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "office"


def test_help_imports_nothing_slow():
    assert rhe("--help").returncode == 0
    code = "import server.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "monai", "pandas", "scipy", "SimpleITK", "flwr", "numpy"} & set(loaded.split())


def test_founding_names_the_sites_and_the_fingerprint(office, tmp_path):
    plan = tmp_path / "study.toml"
    again = rhe("init", tmp_path / "two", "--plan", plan, "--host", "h.org")
    invitation = load_handout(tmp_path / "two" / "study.invitation", Invitation)
    assert "a, b" in again.stdout
    assert invitation.fingerprint() in again.stdout
    taken = rhe("init", office, "--plan", plan, "--host", "h.org")
    assert taken.returncode == 21
    assert "already holds a study" in taken.stderr


def test_a_run_ends_with_what_it_found_and_where_that_lies(office, tmp_path, monkeypatch):
    def perform(_, order):
        save_results(make_study(Make(full=True, rounds=1)), order.out / "results.json")

    monkeypatch.setattr("server.process.order.perform_order", perform)
    done = rhe("run", office, "--out", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert "Two simulated centres, one study: what was found" in done.stdout
    assert "2D-ResNet-18 is the reference" in done.stdout
    assert "results.json" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        str(tmp_path / "out" / "results.json"),
        str(tmp_path / "out" / "report.html"),
    ]


def test_a_broken_plan_founds_nothing(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN + "x = 1\n")
    done = rhe("init", tmp_path / "office", "--plan", tmp_path / "study.toml", "--host", "h.org")
    assert done.returncode == 10
    assert "study.toml:17" in done.stderr
    assert not (tmp_path / "office").exists()


def test_sites_are_let_in_one_by_one(office, tmp_path):
    said = []
    for name in "ab":
        folder = make_site(tmp_path / name, name, 1)
        member = join_study(folder, folder / ".rhe", office / "study.invitation")
        said.append(rhe("enrol", office, member.card).stdout)
    assert "still missing: b" in said[0]
    assert "all sites are" in said[1]
    wrong = rhe("enrol", office, office / "study.invitation")
    assert wrong.returncode == 18
    assert "should be 'rhe-site-card'" in wrong.stderr


@pytest.mark.parametrize("command", ["start", "run", "enrol"])
def test_a_folder_without_study_is_told(tmp_path, command):
    more = {"run": ["--out", tmp_path / "out"], "enrol": [tmp_path / "x.card"]}.get(command, [])
    done = rhe(command, tmp_path / "nothing", *more)
    assert done.returncode == 10
    assert "rhe-server init" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_running_without_a_superlink_is_told(office, tmp_path):
    done = rhe("run", office, "--out", tmp_path / "out")
    assert done.returncode == 19
    assert "rhe-server start" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_report_of_no_results_is_told(tmp_path):
    done = rhe("report", tmp_path / "results.json")
    assert done.returncode > 0
    assert "results.json" in done.stderr
    assert "Traceback" not in done.stderr
