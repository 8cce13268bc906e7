"""`rhe-server studies`: what ran, in which state, when and where."""

from __future__ import annotations

import json

import pytest
from sites.commands import run_command
from sites.plans import plan_of

from common.runtime.storage import lock_folder
from server.past_studies import list_studies
from server.results.journal import PhaseLine, RunLine, open_journal
from server.run import StudyRun
from simulations.backends.parties import derive_simulated_key


def make_folder(folder, *, hour=9, finished=False):
    plan = plan_of({"a": "train", "b": "train"})
    StudyRun(plan, folder, derive_simulated_key(plan)).claim()
    journal = open_journal(folder / "journal.jsonl")
    journal.append(RunLine(run=1, started=f"2026-11-29T{hour:02}:00:00+00:00", versions={}))
    costs = {"seconds": 1.0, "rounds": 1, "messages": 2, "bytes_sent": 3, "bytes_received": 4}
    journal.append(PhaseLine(run=1, phase="cohort", at=f"2026-11-29T{hour:02}:30:00+00:00", **costs))
    if finished:
        (folder / "results.json").touch()
    return plan


def test_the_latest_study_comes_first_with_its_state(tmp_path):
    plan = make_folder(tmp_path / "old" / "out", finished=True)
    make_folder(tmp_path / "new", hour=11)

    stopped, finished = list_studies(tmp_path)
    with lock_folder(tmp_path / "new"):
        running = list_studies(tmp_path)[0]

    assert (stopped.state, finished.state, running.state) == ("stopped", "finished", "running")
    assert finished.plan_hash == plan.digest()
    assert finished.name == "A study"
    assert (finished.started, finished.last_heard) == (
        "2026-11-29T09:00:00+00:00",
        "2026-11-29T09:30:00+00:00",
    )
    assert finished.folder == str(tmp_path / "old" / "out")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}'])
def test_a_damaged_mark_hides_no_other_study(tmp_path, text):
    make_folder(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text(text, encoding="utf-8")

    assert sorted(study.state for study in list_studies(tmp_path)) == ["damaged", "stopped"]


def test_a_line_that_is_being_written_is_no_damage(tmp_path):
    make_folder(tmp_path)
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"event":"phase","run":1,')

    (study,) = list_studies(tmp_path)

    assert study.last_heard == "2026-11-29T09:30:00+00:00"
    assert (tmp_path / "journal.jsonl").read_bytes().endswith(b'"run":1,')


def test_the_command_prints_lines_or_json(tmp_path):
    plan = make_folder(tmp_path / "out", finished=True)

    lines = run_command("rhe-server", "studies", tmp_path).stdout
    studies = json.loads(run_command("rhe-server", "studies", tmp_path, "--json").stdout)
    missing = run_command("rhe-server", "studies", tmp_path / "nowhere")

    assert f"finished  2026-11-29 09:30  {tmp_path / 'out'}" in lines
    assert f"A study (plan {plan.digest()[:12]})" in lines
    assert [study["state"] for study in studies] == ["finished"]
    assert missing.returncode != 0
    assert "no such folder" in missing.stderr
