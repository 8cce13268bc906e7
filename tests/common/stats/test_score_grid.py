"""Bins of scores: fine at both ends, divided until no bin holds both outcomes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from common.stats.contract import total
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import (
    ScoreGrid,
    count_by_bin,
    divide_bins,
    find_mixed,
    keep_needed,
)

SPREADS = (0.02, 0.05, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the logits: from a network that learned nothing to a saturated one."""


def draw(random, spread, n=210, centre=0.0):
    """Scores of three sites' patients with an AUC near .75; positives first."""
    labels = np.arange(n) < n // 3
    logits = centre + spread * (random.normal(size=n) + 0.95 * labels)
    return 1 / (1 + np.exp(-logits)), labels, random.integers(0, 3, n)


def measure(scores, labels, site, grid):
    """The AUC over three sites, and its bound."""
    summary = total(local_roc(scores[site == s], labels[site == s], grid) for s in range(3))
    result = finish_roc(summary, grid, minima=SIMULATION)
    return result.auc.value, result.error_bound


def refine(scores, labels, grid, pieces=4096):
    """The grid without mixed bins, and the questions that it took."""
    asked = 1
    mixed = np.flatnonzero(find_mixed(grid, count_by_bin(scores, labels, grid)))
    while mixed.size:
        divided = divide_bins(grid, mixed, pieces)
        histogram = count_by_bin(scores, labels, divided)
        inside = np.isin(grid.find_bins(divided.starts), mixed)
        starts = divided.starts[find_mixed(divided, histogram) & inside]
        grid = ScoreGrid(np.union1d(grid.edges, keep_needed(divided, [histogram])))
        mixed = np.unique(grid.find_bins(starts))
        asked += 1
    return grid, asked


@pytest.mark.parametrize("spread", SPREADS)
def test_even_undivided_the_first_grid_is_within_its_bound_and_rarely_far_off(spread):
    """The mean error of an AUC over three sites, by the plan's first grid alone."""
    random = np.random.default_rng(7)
    errors = []
    for _ in range(40):
        scores, labels, site = draw(random, spread)
        raw = roc_auc_score(labels, scores)
        value, bound = measure(scores, labels, site, ScoreGrid.with_fine_ends(1000))
        assert abs(value - raw) <= bound + 1e-12
        errors.append(abs(value - raw))

    assert np.mean(errors) < {0.02: 0.005, 0.05: 0.002, 0.1: 0.001}.get(spread, 0.0005)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("centre", [0.0, -9.0, -25.0])
def test_divided_bins_give_the_raw_auc_at_every_scale(spread, centre):
    random = np.random.default_rng(3)
    for _ in range(5):
        scores, labels, site = draw(random, spread, centre=centre)

        grid, asked = refine(scores, labels, ScoreGrid.with_fine_ends(1000))

        assert measure(scores, labels, site, grid) == (pytest.approx(roc_auc_score(labels, scores)), 0.0)
        assert asked <= 6
        assert grid.bins < 1400


@given(st.integers(0, 10_000))
def test_ties_between_sites_and_saturated_scores_are_recognised(seed):
    random = np.random.default_rng(seed)
    scores, labels, site = draw(random, 10 ** random.uniform(-1, 1.5), n=60)
    scores = scores.round(int(random.integers(1, 8)))

    grid, asked = refine(scores, labels, ScoreGrid.with_fine_ends(100))

    assert measure(scores, labels, site, grid) == (pytest.approx(roc_auc_score(labels, scores)), 0.0)
    assert asked <= 13


def test_bins_of_one_outcome_stay_undivided():
    scores, labels = np.array([0.501, 0.502, 0.9, 0.9001]), np.array([True, True, False, True])
    grid = ScoreGrid.with_fine_ends(20)

    finer, _ = refine(scores, labels, grid)

    assert find_mixed(grid, count_by_bin(scores, labels, grid)).sum() == 1
    assert len(set(grid.find_bins(scores[:2]))) == len(set(finer.find_bins(scores[:2]))) == 1
    assert len(set(finer.find_bins(scores[2:]))) == 2


@pytest.mark.parametrize("bins", [2, 3, 10, 1000, 4001])
def test_both_ends_are_fine_and_zero_and_one_are_alone(bins):
    grid = ScoreGrid.with_fine_ends(bins)

    assert bins <= grid.bins + 1 <= bins + 4
    assert grid.find_bins(np.array([0.0, 5e-324, 1 - 2**-53, 1.0])).tolist() == [
        0,
        1,
        grid.bins - 2,
        grid.bins - 1,
    ]
    assert grid.is_tie[[0, -1]].all()
    if bins == 1000:
        tiny = np.array([1e-12, 3e-12, 1e-9, 3e-9, 1e-6, 3e-6, 1e-3, 3e-3])
        assert len(set(grid.find_bins(tiny).tolist())) == 8
        assert len(set(grid.find_bins(1 - tiny).tolist())) == 8


def test_values_of_a_scale_have_a_bin_each():
    grid = ScoreGrid.of_values(6)

    assert grid.find_bins(np.arange(6) / 5).tolist() == [0, 1, 2, 3, 4, 5]
    assert grid.is_tie.all()


def test_a_bin_is_cut_by_size_near_zero_and_by_value_within_a_power_of_two():
    grid = ScoreGrid(np.array([0.25, 0.5]))

    inside = divide_bins(grid, np.array([1]), 4)
    below = divide_bins(grid, np.array([0]), 4)

    assert inside.edges.tolist() == [0.25, 0.3125, 0.375, 0.4375, 0.5]
    assert np.all(np.diff(np.log2(below.edges)) > 200)


@pytest.mark.parametrize("edges", [[0.5, 0.5], [0.6, 0.5], [0.0], [1.5], [np.nan], [[0.5]]])
def test_refuses_edges_that_do_not_ascend_within_the_scores(edges):
    with pytest.raises(ValueError, match="grid|ascend"):
        ScoreGrid(np.array(edges))


@pytest.mark.parametrize(
    "make", [lambda: ScoreGrid.even(0), lambda: ScoreGrid.with_fine_ends(1), lambda: ScoreGrid.of_values(1)]
)
def test_refuses_grids_without_bins(make):
    with pytest.raises(ValueError, match="no grid|is none"):
        make()
