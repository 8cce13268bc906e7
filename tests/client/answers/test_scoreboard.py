"""All scores of a site's patients in one matrix."""

import numpy as np
import pytest
from sites.patients import a_case
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from client.answers.score_store import ScoreStore
from client.answers.scoreboard import open_scoreboard
from client.cohort.parts import cases_of
from common.errors import ProtocolError
from common.plan.matrix import Cohort, scorers_of

PARTS = ("train", "validation", "test", "train", "test")
CASES = tuple(
    a_case(f"P{n}", part=part, grows=n == 2, scores={"vendor": value})
    for n, (part, value) in enumerate(zip(PARTS, (10.0, 20.0, None, 40.0, 50.0), strict=True))
)
FALLING = SCALE | {"low": 0, "high": 50, "risk": "falls"}


@pytest.fixture
def plan():
    return plan_of({"a": "train", "b": "train"}, NETWORK, LOGISTIC, FALLING)


@pytest.fixture
def store(tmp_path, plan):
    """As after scoring at b; the local models of a never came."""
    store = ScoreStore(tmp_path, plan.digest())
    for number, scorer in enumerate(scorers_of(plan)):
        if scorer.arm.name in {"federated", "local-b"}:
            scores = np.linspace(0, 1, len(CASES)) / (number + 1)
            store.keep(scorer.model.name, scorer.arm.name, CASES, scores)
    return store


@pytest.mark.parametrize(
    ("part", "patients"),
    [
        ("train", "P0 P3"),
        ("validation", "P1"),
        ("test", "P2 P4"),
        ("training", "P0 P1 P3"),
        ("whole", "P0 P1 P2 P3 P4"),
    ],
)
def test_whoever_is_not_tested_trains(part, patients):
    assert [case.patient.identifier for case in cases_of(CASES, part)] == patients.split()


def test_every_score_in_the_plan_s_order_and_nan_where_there_is_none(plan, store):
    board = open_scoreboard(plan, "b", CASES, store)

    steps = np.linspace(0, 1, 5)
    expected = {
        "Net@federated": steps,
        "Net@local-a": [np.nan] * 5,
        "Net@local-b": steps / 3,
        "Clinical@federated": steps / 4,
        "Clinical@local-a": [np.nan] * 5,
        "Clinical@local-b": steps / 6,
        "Scale@given": [0.8, 0.6, np.nan, 0.2, 0],
    }
    names = [f"{scorer.model.name}@{scorer.arm.name}" for scorer in scorers_of(plan)]
    assert names == list(expected)
    np.testing.assert_allclose(board.scores, np.stack(list(expected.values())), rtol=1e-15, atol=1e-15)
    assert board.labels.tolist() == [False, False, True, False, False]


def test_a_model_that_should_have_scored_and_has_not_is_named(plan, store):
    with pytest.raises(
        ProtocolError, match="Net, local-a: asked to evaluate a model that has not scored yet"
    ):
        open_scoreboard(plan, "a", CASES, store)


@pytest.mark.parametrize(
    ("sites", "part", "places"),
    [
        (("b",), "test", [2, 4]),
        (("a", "b"), "test", [2, 4]),
        (("a", "b"), "whole", [0, 1, 2, 3, 4]),
        (("a", "b"), "train", [0, 3]),
        (("a",), "test", []),
        (("a",), "whole", []),
    ],
)
def test_another_site_s_cohort_has_nobody_here(plan, store, sites, part, places):
    found = open_scoreboard(plan, "b", CASES, store).find_cohort(Cohort(sites, part))

    assert (found.tolist(), found.dtype) == (places, np.int64)


def test_an_empty_site_has_a_board_without_patients(tmp_path):
    plan = plan_of({"a": "external"})
    board = open_scoreboard(plan, "a", (), ScoreStore(tmp_path, plan.digest()))

    assert (board.scores.shape, board.labels.shape, board.find_members("whole").tolist()) == (
        (1, 0),
        (0,),
        [],
    )
