"""Every benchmark still runs: each module once, as small as it can be. The ratios are not judged here."""

from __future__ import annotations

import math

import pytest

from tests.bench.__main__ import find_modules, measure
from tests.bench.measurement import Effort

pytestmark = pytest.mark.slow


def test_modules_are_found():
    assert {"federation", "preprocessing", "secagg", "training"} <= set(find_modules())


@pytest.mark.filterwarnings("ignore")  # of the programs with which a benchmark compares
@pytest.mark.parametrize("module", find_modules())
def test_benchmark_runs(module, monkeypatch):
    # On one core, sites have no processes of their own
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    measurements = list(measure(module, Effort.SMOKE))

    assert measurements
    assert len({measurement.name for measurement in measurements}) == len(measurements)
    for measurement in measurements:
        assert measurement.name
        assert math.isfinite(measurement.ratio), measurement
        assert measurement.ratio > 0, measurement
        assert math.isfinite(measurement.bound), measurement
        assert measurement.bound > 0, measurement
        assert measurement.direction in {"at least", "at most"}
