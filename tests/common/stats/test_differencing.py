from __future__ import annotations

import pytest

from common.stats.differencing import is_too_close
from common.stats.minima import SIMULATION


def rows(start, end, version=""):
    return {f"{number}{version}" for number in range(start, end)}


def test_nothing_stands_against_the_first():
    assert not is_too_close(rows(0, 50), ())


@pytest.mark.parametrize(
    ("begin", "end", "ok"),
    [(0, 100, True), (10, 100, True), (9, 100, False), (0, 110, True), (0, 101, False), (10, 109, False)],
)
def test_ten_more_and_ten_fewer_or_none(begin, end, ok):
    assert is_too_close(rows(begin, end), [rows(0, 100)]) is not ok
    assert not is_too_close(rows(begin, end), [rows(0, 100)], SIMULATION)


def test_each_site_judges_its_own_patients_though_the_pooled_difference_is_large_enough():
    before, after = rows(0, 100), rows(12, 100)
    parts = [(after & site, [before & site]) for site in (rows(0, 6), rows(6, 50), rows(50, 100), set())]

    assert not is_too_close(after, [before])
    assert is_too_close(*parts[0])
    assert not is_too_close(*parts[0], SIMULATION)
    assert not any(is_too_close(*part) for part in parts[2:])


@pytest.mark.parametrize(("changed", "ok"), [(0, True), (9, False), (10, True)])
def test_data_that_changed_need_ten_changed_patients(changed, ok):
    after = rows(0, changed, "changed") | rows(changed, 100)

    assert is_too_close(after, [rows(0, 100)]) is not ok


def test_every_earlier_cohort_counts():
    assert not is_too_close(rows(0, 40), [rows(0, 100)])
    assert is_too_close(rows(0, 40), [rows(0, 100), rows(0, 43)])


@pytest.mark.parametrize(("rest", "ok"), [(0, True), (1, False), (9, False), (10, True)])
def test_what_remains_of_a_cohort_without_two_parts_is_none_or_ten(rest, ok):
    """All, less those who train, less those who are tested, are the few whose own numbers were withheld."""
    train, test, whole = rows(0, 40), rows(40, 60), rows(0, 60 + rest)

    assert is_too_close(whole, [train, test]) is not ok
    assert is_too_close(test, [whole, train]) is not ok
    assert is_too_close(train, [test, whole]) is not ok
    assert not is_too_close(whole, [train, test], SIMULATION)


def test_parts_that_overlap_leave_no_rest():
    """Three of 63 are in neither, but ten are in both: all less the two is a difference over thirteen."""
    assert not is_too_close(rows(0, 63), [rows(0, 40), rows(30, 60)])
