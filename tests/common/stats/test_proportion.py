from __future__ import annotations

import pytest

from common.stats.proportion import clopper_pearson, proportion_interval, wilson


@pytest.mark.parametrize(("successes", "trials"), [(15, 80), (0, 20), (20, 20), (51, 219)])
def test_equals_r(successes, trials, reference):
    expected = reference("roc/roc.csv")

    for name, interval in (
        ("exact", clopper_pearson(successes, trials)),
        ("wilson", wilson(successes, trials)),
    ):
        key = f"proportion.{successes}.{trials}.{name}"
        assert interval.low == pytest.approx(expected[f"{key}.low"], rel=1e-10, abs=1e-12)
        assert interval.high == pytest.approx(expected[f"{key}.high"], rel=1e-10)


def test_successes_between_integers():
    # The paper's Table 3: 2D-ResNet-101, external testing, AUC 0.777 of 219 patients.
    interval = clopper_pearson(0.777 * 219, 219)

    assert (round(interval.low, 3), round(interval.high, 3)) == (0.716, 0.830)


def test_by_name():
    assert proportion_interval("wilson", 1, 2) == wilson(1, 2)
    assert proportion_interval("clopper-pearson", 1, 2) == clopper_pearson(1, 2)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0, 0)])
def test_refuses_what_is_no_proportion(successes, trials):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, trials)
