from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from studies.results import Make, make_study

from common.errors import ResumeError
from common.plan.matrix import Cohort, Scorer
from common.plan.study import GIVEN_ARM, ScoresModel
from common.stats.confusion import finish_confusion, local_confusion
from common.stats.estimate import Estimate, Status
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from server.phases.evaluation import Judgement
from server.results.cohort import VariableDescription
from server.results.evaluation import record_cell, record_subgroups
from server.results.file import Results, load_results, save_results
from server.results.training import CurvePoint, Overlay

STUDY = make_study(Make(models=("2D-ResNet-18",), rounds=3))
TEXT = json.dumps(STUDY.model_dump(mode="json"), sort_keys=True)


def _file(folder: Path, text: str | bytes) -> Path:
    path = folder / "results.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _discriminate(positive, negative):
    """The discrimination of so many patients, of whom all with expansion score higher but one."""
    grid, labels = ScoreGrid.even(100), np.array([True] * positive + [False] * negative)
    scores = np.where(labels, 0.8, 0.3)
    scores[-1] = 0.9
    return finish_roc(local_roc(scores, labels, grid), grid, minima=SIMULATION)


def test_a_subgroup_s_p_says_how_it_was_found_or_why_it_is_missing():
    model = ScoresModel(kind="scores", name="Points", column="points", high=24, step=1, risk="falls")
    cell = Judgement(
        scorer=Scorer(model, GIVEN_ARM),
        cohort=Cohort(("a",), "whole"),
        relation="given",
        threshold=0.5,
        roc=_discriminate(9, 9),
        confusion=finish_confusion(local_confusion(np.zeros(2), np.array([True, False]), 0.5)),
        subgroups={"location": (_discriminate(9, 9), _discriminate(5, 8), _discriminate(1, 8))},
    )

    first, second, third = record_subgroups((cell,))

    assert (first.p_interaction, first.p_method, first.p_standing.reason) == (None, "", "")
    assert second.p_interaction is not None
    assert (second.p_method, second.p_standing.ok) == ("DeLong, unpaired", True)
    assert third.p_interaction is None
    assert (third.p_standing.kind, third.auc.low) == ("undefined", None)
    assert third.p_standing.reason == "one patient of a class has no variance"
    assert third.auc.standing.reason == "no interval: one patient of an outcome has no variance"
    assert (second.auc_error_bound, second.auc_interval_bound) == (0.0, 0.0)


def _tampered(*steps: str | int, value: object) -> str:
    content = json.loads(TEXT)
    place = content
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    return json.dumps(content)


def test_a_cell_is_in_the_score_s_own_unit():
    model = ScoresModel(kind="scores", name="Points", column="points", high=24, step=1, risk="falls")
    points = np.arange(25.0)
    scores, labels = np.array([model.scale(value) for value in points]), points < 10
    threshold, grid = model.scale(11), ScoreGrid.of_values(model.values)

    cell = record_cell(
        Judgement(
            scorer=Scorer(model, GIVEN_ARM),
            cohort=Cohort(("a",), "whole"),
            relation="given",
            threshold=threshold,
            roc=finish_roc(local_roc(scores, labels, grid), grid, minima=SIMULATION),
            confusion=finish_confusion(local_confusion(scores, labels, threshold), minima=SIMULATION),
        )
    )

    assert cell.falling
    assert cell.threshold == pytest.approx(11)
    assert cell.confusion.false_positive == 2
    # An edge of the bins lies half-way between two points; whoever has fewer is called positive.
    for step in cell.roc[1:]:
        assert step.threshold % 1 == pytest.approx(0.5) or step.threshold == pytest.approx(24)
        assert step.true_positive_rate == np.mean(points[labels] <= step.threshold)
        assert step.false_positive_rate == np.mean(points[~labels] <= step.threshold)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "run" / "results.json"

    save_results(STUDY, path)

    assert load_results(path) == STUDY
    assert sorted(file.name for file in path.parent.iterdir()) == ["pictures", "results.json"]


def test_the_file_is_canonical(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"

    save_results(STUDY, first)
    save_results(load_results(first), second)

    assert first.read_bytes() == second.read_bytes()
    content = json.loads(first.read_text())
    assert list(content) == list(Results.model_fields)
    assert content["schema_version"] == 2


def test_two_runs_differ_in_their_provenance_alone():
    later = STUDY.provenance.model_copy(update={"finished": "2027-01-01T00:00:00+00:00"})
    other = STUDY.model_copy(update={"provenance": later})

    ours, theirs = STUDY.model_dump(mode="json"), other.model_dump(mode="json")

    assert ours.pop("provenance") != theirs.pop("provenance")
    assert ours == theirs
    assert not {"started", "finished", "seconds", "bytes_sent"} & set(json.dumps(ours).split('"'))


def test_every_number_survives_to_the_last_bit(tmp_path):
    path = tmp_path / "results.json"
    exact = STUDY.evaluation[0].model_copy(update={"auc": Estimate(value=0.1 + 0.2, low=1 / 3, high=2 / 3)})

    save_results(STUDY.model_copy(update={"evaluation": (exact,)}), path)

    assert load_results(path).evaluation[0].auc == exact.auc


@pytest.mark.parametrize(
    ("steps", "value", "words"),
    [
        (("schema_version",), 3, "schema_version"),
        (("surprise",), 1, "surprise: Extra inputs are not permitted"),
        (("study", "seed"), "many", "study.seed"),
        (("study", "profile"), "lenient", "study.profile"),
        (("flow", 0, "included"), -1, "flow.0.included"),
        (("evaluation", 0, "positive"), -3, "evaluation.0.positive"),
        (("evaluation", 0, "confusion", "true_positive"), -3, "evaluation.0.confusion"),
        (("evaluation", 0, "auc", "value"), None, "evaluation.0.auc"),
        (("evaluation", 0, "auc", "value"), math.nan, "evaluation.0.auc.value"),
        (("evaluation", 0, "auc", "standing", "kind"), "suppressed", "cannot have the value"),
        (("evaluation", 0, "relation"), "excellent", "evaluation.0.relation"),
        (("evaluation", 0, "cohort_sites"), ["Atlantis"], "no site Atlantis"),
        (("training", 0, "points", 0, "loss"), math.inf, "training.0.points.0.loss"),
        (("overlays", 0, "png_base64"), '"><script>', "overlays.0.png_base64"),
        (("overlays", 0, "arm"), "stranger", "not trained"),
        (("provenance",), None, "provenance"),
    ],
)
def test_a_tampered_file_is_refused_with_the_place(tmp_path, steps, value, words):
    path = _file(tmp_path, _tampered(*steps, value=value))

    with pytest.raises(ResumeError) as refusal:
        load_results(path)

    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "->" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=len(TEXT) - 1))
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path_factory, length):
    path = _file(tmp_path_factory.mktemp("cut"), TEXT[:length])

    with pytest.raises(ResumeError):
        load_results(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"null", b"PK\x03\x04", b"{}", b"[" * 100_000])
def test_what_is_no_results_file_is_refused(tmp_path, content):
    with pytest.raises(ResumeError, match="no results of schema version 2"):
        load_results(_file(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ResumeError, match="no such file"):
        load_results(tmp_path / "results.json")
    with pytest.raises(ResumeError, match="cannot be read"):
        load_results(tmp_path)


def test_a_number_that_is_hidden_is_not_there():
    hidden = Status(kind="suppressed", reason="fewer than 10 positives")

    assert Estimate(value=None, standing=hidden).value is None
    with pytest.raises(ValueError, match="cannot have the value"):
        Estimate(value=0.7, standing=hidden)
    with pytest.raises(ValueError, match="cannot have the value"):
        Estimate(value=None)
    with pytest.raises(ValueError, match="cannot have an interval"):
        Estimate(value=None, low=0.2, standing=hidden)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_cannot_be_stored(value):
    with pytest.raises(ValidationError):
        CurvePoint(number=1, loss=value, validation_auc=None)
    with pytest.raises(ValidationError):
        VariableDescription(mean=value)


def test_a_picture_is_base64_and_nothing_else():
    with pytest.raises(ValidationError):
        Overlay(model="m", arm="a", site="s", outcome=True, score=0.5, png_base64="AA==\n<script>")


def test_results_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        STUDY.notes = ()
    assert isinstance(STUDY, Results)
