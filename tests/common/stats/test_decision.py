from __future__ import annotations

import numpy as np
import pytest

from common.stats.contract import total
from common.stats.decision import finish_decision, local_decision
from common.stats.minima import SIMULATION, STANDARD

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def draw(n=200, seed=0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    return np.clip(random.normal(0.35 + 0.2 * labels, 0.2), 0, 1), labels


def test_by_hand():
    scores = np.array([0.2, 0.5, 0.7, 0.9])
    labels = np.array([False, False, True, True])

    (point,) = finish_decision(local_decision(scores, labels, (0.5,)), (0.5,), SIMULATION).points

    # Two true and one false positive of four, w = 1: (2 - 1) / 4; variance ((2 + 1) / 4 - 1 / 16) / 4.
    assert (point.model, point.treat_all) == (0.25, 0.0)
    assert point.high - 0.25 == pytest.approx(1.959963984540054 * (0.6875 / 4) ** 0.5)
    (point,) = finish_decision(local_decision(scores, labels, (0.2,)), (0.2,), SIMULATION).points
    # Everybody is called positive: as treating all.
    assert point.model == point.treat_all == (2 - 0.25 * 2) / 4


def test_interval_is_that_of_the_mean_of_patients_benefits():
    scores, labels = draw()
    result = finish_decision(local_decision(scores, labels, THRESHOLDS), THRESHOLDS, SIMULATION)

    for point in result.points:
        w = point.threshold / (1 - point.threshold)
        benefit = (scores >= point.threshold) * np.where(labels, 1.0, -w)
        assert point.model == pytest.approx(benefit.mean())
        assert point.low == pytest.approx(benefit.mean() - 1.959963984540054 * benefit.std() / 200**0.5)


def test_federated_equals_pooled(federations):
    scores, labels = draw()
    pooled = finish_decision(local_decision(scores, labels, THRESHOLDS), THRESHOLDS)

    for sites in federations(labels):
        parts = total(local_decision(scores[site], labels[site], THRESHOLDS) for site in sites)
        assert finish_decision(parts, THRESHOLDS) == pooled


@pytest.mark.parametrize("seed", range(5))
def test_neighbouring_points_do_not_give_few_patients_away(seed):
    thresholds = tuple(np.arange(1, 50) / 50)
    scores, labels = draw(60, seed)

    points = finish_decision(local_decision(scores, labels, thresholds), thresholds).points

    called = [60, *(int(np.sum(scores >= point.threshold)) for point in points), 0]
    assert len(points) < 49
    assert all(step == 0 or step >= STANDARD.cell for step in -np.diff(called))


def test_a_point_does_not_solve_for_a_small_cell():
    """Two true positives among twelve called: net benefit and variance would be two equations for them."""
    scores = np.repeat([0.6, 0.2, 0.6, 0.2], [2, 28, 10, 60])
    labels = np.repeat([True, False], [30, 70])

    summary = local_decision(scores, labels, (0.1, 0.5))

    assert [point.threshold for point in finish_decision(summary, (0.1, 0.5)).points] == [0.1]
    assert len(finish_decision(summary, (0.1, 0.5), SIMULATION).points) == 2


def test_too_few_are_suppressed():
    scores = np.linspace(0, 1, 40)

    result = finish_decision(local_decision(scores, np.arange(40) < 9, THRESHOLDS), THRESHOLDS)

    assert (result.points, result.status.kind, result.n_used) == ((), "suppressed", 40)


def test_patients_without_a_score_are_left_out_and_counted():
    scores, labels = draw()
    absent = np.where(np.arange(200) % 20 == 0, np.nan, scores)
    known = ~np.isnan(absent)

    result = finish_decision(local_decision(absent, labels, THRESHOLDS), THRESHOLDS)

    alone = finish_decision(local_decision(scores[known], labels[known], THRESHOLDS), THRESHOLDS)
    assert (result.points, result.n_used, result.n_missing) == (alone.points, 190, 10)


def test_few_without_a_score_hide_the_curve():
    scores, labels = draw()
    scores[:4] = np.nan
    summary = local_decision(scores, labels, THRESHOLDS)

    result = finish_decision(summary, THRESHOLDS)

    assert (result.points, result.n_used, result.n_missing) == ((), None, None)
    assert "without a score" in result.status.reason
    assert finish_decision(summary, THRESHOLDS, SIMULATION).n_missing == 4


@pytest.mark.parametrize(
    "thresholds", [(0.1, 0.105), (0.2, 0.1), (0.0, 0.5), (0.5, 1.0), tuple(np.arange(1, 60) / 60)]
)
def test_refuses_thresholds(thresholds):
    with pytest.raises(ValueError, match="thresholds"):
        local_decision(*draw(), thresholds)
