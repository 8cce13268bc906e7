"""Which patients a model got wrong: told to the hospital alone, the most mistaken first."""

import csv
import io
import stat

import numpy as np
import pytest
from rich.progress import Progress
from sites.handmade import make_site
from sites.patients import a_case
from sites.plans import LOGISTIC, plan_of
from typer.testing import CliRunner

from client.answers.mistakes import describe_mistakes, judge_patients, list_rows, write_mistakes
from client.answers.score_store import ScoreStore
from client.cli import app
from client.cohort.prepare import prepare_site
from common.cards.card import describe_logistic, make_local_card, training_centre_of
from common.cards.card_file import save_card
from common.errors import ModelError
from common.messages.headers import Effect, Fitted

CASES = (
    a_case("right-1", grows=True, part="test"),
    a_case("missed-by-far", grows=True, part="test", age=71.0, location="deep"),
    a_case("alarm-near", part="test"),
    a_case("no-score", part="test"),
    a_case("missed-nearly", grows=True, part="train"),
    a_case("right-2", part="train"),
    a_case("worse-alarm", part="test"),
)
RISKS = np.array([0.4, 0.01, 0.5, np.nan, 0.29, 0.299, 0.9])


@pytest.fixture(scope="module")
def plan():
    return plan_of({"a": "train"}, LOGISTIC)


@pytest.fixture(scope="module")
def card(plan):
    effect = Effect(variable="age", log_odds=0.1, standard_error=0.1, p=0.3, p_likelihood_ratio=0.3)
    fitted = Fitted(effects=(effect,), intercept=-1.0, method="maximum likelihood", status="ok")
    centre = training_centre_of(plan, "a", 40)
    made = make_local_card(plan, "Clinical", centre, {}, describe_logistic(plan, fitted))
    return made.model_copy(update={"operating_point": 0.3})


def test_the_missed_come_first_and_of_each_kind_the_most_mistaken():
    judged = judge_patients(CASES, RISKS, 0.3)

    assert [(one.case.patient.identifier, one.verdict) for one in judged] == [
        ("missed-by-far", "missed"),
        ("missed-nearly", "missed"),
        ("worse-alarm", "false alarm"),
        ("alarm-near", "false alarm"),
        ("right-1", "right"),
        ("right-2", "right"),
        ("no-score", "no score"),
    ]


def test_the_table_has_every_digit_and_the_patient_s_own_values(card):
    text = io.StringIO()
    csv.writer(text).writerows(list_rows(judge_patients(CASES, RISKS, 0.3), card))
    rows = {row["patient"]: row for row in csv.DictReader(io.StringIO(text.getvalue()))}

    worst = rows["missed-by-far"]
    assert (worst["part"], worst["outcome"], worst["risk"], worst["verdict"]) == (
        "test",
        "1",
        "0.01",
        "missed",
    )
    assert (worst["age"], worst["location"], worst["baseline_ich_ml"]) == ("71.0", "deep", "12.00")
    assert worst["called_positive_from"] == "0.3"
    assert (rows["no-score"]["risk"], rows["no-score"]["age"]) == ("", "")


def test_patients_who_trained_the_model_are_counted_apart(card):
    words = describe_mistakes(judge_patients(CASES, RISKS, 0.3), card)

    assert "train: 1 missed of 1 with expansion, 0 false alarms of 1 without, 0 without a score" in words
    assert "test: 1 missed of 2 with expansion, 2 false alarms of 3 without, 1 without a score" in words
    assert "it stays at this hospital" in words
    assert not [case for case in CASES if case.patient.identifier in words]


def test_a_site_s_table_lies_in_its_state_for_its_own_eyes(plan, card, tmp_path):
    site, state = make_site(tmp_path / "a", "a", 6), tmp_path / "state"
    save_card(tmp_path / "model.json", card)
    study = (plan, 1)
    with pytest.raises(ModelError, match="has not scored .* -> use rhe-client predict --folder"):
        write_mistakes(site, study, tmp_path / "model.json", state, Progress(disable=True))
    cases = prepare_site(site, plan, state / "cache", Progress(disable=True), 1).cases
    risks = np.linspace(0.05, 0.95, len(cases))
    ScoreStore(state / "scores", plan.digest()).keep(card.model, card.arm, cases, risks)

    words = write_mistakes(site, study, tmp_path / "model.json", state, Progress(disable=True))

    (path,) = (state / "mistakes").iterdir()
    assert words.startswith(f"{path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {
        case.patient.identifier: (int(case.positive), risk) for case, risk in zip(cases, risks, strict=True)
    }
    assert {row["patient"]: (int(row["outcome"]), float(row["risk"])) for row in rows} == expected
    wrong = sum((risk >= 0.3) != bool(outcome) for outcome, risk in expected.values())
    assert sum(row["verdict"] in {"missed", "false alarm"} for row in rows) == wrong > 0


def test_a_model_of_another_study_is_refused(card, tmp_path):
    save_card(tmp_path / "model.json", card)
    other = plan_of({"a": "train", "b": "train"}, LOGISTIC)

    with pytest.raises(ModelError, match="is no model of plan"):
        write_mistakes(tmp_path, (other, 1), tmp_path / "model.json", tmp_path, Progress(disable=True))


def test_the_command_is_told_where_a_site_has_joined_nothing(tmp_path):
    done = CliRunner().invoke(app, ["mistakes", str(tmp_path), "--model", str(tmp_path / "m.json")])

    assert done.exit_code != 0
    assert not list(tmp_path.iterdir())
