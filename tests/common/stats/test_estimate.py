from __future__ import annotations

import pytest

from common.stats.estimate import OK, Estimate, Interval, absent, suppressed, undefined


def test_status_prints_as_a_footnote():
    assert str(OK) == "ok"
    assert str(suppressed("few")) == "suppressed(few)"
    assert not undefined("0/0").ok


@pytest.mark.parametrize(("value", "status"), [(None, OK), (1.0, undefined("0/0"))])
def test_value_and_status_agree(value, status):
    with pytest.raises(ValueError, match="cannot have the value"):
        Estimate(value, None, 10, 0, "hand", status)


def test_no_interval_around_nothing():
    with pytest.raises(ValueError, match="interval"):
        Estimate(None, Interval(0, 1, "hand"), 10, 0, "hand", undefined("0/0"))
    assert absent(undefined("0/0"), "hand", 3).n_used == 3
