from __future__ import annotations

import pytest
from scipy.special import ndtri

from common.stats.estimate import LEVEL, OK, Estimate, Interval, Z, absent, suppressed, undefined


def test_z_is_the_quantile_of_the_level_to_the_last_bit():
    assert ndtri((1 + LEVEL) / 2) == Z


def test_status_prints_as_a_footnote():
    assert str(OK) == "ok"
    assert str(suppressed("few")) == "suppressed(few)"
    assert not undefined("0/0").ok


@pytest.mark.parametrize(("value", "status"), [(None, OK), (1.0, undefined("0/0"))])
def test_value_and_status_agree(value, status):
    with pytest.raises(ValueError, match="cannot have the value"):
        Estimate(value, method="hand", standing=status, n_used=10, n_missing=0)


def test_no_interval_around_nothing():
    for low, high in ((0.0, 1.0), (0.0, None), (None, 1.0)):
        with pytest.raises(ValueError, match="interval"):
            Estimate(None, low, high, "hand", undefined("0/0"), 10, 0)
    assert absent(undefined("0/0"), "hand", 3).n_used == 3


def test_the_interval_s_method_precedes_the_value_s():
    assert Estimate.of(0.5, Interval(0.4, 0.6, "Wald"), "hand", 10, 0) == Estimate(
        0.5, 0.4, 0.6, "Wald", OK, 10, 0
    )
    assert Estimate.of(0.5, None, "hand") == Estimate(0.5, method="hand")
