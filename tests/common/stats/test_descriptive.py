from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common.errors import NonFiniteError
from common.stats.contract import total
from common.stats.descriptive import finish_descriptive, group_moments, local_descriptive
from common.stats.minima import SIMULATION
from common.stats.recording_grid import RecordingGrid

PRESSURE = RecordingGrid(low=50, resolution=1, bins=250, decimals=1)
VOLUME = RecordingGrid(low=0, resolution=0.01, bins=30_001)


def patients(seed=0, n=300):
    random = np.random.default_rng(seed)
    outcome = (random.random(n) < 0.37).astype(np.int64)
    pressure = random.normal(160 + 5 * outcome, 30).round()
    pressure[random.random(n) < 0.1] = np.nan
    return pressure, outcome


def test_equals_numpy_and_scipy():
    values, outcome = patients()

    summary = local_descriptive(values, outcome, 2, PRESSURE)
    for group, (result, moments) in enumerate(
        zip(finish_descriptive(summary, PRESSURE), group_moments(summary, PRESSURE), strict=True)
    ):
        known = values[(outcome == group) & ~np.isnan(values)]
        assert result.n_used == known.size
        assert result.n_missing == np.sum(np.isnan(values[outcome == group]))
        assert result.mean == pytest.approx(known.mean(), rel=1e-13)
        assert result.sd == pytest.approx(known.std(ddof=1), rel=1e-13)
        assert result.median.value == np.median(known)
        assert result.first_quartile.value == round(np.quantile(known, 0.25), 1)
        assert result.third_quartile.value == round(np.quantile(known, 0.75), 1)
        assert moments.m3 / moments.n == pytest.approx(stats.moment(known, 3), rel=1e-9)
        assert moments.m4 / moments.n == pytest.approx(stats.moment(known, 4), rel=1e-12)


def test_federated_equals_pooled(federations):
    values, outcome = patients(1)
    summary = local_descriptive(values, outcome, 2, PRESSURE)
    pooled = finish_descriptive(summary, PRESSURE, kind=6)

    for sites in federations(outcome):
        federated = total(local_descriptive(values[site], outcome[site], 2, PRESSURE) for site in sites)
        for one, other in zip(finish_descriptive(federated, PRESSURE, kind=6), pooled, strict=True):
            assert one.mean == pytest.approx(other.mean, rel=1e-13)
            assert one.sd == pytest.approx(other.sd, rel=1e-12)
            assert (one.first_quartile, one.median, one.third_quartile, one.n_used, one.n_missing) == (
                other.first_quartile,
                other.median,
                other.third_quartile,
                other.n_used,
                other.n_missing,
            )


@given(
    st.lists(st.tuples(st.floats(0, 300), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=40),
)
def test_any_split_gives_the_same_moments(rows):
    values, groups, site = (np.array(column) for column in zip(*rows, strict=True))
    split = total(
        local_descriptive(values[site == number], groups[site == number], 2, VOLUME) for number in range(3)
    )

    for group, moments in enumerate(group_moments(split, VOLUME)):
        known = values[groups == group]
        assert moments.n == known.size
        if known.size > 1:
            assert moments.mean == pytest.approx(known.mean(), rel=1e-12, abs=1e-10)
            assert moments.sd == pytest.approx(known.std(ddof=1), rel=1e-6, abs=1e-4)


def test_far_from_zero_no_digits_are_lost():
    grid = RecordingGrid(low=1e6 - 10, resolution=1e-3, bins=20_001)
    values = 1e6 + np.random.default_rng(0).normal(size=1000)

    result = finish_descriptive(local_descriptive(values, np.zeros(1000, dtype=int), 1, grid), grid)[0]

    assert result.sd == pytest.approx(values.std(ddof=1), rel=1e-13)


def test_constant_variable_has_no_variance():
    values = np.full(50, 0.1 + 0.2)
    summary = total(
        local_descriptive(part, np.zeros(part.size, dtype=int), 1, VOLUME) for part in (values[:7], values)
    )

    assert group_moments(summary, VOLUME)[0].variance == 0


def test_small_groups_are_suppressed():
    values = np.array([160.0] * 9 + [150.0] * 20)
    groups = np.array([0] * 9 + [1] * 20)

    few, enough = finish_descriptive(local_descriptive(values, groups, 2, PRESSURE), PRESSURE)

    assert str(few.status) == "suppressed(fewer than 10 values)"
    assert (few.mean, few.sd, few.median, few.n_used) == (None, None, None, 9)
    assert enough.mean == 150
    assert (
        finish_descriptive(local_descriptive(values, groups, 2, PRESSURE), PRESSURE, SIMULATION)[0].mean
        == 160
    )


def test_few_missing_values_hide_the_number_used():
    values = np.array([160.0] * 30 + [np.nan] * 2)

    result = finish_descriptive(local_descriptive(values, np.zeros(32, dtype=int), 1, PRESSURE), PRESSURE)[0]

    assert (result.n_used, result.n_missing, result.mean) == (None, None, 160)


def test_empty_and_single():
    nothing, single = finish_descriptive(
        local_descriptive(np.array([np.nan, 7.0]), np.array([0, 1]), 2, VOLUME), VOLUME, SIMULATION
    )

    assert str(nothing.status) == "undefined(no values)"
    assert nothing.n_missing == 1
    assert (single.mean, single.sd, single.median.value) == (pytest.approx(7), None, 7)
    empty, one = group_moments(local_descriptive(np.array([7.0]), np.array([1]), 2, VOLUME), VOLUME)
    assert np.isnan(empty.mean)
    assert np.isnan(one.sd)
    assert np.isnan(one.variance)


@pytest.mark.parametrize(
    ("values", "groups", "error", "message"),
    [
        ([1.0, np.inf], [0, 1], NonFiniteError, "infinite"),
        ([1.0, 2.0], [0], ValueError, "belong"),
        ([[1.0]], [[0]], ValueError, "belong"),
        ([1.0, 2.0], [0, 2], ValueError, "among"),
        ([1.0, 2.0], [-1, 1], ValueError, "among"),
    ],
)
def test_refuses(values, groups, error, message):
    with pytest.raises(error, match=message):
        local_descriptive(np.array(values), np.array(groups), 2, VOLUME)
