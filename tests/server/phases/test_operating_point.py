"""The score from which a patient is called positive: the plan's, or chosen in training alone."""

import numpy as np
import pytest
from sites.exchange import make_cases, make_scored_cases, open_board, scored_exchange
from sites.plans import LOGISTIC, SCALE, plan_of

from common.messages.catalogue import Operation
from common.plan.matrix import Trainers, scorers_of
from common.program.cutoffs import fixed_threshold_of
from server.phases.evaluation import evaluate_models

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


def index_of(scores, labels, threshold):
    """Sensitivity + specificity - 1, of raw scores."""
    return np.mean(scores[labels] >= threshold) + np.mean(scores[~labels] < threshold) - 1


def test_operating_points_are_chosen_on_training_patients_of_the_arm_alone(exchange):
    plan = plan_of(
        {"a": "train+", "b": "train+"}, LOGISTIC, SCALE, evaluation={"operating_point": "youden", "bins": 20}
    )
    line = exchange(plan)

    found = evaluate_models(line, "Clinical")

    assert found.unchosen == ()
    for number, scorer in enumerate(scorers_of(plan)):
        boards = [open_board(line.sites[site]) for site in scorer.arm.sites or CASES]
        train = [board.find_members("train") for board in boards]
        scores = np.concatenate([b.scores[number, own] for b, own in zip(boards, train, strict=True)])
        labels = np.concatenate([b.labels[own] for b, own in zip(boards, train, strict=True)])
        threshold = found.thresholds[number]
        # No threshold of the raw scores is better, and no bin edge that is as good is nearer to 0.5.
        best = max(index_of(scores, labels, value) for value in scores)
        assert index_of(scores, labels, threshold) == pytest.approx(best, abs=1e-12)
        edges = found.judged.grids[number].starts
        equal = [edge for edge in edges if np.isclose(index_of(scores, labels, edge), best)]
        assert threshold == max(equal, key=lambda edge: (-abs(edge - 0.5), edge))
    (first, second) = [
        p for operation, site, p in line.asked if operation is Operation.EVALUATE and site == "a"
    ]
    assert first["asked"][:, 0].all()
    assert not first["asked"][:, 1:].any()
    assert not first["recounted"].any()
    np.testing.assert_array_equal(first["edges"], second["edges"])
    np.testing.assert_array_equal(second["thresholds"], found.thresholds)


def test_a_site_that_took_no_part_chooses_no_operating_point(exchange):
    plan = plan_of({"a": "train", "b": "train"}, LOGISTIC, evaluation={"operating_point": "youden"})
    number, (of, *_) = 0, scorers_of(plan)
    name = (of.model.name, of.arm.name)
    line, chosen = exchange(plan), {}
    # At b risks are a fifth of those at a
    board = open_board(line.sites["b"])
    line.sites["b"].store.keep(*name, CASES["b"], board.scores[number] / 5)

    for taking_part in ("a", "b", "ab"):
        trainers = {name: Trainers(frozenset(taking_part), frozenset(taking_part))}
        found = evaluate_models(line, "Clinical", trainers=trainers)
        boards = [open_board(line.sites[site]) for site in taking_part]
        train = [board.find_members("train") for board in boards]
        scores = np.concatenate([b.scores[number, own] for b, own in zip(boards, train, strict=True)])
        labels = np.concatenate([b.labels[own] for b, own in zip(boards, train, strict=True)])
        chosen[taking_part] = found.thresholds[number]
        best = max(index_of(scores, labels, value) for value in scores)
        assert index_of(scores, labels, chosen[taking_part]) == pytest.approx(best, abs=1e-12)

    assert of.arm.sites == ("a", "b")
    assert chosen["b"] < 0.2 < chosen["a"]


def test_a_sharp_score_s_point_separates_what_its_raw_values_do(exchange):
    """All risks lie near 1e-4: of 1,000 equal bins the first held everybody, who were called alike."""
    random = np.random.default_rng(4)
    raw, labels = {}, np.arange(60) % 3 == 0
    for site in ("a", "b"):
        raw[site] = 1e-4 * np.exp(random.normal(size=60) + 2 * labels)
    plan = plan_of({"a": "train", "b": "train"}, SCALE, evaluation={"operating_point": "youden"})
    line = exchange(plan, {site: make_cases(labels, {"vendor": raw[site]}, "train") for site in raw})

    (threshold,) = evaluate_models(line, "Scale").thresholds

    scores, both = np.concatenate(list(raw.values())), np.tile(labels, 2)
    best = max(index_of(scores, both, value) for value in scores)
    assert index_of(scores, both, threshold) == pytest.approx(best, abs=1e-12)
    assert best > 0.5


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

    found = evaluate_models(line, plan.models[0].name)

    assert found.thresholds.tolist() == [0.3]
    assert found.unchosen == scorers_of(plan)
    assert sum(operation is Operation.EVALUATE for operation, *_ in line.asked) == 2
