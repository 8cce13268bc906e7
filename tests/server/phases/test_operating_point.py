"""The score from which a patient is called positive: the plan's, or chosen in training alone."""

import numpy as np
import pytest
from sites.exchange import make_scored_cases, scored_exchange
from sites.plans import LOGISTIC, SCALE, plan_of

from common.messages.headers import Operation
from common.plan.matrix import scorers_of
from server.phases.evaluation import evaluate_models
from server.phases.operating_point import fixed_threshold_of

CASES = {"a": make_scored_cases(1, 90), "b": make_scored_cases(2, 60)}


@pytest.fixture
def exchange(tmp_path):
    return lambda plan, cases=CASES: scored_exchange(plan, cases, tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 0.4), ({"low": 0, "high": 20, "threshold": 5}, 0.25), ({"threshold": 0.75, "risk": "falls"}, 0.25)],
)
def test_a_score_keeps_its_own_threshold_on_the_scale_of_risk(changes, expected):
    plan = plan_of({"a": "train"}, SCALE | changes, evaluation={"threshold": 0.4})

    assert fixed_threshold_of(plan, scorers_of(plan)[0]) == expected


def youden(scores, labels):
    """The score from which sensitivity + specificity is largest; of equals the nearest to 0.5."""
    edges = np.arange(1, 20) / 20
    index = [np.mean(scores[labels] >= edge) + np.mean(scores[~labels] < edge) for edge in edges]
    best = edges[np.isclose(index, max(index))]
    return max(best, key=lambda edge: (-round(abs(edge - 0.5), 9), edge))


def test_operating_points_are_chosen_on_training_patients_of_the_arm_alone(exchange):
    plan = plan_of(
        {"a": "train+", "b": "train+"}, LOGISTIC, SCALE, evaluation={"operating_point": "youden", "bins": 20}
    )
    line = exchange(plan)

    found = evaluate_models(line)

    assert found.unchosen == ()
    for number, scorer in enumerate(scorers_of(plan)):
        boards = [line.sites[site]._open_board() for site in scorer.arm.sites or CASES]
        train = [board.find_members("train") for board in boards]
        scores = np.concatenate([b.scores[number, own] for b, own in zip(boards, train, strict=True)])
        labels = np.concatenate([b.labels[own] for b, own in zip(boards, train, strict=True)])
        assert found.thresholds[number] == pytest.approx(youden(scores, labels), abs=1e-12)
    (first, second) = [
        p for operation, site, p in line.asked if operation is Operation.EVALUATE and site == "a"
    ]
    assert first["asked"][:, 0].all()
    assert not first["asked"][:, 1:].any()
    np.testing.assert_array_equal(second["thresholds"], found.thresholds)


@pytest.mark.parametrize("role", ["train", "external"])
def test_where_nobody_trains_the_plan_s_threshold_stands_and_is_told(exchange, role):
    """Nobody of the training sites has the part "train", or there are no training sites."""
    plan = plan_of(
        {"a": role, "b": role},
        SCALE,
        evaluation={"operating_point": "youden", "threshold": 0.3},
        phases=["evaluation"],
    )
    tested = {name: tuple(case for case in own if case.part == "test") for name, own in CASES.items()}
    line = exchange(plan, tested)

    found = evaluate_models(line)

    assert found.thresholds.tolist() == [0.3]
    assert found.unchosen == scorers_of(plan)
    assert sum(operation is Operation.EVALUATE for operation, *_ in line.asked) == 2
