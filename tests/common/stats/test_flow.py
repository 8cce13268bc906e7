from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.contract import total
from common.stats.flow import finish_flow, finish_flows, local_flow
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


def test_no_centre_s_small_reason_is_what_is_left_of_all_together():
    flows, whole = finish_flows({"a": flow([3, 0, 8, 0, 0, 9]), "b": flow([7, 0, 6, 0, 0, 5])}, REASONS)

    assert shown(flows["a"])["age", "follow-up"] == 11
    assert shown(flows["b"])[("age",)] == 7
    assert ("age",) not in shown(whole)
    assert shown(whole)["age", "follow-up"] == 24
    assert (whole.screened, whole.status.ok) == (218, True)


def test_what_one_centre_hides_is_hidden_of_all_together():
    charts = {"a": flow([3, 0, 0, 0, 0, 0], positive=4), "b": flow([7, 0, 6, 0, 0, 5])}

    flows, whole = finish_flows(charts, REASONS)

    assert (flows["a"].screened, shown(flows["a"])[("age",)]) == (None, None)
    assert (whole.screened, whole.positive, whole.negative) == (None, None, None)
    assert not any(patients for reasons, patients in shown(whole).items() if "age" in reasons)
    assert whole.included == 154
    assert whole.status.kind == "suppressed"


def test_where_nothing_is_hidden_all_together_is_as_it_was():
    charts = {"a": flow([3, 0, 8, 0, 0, 9]), "b": flow([7, 0, 6, 0, 0, 5])}

    assert finish_flows(charts, REASONS, REPLICATION)[1] == finish_flow(
        total(charts.values()), REASONS, REPLICATION
    )


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
