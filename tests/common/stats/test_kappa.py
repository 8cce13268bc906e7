from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from common.stats.contract import Summary, total
from common.stats.kappa import finish_kappa, local_kappa
from common.stats.minima import SIMULATION

TABLE = np.array([[22, 2, 2, 0], [5, 7, 14, 0], [0, 2, 36, 0], [0, 1, 17, 10]])


def of_table(table, missing=0):
    return Summary(counts={"table": np.array(table), "missing": np.array([missing])})


@pytest.mark.parametrize(
    ("weights", "name"),
    [("unweighted", "unweighted"), ("linear", "Equal-Spacing"), ("quadratic", "Fleiss-Cohen")],
)
def test_equals_vcd(weights, name, reference):
    expected = reference("agreement/agreement.csv")

    result = finish_kappa(of_table(TABLE), weights)

    assert result.value == pytest.approx(expected[f"{name}.value"], rel=1e-12)
    assert result.low == pytest.approx(expected[f"{name}.low"], rel=1e-10)
    assert result.high == pytest.approx(expected[f"{name}.high"], rel=1e-10)
    assert (result.n_used, result.n_missing) == (118, 0)


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2), st.integers(0, 2)), min_size=1, max_size=40),
    st.sampled_from(["unweighted", "linear", "quadratic"]),
)
def test_federated_equals_sklearn(readings, weights):
    first, second, site = (np.array(column) for column in zip(*readings, strict=True))
    summary = total(local_kappa(first[site == s], second[site == s], 3) for s in range(3))
    known = (first >= 0) & (second >= 0)

    result = finish_kappa(summary, weights, SIMULATION)

    assert result.n_missing == np.sum(~known)
    if not known.any():
        assert str(result.standing) == "undefined(no readings)"
    elif len({*first[known], *second[known]}) == 1:
        assert str(result.standing) == "undefined(all readings are in one category)"
    else:
        name = None if weights == "unweighted" else weights
        expected = cohen_kappa_score(first[known], second[known], labels=[0, 1, 2], weights=name)
        assert result.value == pytest.approx(expected, abs=1e-12)


def test_single_category():
    assert finish_kappa(of_table([[20]]), "linear").standing.kind == "undefined"


@pytest.mark.parametrize(
    ("table", "value", "reason"),
    [
        ([[30, 0], [0, 20]], 1.0, "no interval: no disagreement was seen"),
        ([[999, 0, 0], [0, 1, 0], [0, 0, 3]], 1.0, "no interval: no disagreement was seen"),
        ([[0, 20], [20, 0]], -1.0, "no interval: kappa has no variance in these readings"),
        # A reader who finds the same in every patient has kappa 0, whatever the other finds
        ([[10, 13], [0, 0]], 0.0, "no interval: kappa has no variance in these readings"),
    ],
)
@pytest.mark.parametrize("weights", ["unweighted", "linear", "quadratic"])
def test_an_interval_of_no_width_is_none(table, value, reason, weights):
    """1.000 (1.000-1.000) states certainty; a large-sample interval knows nothing there."""
    found = finish_kappa(of_table(table), weights)

    assert found.value == pytest.approx(value, abs=1e-12)
    assert (found.low, found.high, found.standing.ok, found.standing.reason) == (None, None, True, reason)


@pytest.mark.parametrize("size", [20, 100_000])
def test_one_disagreement_has_an_interval(size):
    found = finish_kappa(of_table([[size, 1], [0, size]]))

    assert found.low < found.value < found.high
    assert found.standing.reason == ""


def test_few_subjects_are_suppressed_and_few_missing_hide_the_number():
    assert finish_kappa(of_table([[4, 1], [2, 2]])).standing.kind == "suppressed"
    result = finish_kappa(of_table([[40, 1], [2, 20]], missing=3))
    assert (result.n_used, result.n_missing, result.standing.ok) == (None, None, True)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([0, 1], [0], "belong"), ([0, 3], [0, 1], "among"), ([0, -2], [0, 1], "among")],
)
def test_refuses(first, second, message):
    with pytest.raises(ValueError, match=message):
        local_kappa(np.array(first), np.array(second), 3)


def test_empty_site():
    assert local_kappa(np.empty(0, dtype=int), np.empty(0, dtype=int), 3).counts["table"].sum() == 0
