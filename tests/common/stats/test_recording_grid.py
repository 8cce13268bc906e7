from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.recording_grid import RecordingGrid, quantile

YEARS = RecordingGrid(low=18, resolution=1, bins=100, decimals=3)


def test_each_value_has_its_own_bin():
    assert RecordingGrid(0, 0.5, 3).histogram(np.array([-0.5, 0.0, 0.5, 0.7, 1.0, 1.5, 9.0])).tolist() == [
        1,
        1,
        2,
        1,
        2,
    ]
    assert (YEARS.high, YEARS.centre, YEARS.half_range) == (117, 67.5, 50)


@given(
    st.lists(st.integers(18, 117), min_size=1, max_size=60), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
)
def test_quantiles_equal_numpys_on_the_recording_grid(values, p):
    ages = np.array(values, dtype=float)
    histogram = YEARS.histogram(ages)

    assert quantile(histogram, p, YEARS).value == pytest.approx(np.quantile(ages, p), abs=5e-4)
    assert quantile(histogram, p, YEARS, 6).value == pytest.approx(
        np.quantile(ages, p, method="weibull"), abs=5e-4
    )


@given(st.lists(st.floats(18, 117), min_size=1, max_size=60), st.sampled_from([0.25, 0.5, 0.75]))
def test_error_stays_within_the_bound_off_the_grid(values, p):
    result = quantile(YEARS.histogram(np.array(values)), p, YEARS)

    assert abs(result.value - np.quantile(values, p)) <= result.error_bound + 5e-4
    assert result.error_bound == 0.5


def test_beyond_the_grid():
    histogram = RecordingGrid(0, 1, 10).histogram(np.array([-5.0, -4.0, 3.0, 12.0, 14.0]))

    below, inside, above = (quantile(histogram, p, RecordingGrid(0, 1, 10)) for p in (0.25, 0.5, 0.75))
    assert (below.beyond, below.value) == ("<", 0)
    assert (inside.beyond, inside.value) == ("", 3)
    assert (above.beyond, above.value) == (">", 9)


def test_is_rounded_to_the_reporting_unit():
    histogram = RecordingGrid(0, 0.01, 100).histogram(np.array([0.01, 0.02]))

    assert quantile(histogram, 0.5, RecordingGrid(0, 0.01, 100, decimals=3)).value == 0.015
    assert quantile(histogram, 0.25, RecordingGrid(0, 0.01, 100, decimals=2)).value == 0.01


@pytest.mark.parametrize(("resolution", "bins"), [(0, 10), (-1, 10), (1, 0)])
def test_refuses_what_is_no_grid(resolution, bins):
    with pytest.raises(ValueError, match="no grid"):
        RecordingGrid(0, resolution, bins)


@pytest.mark.parametrize(("values", "p"), [([], 0.5), ([20.0], 1.5)])
def test_refuses_what_is_no_quantile(values, p):
    with pytest.raises(ValueError, match="quantile"):
        quantile(YEARS.histogram(np.array(values)), p, YEARS)
