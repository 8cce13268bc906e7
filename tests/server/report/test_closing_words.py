"""The last lines of a study: what it found, in the verdict's words, and where everything lies."""

from __future__ import annotations

import pytest
from sites.plans import plan_of
from studies.results import Make, make_study

from server.folder_note import NOTE, begin_note, finish_note
from server.report.closing_words import SHARING, describe_ending, list_found
from server.report.subject import subject_of
from server.report.verdicts import judge_cell
from server.report.views import is_carried_over

MAKE = Make(training=("Alpha",), external=("Beta", "Gamma"), pooled=False, rounds=1, full=True)


def words_of(lines):
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    "make", [MAKE, Make(full=True, rounds=1), Make(suppressed=True, profile="standard", rounds=1)]
)
def test_every_direction_has_the_verdict_of_the_page_within_80_columns(make, tmp_path):
    results = make_study(make)
    reference = subject_of(results).models[0]
    lines = list(describe_ending(results, tmp_path))
    words = words_of(lines)

    carried = [cell for cell in reference.cells if is_carried_over(cell)]
    assert carried or make.suppressed
    for cell in carried:
        judged = judge_cell(cell, results.study.threshold)
        assert f"{judged.title}. {judged.sentence}" in words
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80


def test_intervals_stand_beside_their_patients():
    results = make_study(MAKE)
    cell = next(cell for cell in subject_of(results).models[0].cells if is_carried_over(cell))

    words = words_of(list_found(results))

    said = f"AUC {cell.auc.value:.3f} ({cell.auc.low:.3f} to {cell.auc.high:.3f}), "
    assert f"{said}{cell.positive} / {cell.negative}" in words


def test_what_is_withheld_is_said_to_be():
    words = words_of(list_found(make_study(Make(suppressed=True, profile="standard", rounds=1))))

    assert "AUC withheld" in words


def test_only_what_is_there_is_named(tmp_path):
    (tmp_path / "report.html").touch()
    (tmp_path / "checkpoints").mkdir()

    words = words_of(describe_ending(make_study(MAKE), tmp_path))

    assert "report.html the report" in words
    assert "checkpoints/ UNFINISHED trainings" in words
    assert "models/ FINISHED" not in words
    assert SHARING in words


def test_the_folder_says_from_its_first_minute_what_it_is(tmp_path):
    plan = plan_of({"Alpha": "train", "Beta": "external", "Gamma": "external"})
    begin_note(plan, tmp_path)
    begun = (tmp_path / NOTE).read_text(encoding="utf-8")
    results = make_study(MAKE)
    finish_note(plan, tmp_path, results)
    finished = (tmp_path / NOTE).read_text(encoding="utf-8")

    assert "**Not finished**" in begun
    assert "checkpoints/ is no model" in begun
    assert "running since 20" in begun
    assert "If no run is at work for it, the same command with --resume goes on" in begun
    for text in (begun, finished):
        assert plan.digest() in text
        assert "| `models/` | FINISHED models" in text
        assert "| `checkpoints/` | UNFINISHED trainings" in text
    assert "**Finished**" in finished
    assert "Not finished" not in finished
    assert "\n".join(list_found(results)) in finished
