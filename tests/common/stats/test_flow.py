from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.contract import total
from common.stats.flow import finish_flow, local_flow
from common.stats.minima import REPLICATION, STANDARD

REASONS = ("age", "onset", "follow-up", "primary IVH", "surgery", "artefacts")


def flow(excluded, positive=30, negative=60):
    return local_flow(sum(excluded) + positive + negative, excluded, positive, negative)


def shown(result):
    return {step.reasons: step.patients for step in result.excluded}


def test_adds_over_sites():
    result = finish_flow(total([flow([5, 0, 7, 0, 0, 9]), flow([6, 0, 1, 0, 0, 0], 0, 0)]), REASONS)

    assert shown(result) == dict(zip(((name,) for name in REASONS), (11, 0, 8, 0, 0, 9), strict=True))
    assert (result.screened, result.included, result.positive, result.negative) == (118, 90, 30, 60)
    assert result.status.ok


def test_small_reasons_become_other_reasons():
    result = finish_flow(flow([3, 0, 7, 4, 20, 9]), REASONS)

    assert shown(result) == {
        ("onset",): 0,
        ("follow-up",): 7,
        ("surgery",): 20,
        ("artefacts",): 9,
        ("age", "primary IVH"): 7,
    }
    assert result.status.ok


def test_one_small_reason_takes_the_next_smallest_with_it():
    result = finish_flow(flow([3, 0, 7, 0, 20, 9]), REASONS)

    assert shown(result)["age", "follow-up"] == 10


def test_a_single_small_reason_hides_the_number_screened():
    result = finish_flow(flow([3, 0, 0, 0, 0, 0]), REASONS)

    assert shown(result)[("age",)] is None
    assert result.screened is None
    assert result.status.kind == "suppressed"
    assert finish_flow(flow([3, 0, 0, 0, 0, 0]), REASONS, REPLICATION).screened == 93


def test_a_small_class_hides_both():
    result = finish_flow(flow([0] * 6, positive=4), REASONS)

    assert (result.positive, result.negative, result.included) == (None, None, 64)
    assert result.status.kind == "suppressed"


@given(st.lists(st.integers(0, 12), min_size=6, max_size=6))
def test_merging_neither_loses_nor_shows_small_numbers(excluded):
    result = finish_flow(flow(excluded), REASONS)

    patients = [step.patients for step in result.excluded]
    assert sorted(reason for step in result.excluded for reason in step.reasons) == sorted(REASONS)
    if None in patients:
        assert 0 < sum(excluded) < STANDARD.cell
        return
    assert sum(patients) == sum(excluded)
    assert not any(0 < count < STANDARD.cell for count in patients)
    assert result.screened == sum(excluded) + 90


def test_refuses_numbers_that_do_not_add_up():
    with pytest.raises(ValueError, match="are not"):
        local_flow(10, [1, 2], 3, 5)
    with pytest.raises(ValueError, match="6 numbers"):
        finish_flow(flow([0] * 6), REASONS[:5])
