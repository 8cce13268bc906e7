from __future__ import annotations

import numpy as np
import pytest

from common.errors import NonFiniteError
from common.stats.contract import total
from common.stats.decision import finish_decision, local_decision
from common.stats.decision_difference import finish_decision_difference, local_decision_difference
from common.stats.minima import SIMULATION

THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


def draw(n=300, seed=0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    return np.clip(random.normal(0.35 + 0.2 * labels, 0.2, (2, n)), 0, 1), labels


def test_by_hand():
    scores = np.array([[0.6, 0.4, 0.7, 0.9], [0.3, 0.2, 0.4, 0.9]])
    labels = np.array([False, False, True, True])

    (point,) = finish_decision_difference(
        local_decision_difference(scores, labels, (0.5,)), (0.5,), SIMULATION
    ).points

    # Only the first calls patients 1 (wrongly) and 3 (rightly): +1 - 1 = 0; variance (1 + 1) / 4 / 4.
    assert point.difference == 0
    assert point.high == pytest.approx(1.959963984540054 * (2 / 16) ** 0.5)


def test_equals_the_mean_of_patients_differences_however_spread(federations):
    scores, labels = draw()
    curves = [
        finish_decision(local_decision(row, labels, THRESHOLDS), THRESHOLDS, SIMULATION).points
        for row in scores
    ]

    for sites in federations(labels):
        summary = total(local_decision_difference(scores[:, s], labels[s], THRESHOLDS) for s in sites)
        result = finish_decision_difference(summary, THRESHOLDS, SIMULATION)
        assert (len(result.points), result.n_used, result.n_missing) == (4, 300, 0)
        for point, first, second in zip(result.points, *curves, strict=True):
            w = point.threshold / (1 - point.threshold)
            benefit = (scores >= point.threshold) * np.where(labels, 1.0, -w)
            each = benefit[0] - benefit[1]
            assert point.difference == pytest.approx(first.model - second.model, abs=1e-14)
            assert point.low == pytest.approx(each.mean() - 1.959963984540054 * each.std() / 300**0.5)


def test_few_patients_on_whom_models_disagree_are_hidden():
    scores, labels = draw()
    scores[1] = scores[0]
    same = local_decision_difference(scores, labels, THRESHOLDS)
    assert [point.threshold for point in finish_decision_difference(same, THRESHOLDS).points] == [
        0.3,
        0.4,
        0.5,
    ]
    alike = np.flatnonzero((scores[0] > 0.31) & (scores[0] < 0.39))[:4]
    scores[1, alike] = 0.25
    summary = local_decision_difference(scores, labels, THRESHOLDS)

    shown = [point.threshold for point in finish_decision_difference(summary, THRESHOLDS).points]

    assert shown == [0.4, 0.5]
    assert len(finish_decision_difference(summary, THRESHOLDS, SIMULATION).points) == 4


def test_too_few_are_suppressed():
    scores, _ = draw(40)

    result = finish_decision_difference(
        local_decision_difference(scores, np.arange(40) < 9, THRESHOLDS), THRESHOLDS
    )

    assert (result.points, result.status.kind) == ((), "suppressed")


def test_only_patients_with_both_scores_are_compared():
    scores, labels = draw()
    absent = scores.copy()
    absent[0, ::30], absent[1, 1::30] = np.nan, np.nan
    known = ~np.isnan(absent).any(axis=0)

    result = finish_decision_difference(local_decision_difference(absent, labels, THRESHOLDS), THRESHOLDS)

    alone = local_decision_difference(scores[:, known], labels[known], THRESHOLDS)
    assert result.points == finish_decision_difference(alone, THRESHOLDS).points
    assert (result.n_used, result.n_missing) == (280, 20)


def test_few_without_both_scores_hide_the_difference():
    scores, labels = draw()
    scores[0, :3] = np.nan

    result = finish_decision_difference(local_decision_difference(scores, labels, THRESHOLDS), THRESHOLDS)

    assert (result.points, result.n_used, result.n_missing) == ((), None, None)
    assert result.status.kind == "suppressed"


def test_refuses_what_is_no_pair():
    scores, labels = draw()
    with pytest.raises(ValueError, match="no pair"):
        local_decision_difference(scores[:1], labels, THRESHOLDS)
    with pytest.raises(NonFiniteError):
        local_decision_difference(np.where(scores > 0.9, np.inf, scores), labels, THRESHOLDS)
    with pytest.raises(ValueError, match="thresholds"):
        local_decision_difference(scores, labels, (0.5, 0.2))
