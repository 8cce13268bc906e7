"""On which grid a score is first counted."""

import numpy as np
import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.grids import MOST_PIECES, first_grid_of, most_counted_edges, most_edges
from common.plan.matrix import scorers_of
from common.stats.score_grid import ScoreGrid


def grids_of(*models, bins=1000):
    plan = plan_of({"a": "train"}, *models, evaluation={"bins": bins})
    return [first_grid_of(plan, scorer) for scorer in scorers_of(plan)]


def test_points_have_a_bin_each_and_everything_else_fine_ends():
    points = SCALE | {"low": 0, "high": 20, "step": 1}
    network, regression, of_points, of_scale = grids_of(
        NETWORK, LOGISTIC, points, SCALE | {"name": "Other", "column": "other"}
    )

    assert (of_points.bins, of_points.one_value) == (21, True)
    assert of_points.find_bins(np.arange(21) / 20).tolist() == list(range(21))
    for grid in (network, regression, of_scale):
        np.testing.assert_array_equal(grid.edges, ScoreGrid.with_fine_ends(1000).edges)
        assert not grid.one_value


@pytest.mark.parametrize("falls", [False, True])
@pytest.mark.parametrize(("low", "high", "step"), [(0, 5, 1), (-3, 7, 0.5), (0, 24, 1), (1, 2, 0.1)])
def test_every_point_of_a_scale_has_its_own_bin_however_it_is_scaled(low, high, step, falls):
    model = SCALE | {"low": low, "high": high, "step": step, "risk": "falls" if falls else "rises"}
    plan = plan_of({"a": "train"}, model)
    (scorer,) = scorers_of(plan)
    grid = first_grid_of(plan, scorer)
    points = np.array([scorer.model.scale(low + number * step) for number in range(grid.bins)])

    assert grid.bins == scorer.model.values == round((high - low) / step) + 1
    assert sorted(grid.find_bins(points).tolist()) == list(range(grid.bins))


def test_scores_of_a_sharp_network_do_not_share_a_bin():
    """Of 1,000 equal bins, one held all of them: three hospitals x 80 with risks near 1e-4."""
    (grid,) = grids_of(NETWORK)

    for scale in (1e-12, 1e-8, 1e-4):
        assert len(set(grid.find_bins(scale * np.array([1, 10, 100, 1000])).tolist())) == 4
        assert len(set(grid.find_bins(1 - scale * np.array([1, 10, 100, 1000])).tolist())) == 4
    assert len(set(grid.find_bins(np.arange(1, 100) / 100).tolist())) == 99


@pytest.mark.parametrize("bins", [10, 1000, 100_000])
def test_a_grid_has_the_plan_s_bins_and_may_grow(bins):
    plan = plan_of({"a": "train"}, NETWORK, evaluation={"bins": bins})
    (grid,) = grids_of(NETWORK, bins=bins)

    # Bins at 0 and 1 come to it; edges next to 1, where floats are few, fall together.
    assert 0.999 * bins <= grid.bins <= bins + 1
    assert grid.bins < most_edges(plan)
    # The first question has to be answered too.
    assert max(grid.edges.size, MOST_PIECES) <= most_counted_edges(plan)
