from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from common.stats.contract import total
from common.stats.minima import SIMULATION, STANDARD
from common.stats.roc import local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.youden import finish_youden


def draw(seed, n=300):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    return np.clip(random.normal(0.35 + 0.2 * labels, 0.15), 0, 1), labels


def youden_of(scores, labels, bins, *minima):
    """The operating point of one site's scores on even bins."""
    grid = ScoreGrid.even(bins)
    return finish_youden(local_roc(scores, labels, grid), grid, *minima)


def test_by_hand():
    scores = np.array([0.15, 0.35, 0.45, 0.35, 0.65, 0.95])
    labels = np.array([False, False, False, True, True, True])

    point = youden_of(scores, labels, 10, SIMULATION)

    # From 0.5 and 0.6 on up: two of three positives, no negative; 0.5 is nearer to 0.5.
    assert (point.threshold, point.n_used, point.n_missing) == (0.5, 6, 0)
    assert point.index == pytest.approx(2 / 3)


def test_equally_near_takes_the_larger():
    # Edges 0.4 and 0.6 are equally good and equally near to 0.5, which is worse.
    scores = np.array([0.1, 0.45, 0.55, 0.8])
    labels = np.array([False, True, False, True])

    assert youden_of(scores, labels, 10, SIMULATION).threshold == 0.6
    assert youden_of(scores[::-1], labels, 10, SIMULATION).threshold == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_of_sklearns_is_better(seed, federations):
    scores, labels = draw(seed)
    fpr, tpr, _ = roc_curve(labels, np.floor(scores * 100), drop_intermediate=False)

    for sites in federations(labels):
        grid = ScoreGrid.even(100)
        point = finish_youden(total(local_roc(scores[site], labels[site], grid) for site in sites), grid)
        called = np.floor(scores * 100) >= round(point.threshold * 100)
        assert called[labels].mean() - called[~labels].mean() == pytest.approx(np.max(tpr - fpr), abs=1e-14)
        assert point.index == pytest.approx(np.max(tpr - fpr), abs=1e-14)
        assert point == youden_of(scores, labels, 100)


def test_index_that_gives_few_patients_away_is_hidden():
    labels = np.arange(60) >= 30
    scores = np.where(labels, 0.8, 0.2)
    scores[:3] = 0.9

    point = youden_of(scores, labels, 10, STANDARD)

    assert (point.threshold, point.index, point.status.ok) == (0.5, None, True)
    assert youden_of(scores, labels, 10, SIMULATION).index == pytest.approx(0.9)


@pytest.mark.parametrize(("absent", "numbers"), [(0, (300, 0)), (3, (None, None)), (30, (270, 30))])
def test_patients_without_a_score_are_counted(absent, numbers):
    scores, labels = draw(0)
    scores[:absent] = np.nan

    point = youden_of(scores, labels, 100)

    assert (point.n_used, point.n_missing) == numbers
    alone = youden_of(scores[absent:], labels[absent:], 100)
    assert (point.threshold, point.index) == (alone.threshold, alone.index)


@pytest.mark.parametrize(
    ("n", "positives", "kind"), [(40, 9, "suppressed"), (40, 0, "suppressed"), (0, 0, "undefined")]
)
def test_too_few_choose_nothing(n, positives, kind):
    point = youden_of(np.linspace(0, 1, n), np.arange(n) < positives, 10)

    assert (point.threshold, point.index, point.status.kind) == (None, None, kind)


def test_constant_score_stays_at_a_half():
    point = youden_of(np.full(40, 0.3), np.arange(40) < 20, 10)

    assert (point.threshold, point.index) == (0.5, 0.0)
