"""Fleiss' kappa of several readers: as published and as irr prints it, and the same over any sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.contract import total
from common.stats.estimate import Z
from common.stats.fleiss import finish_fleiss, local_fleiss
from common.stats.kappa import finish_kappa, local_kappa
from common.stats.minima import SIMULATION, STANDARD

HERE = Path(__file__).parents[2] / "reference/agreement"


def ratings_of(votes):
    """Each patient's votes as the readers' categories, in any order: Fleiss' kappa does not see who voted."""
    return np.array([np.repeat(np.arange(len(row)), row) for row in votes])


def published(name):
    return ratings_of(np.loadtxt(HERE / f"{name}.csv", delimiter=",", dtype=int))


def kappa_by_definition(votes, weights=None):
    """Fleiss 1971, patient by patient; each patient may count by a weight."""
    n, readers = votes.shape[0], votes[0].sum()
    weights = np.full(n, 1 / n) if weights is None else weights
    agreed = ((votes**2).sum(axis=1) - readers) / (readers * (readers - 1))
    chance = ((weights @ votes / readers / weights.sum()) ** 2).sum()
    return (weights @ agreed / weights.sum() - chance) / (1 - chance)


@pytest.mark.parametrize("table", ["fleiss1971", "three_readers"])
def test_equals_irr_s_formula_in_r(table, rows):
    expected = {
        row["name"]: float(row["value"]) for row in rows("agreement/fleiss.csv") if row["table"] == table
    }

    found = finish_fleiss(local_fleiss(published(table), published(table).max() + 1))

    assert found.estimate.value == pytest.approx(expected["kappa"], rel=1e-12)
    assert found.null_error == pytest.approx(expected["null_error"], rel=1e-12)
    assert found.p == pytest.approx(expected["p"], rel=1e-9)
    half = Z * expected["error"]
    assert found.estimate.low == pytest.approx(expected["kappa"] - half, rel=1e-10)
    assert found.estimate.high == pytest.approx(min(1, expected["kappa"] + half), rel=1e-10)


def test_equals_what_is_published_for_fleiss_30_patients():
    """irr 0.84.1, kappam.fleiss(diagnoses): Kappa = 0.4302445, z = 17.65183."""
    found = finish_fleiss(local_fleiss(published("fleiss1971"), 5))

    assert found.estimate.value == pytest.approx(0.4302445, abs=5e-8)
    assert found.estimate.value / found.null_error == pytest.approx(17.65183, abs=5e-6)
    assert (found.estimate.n_used, found.estimate.n_missing) == (30, 0)


def test_the_interval_is_by_how_kappa_moves_with_each_patient():
    """The variance of the infinitesimal jackknife, by differences of kappa itself."""
    votes = np.loadtxt(HERE / "fleiss1971.csv", delimiter=",", dtype=int)
    n, step = len(votes), 1e-6
    moved = []
    for patient in range(n):
        up, down = np.full(n, 1 / n), np.full(n, 1 / n)
        up[patient] += step
        down[patient] -= step
        moved.append((kappa_by_definition(votes, up) - kappa_by_definition(votes, down)) / (2 * step))
    error = np.sqrt((np.array(moved) ** 2).sum() / (n * (n - 1)))

    found = finish_fleiss(local_fleiss(ratings_of(votes), 5)).estimate

    assert found.high - found.value == pytest.approx(Z * error, rel=1e-6)
    assert found.method == "linearised variance"


def test_of_two_readers_with_equal_shares_it_is_cohen_s_kappa():
    pairs = np.repeat([(0, 0), (0, 1), (1, 0), (1, 1)], [30, 5, 5, 20], axis=0)

    cohen = finish_kappa(local_kappa(*pairs.T, 2))

    assert finish_fleiss(local_fleiss(pairs, 2)).estimate.value == pytest.approx(cohen.value, rel=1e-12)


@given(
    st.integers(2, 5).flatmap(
        lambda readers: st.lists(
            st.tuples(st.integers(0, 6), *[st.integers(-1, 2)] * readers), min_size=1, max_size=40
        )
    )
)
def test_federated_equals_the_definition_on_complete_patients(rows):
    sites, ratings = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows])
    complete = (ratings >= 0).all(axis=1)
    votes = (ratings[complete, :, None] == np.arange(3)).sum(axis=1)

    summed = total(local_fleiss(ratings[sites == site], 3) for site in range(7))
    found = finish_fleiss(summed, SIMULATION).estimate

    assert found.n_missing == np.sum(~complete)
    if not complete.any():
        assert str(found.standing) == "undefined(no readings)"
    elif len(np.unique(ratings[complete])) == 1:
        assert str(found.standing) == "undefined(all readings are in one category)"
    else:
        assert found.value == pytest.approx(kappa_by_definition(votes), abs=1e-12)
        pooled = finish_fleiss(local_fleiss(ratings, 3), SIMULATION).estimate
        assert (found.low, found.high) == pytest.approx((pooled.low, pooled.high), abs=1e-12)


@pytest.mark.parametrize(
    ("votes", "value", "reason"),
    [
        ([[3, 0]] * 30 + [[0, 3]] * 7, 1.0, "no disagreement was seen"),
        ([[4, 0, 0]] * 4000 + [[0, 4, 0]], 1.0, "no disagreement was seen"),
        ([[1, 2]] * 40, -0.5, "kappa has no variance in these readings"),
        ([[1, 2]], -0.5, "kappa has no variance in these readings"),
    ],
)
def test_an_interval_of_no_width_is_none(votes, value, reason):
    found = finish_fleiss(local_fleiss(ratings_of(votes), 3), SIMULATION)

    assert found.estimate.value == pytest.approx(value, abs=1e-12)
    assert (found.estimate.low, found.estimate.high) == (None, None)
    assert found.estimate.standing.reason == f"no interval: {reason}"
    assert found.p is not None


def test_one_disagreement_has_an_interval():
    found = finish_fleiss(local_fleiss(ratings_of([[3, 0]] * 500 + [[0, 3]] * 500 + [[1, 2]]), 2)).estimate

    assert found.low < found.value < found.high
    assert found.standing.reason == ""


def test_few_patients_are_suppressed_and_few_missing_hide_the_number():
    ratings = np.tile([[0, 0, 1], [1, 1, 1]], (STANDARD.subjects, 1))
    few = finish_fleiss(local_fleiss(ratings[: STANDARD.subjects - 1], 2))
    gap = np.vstack([ratings, [[0, -1, 1]] * 3])

    assert (few.estimate.standing.kind, few.p, few.null_error) == ("suppressed", None, None)
    found = finish_fleiss(local_fleiss(gap, 2)).estimate
    assert (found.n_used, found.n_missing, found.standing.ok) == (None, None, True)


@pytest.mark.parametrize(
    ("ratings", "message"), [([[0], [1]], "two readers"), ([[0, 3]], "among"), ([[0, -2]], "among")]
)
def test_refuses(ratings, message):
    with pytest.raises(ValueError, match=message):
        local_fleiss(np.array(ratings), 3)
