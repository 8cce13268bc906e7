from __future__ import annotations

import pytest

from common.errors import SmallNumberError
from common.stats.contract import total
from common.stats.differencing import Cohort, Registry, check_site_differences, local_differences, too_close
from common.stats.minima import SIMULATION, STANDARD

ALL = Cohort("all", "1")
LOBAR = Cohort("lobar", "1")
FIRST = Registry(("all", "lobar"), 3).release(ALL)


def rows(start, end, version=""):
    return {f"{number}{version}" for number in range(start, end)}


def test_nothing_stands_against_the_first():
    none = local_differences(rows(0, 50), ())

    assert none.counts["only"].shape == (0, 2)
    assert Registry(("all",), 1).judge(ALL, none).ok


@pytest.mark.parametrize(
    ("begin", "end", "ok"),
    [(0, 100, True), (10, 100, True), (9, 100, False), (0, 110, True), (0, 101, False), (10, 109, False)],
)
def test_ten_more_and_ten_fewer_or_none(begin, end, ok):
    differences = local_differences(rows(begin, end), [rows(0, 100)])

    assert FIRST.judge(LOBAR, differences).ok is ok
    assert FIRST.judge(LOBAR, differences, SIMULATION).ok


def test_pooled_difference_counts_however_spread():
    before, after = rows(0, 100), rows(12, 100)
    parts = [(after & site, [before & site]) for site in (rows(0, 6), rows(6, 50), rows(50, 100), set())]

    pooled = total(local_differences(candidate, earlier) for candidate, earlier in parts)

    assert pooled.counts["only"].tolist() == [[12, 0]]
    assert FIRST.judge(LOBAR, pooled).ok
    with pytest.raises(SmallNumberError, match="fewer than 10"):
        check_site_differences(local_differences(*parts[0]))
    check_site_differences(local_differences(*parts[2]))
    assert too_close(*parts[0])
    assert not too_close(*parts[0], SIMULATION)
    assert not any(too_close(*part) for part in parts[2:])


@pytest.mark.parametrize(("changed", "ok"), [(0, True), (9, False), (10, True)])
def test_data_that_changed_need_ten_changed_patients(changed, ok):
    after = rows(0, changed, "changed") | rows(changed, 100)

    assert FIRST.judge(Cohort("all", "2"), local_differences(after, [rows(0, 100)])).ok is ok


def test_every_earlier_cohort_counts():
    registry = FIRST.release(LOBAR)
    earlier = [rows(0, 100), rows(0, 43)]

    assert not registry.judge(Cohort("all", "2"), local_differences(rows(0, 40), earlier), STANDARD).ok
    assert registry.released == (ALL, LOBAR)


def test_plan_lists_cohorts_and_counts_releases():
    differences = local_differences(rows(0, 50), [rows(0, 100)])

    assert "list" in FIRST.judge(Cohort("deep", "1"), differences).reason
    full = Registry(("all", "lobar"), 1, (ALL,))
    assert "no more" in full.judge(LOBAR, differences).reason
    with pytest.raises(ValueError, match="differences from 0"):
        FIRST.judge(LOBAR, local_differences(rows(0, 50), ()))
