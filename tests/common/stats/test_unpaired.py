"""AUCs of two separate groups: against pROC, R's solution of published formulas, and raw patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from common.stats.estimate import Z
from common.stats.minima import STANDARD
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.unpaired import boundary_distance, compare_unpaired

GRID = ScoreGrid(np.arange(1, 10_000) / 10_000, one_value=True)
"""No two different scores of these tests lie in one bin."""


def group(scores, labels, minima=None):
    extra = {} if minima is None else {"minima": minima}
    summary = local_roc(np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool), GRID)
    return finish_roc(summary, GRID, **extra)


def perfect(positives, negatives, *, reverse=False):
    labels = np.arange(positives + negatives) < positives
    scores = np.where(labels, 0.9, 0.1) if not reverse else np.where(labels, 0.1, 0.9)
    return group(scores + np.arange(labels.size) / 1000, labels)


@pytest.fixture
def halves(rows):
    data = rows("roc/asah.csv")
    odd = np.arange(len(data)) % 2 == 0
    scores = np.array([float(row["s100b"]) for row in data]) / 3
    labels = np.array([row["outcome"] == "Poor" for row in data])
    return group(scores[odd], labels[odd]), group(scores[~odd], labels[~odd])


def test_equals_proc(reference, halves):
    expected = reference("meta/centres.csv")

    result = compare_unpaired(*halves)

    assert [half.auc.value for half in halves] == pytest.approx([expected["odd.auc"], expected["even.auc"]])
    assert result.z == pytest.approx(expected["z"], rel=1e-9)
    assert result.p == pytest.approx(expected["p"], rel=1e-9)
    assert result.difference.low == pytest.approx(expected["low"], rel=1e-9)
    assert result.difference.high == pytest.approx(expected["high"], rel=1e-9)
    assert result.difference.n_used == 113
    assert (result.error_bound, result.p_range) == (0.0, (result.p, result.p))


@pytest.mark.parametrize("size", [(12, 22), (5, 5), (40, 80)])
def test_the_limit_of_an_auc_of_one_is_newcombe_s(reference, size):
    expected = reference("meta/centres.csv")[f"limit.{size[0]}.{size[1]}"]

    assert 1 - boundary_distance(Z, *size) == pytest.approx(expected, rel=1e-9)


def test_an_auc_of_one_against_another_equals_r(reference, halves):
    expected = reference("meta/centres.csv")

    result = compare_unpaired(perfect(12, 22), halves[0])

    assert result.difference.low == pytest.approx(expected["perfect.low"], rel=1e-9)
    assert result.difference.high == pytest.approx(expected["perfect.high"], rel=1e-9)
    assert (result.z, result.p) == pytest.approx((expected["perfect.z"], expected["perfect.p"]), rel=1e-8)
    assert "Newcombe" in result.difference.method


def test_an_auc_of_zero_is_the_mirror_of_one(halves):
    """With all scores reversed, every difference changes its sign."""
    odd, _ = halves
    mirrored = group(1 - np.linspace(0, 1, 40), np.arange(40) % 3 == 0)
    plain = group(np.linspace(0, 1, 40), np.arange(40) % 3 == 0)
    assert odd.auc.value != plain.auc.value

    up = compare_unpaired(perfect(12, 22), plain)
    down = compare_unpaired(perfect(12, 22, reverse=True), mirrored)

    assert down.difference.value == pytest.approx(-up.difference.value)
    assert (down.difference.low, down.difference.high) == pytest.approx(
        (-up.difference.high, -up.difference.low)
    )
    assert (down.z, down.p) == pytest.approx((-up.z, up.p))


def test_two_perfect_groups_do_not_differ_and_the_interval_says_how_little_that_is():
    result = compare_unpaired(perfect(12, 22), perfect(10, 15))

    assert (result.difference.value, result.z, result.p) == (0.0, 0.0, 1.0)
    assert result.difference.low == pytest.approx(-boundary_distance(Z, 12, 22))
    assert result.difference.high == pytest.approx(boundary_distance(Z, 10, 15))


def test_a_perfect_and_a_reversed_group():
    result = compare_unpaired(perfect(12, 22), perfect(12, 22, reverse=True))

    assert result.difference.high == 1.0
    assert result.difference.low == pytest.approx(1 - np.sqrt(2) * boundary_distance(Z, 12, 22))
    assert 0 < result.p < 1e-6


def test_what_cannot_be_compared_says_why(halves):
    odd, _ = halves
    constant = group(np.full(40, 0.5), np.arange(40) % 3 == 0)
    single = group([0.2, 0.4, 0.6], [False, True, False], minima=None)
    reasons = {
        str(compare_unpaired(first, second).difference.standing)
        for first, second in ((odd, constant), (constant, odd), (odd, single))
    }

    assert reasons == {
        "undefined(the score is the same for all patients)",
        "suppressed(fewer than 10 patients in a class)",
    }


def test_a_perfect_group_whose_size_is_hidden_is_not_compared(halves):
    labels = np.arange(42) < 20
    scores = np.where(labels, 0.9, 0.1)
    scores[:2] = np.nan
    hidden = group(scores, labels, STANDARD)

    found = compare_unpaired(hidden, halves[0])

    assert hidden.n_positive is None
    assert str(found.difference.standing) == (
        "undefined(an AUC of 1 whose number of patients may not be shown)"
    )


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.tuples(*[st.integers(10, 30)] * 4), shift=st.floats(-6, 6))
def test_interval_and_p_agree_and_both_mirror(seed, size, shift):
    """Groups of patients from far apart to alike: raw rows, perfect ones included."""
    random = np.random.default_rng(seed)

    def draw(positives, negatives, by):
        labels = np.arange(positives + negatives) < positives
        scores = random.normal(size=labels.size) + by * labels
        return group(1 / (1 + np.exp(-scores)), labels)

    first, second = draw(*size[:2], shift), draw(*size[2:], shift / 2)
    one, other = compare_unpaired(first, second), compare_unpaired(second, first)

    assert (one.p < 0.05) is (one.difference.low > 0 or one.difference.high < 0)
    assert one.p == pytest.approx(other.p)
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert -1 <= one.difference.low <= one.difference.value <= one.difference.high <= 1
    assert one.p == pytest.approx(2 * stats.norm.sf(abs(one.z)))


def test_two_groups_of_one_auc_seldom_differ_though_many_are_perfect():
    """AUC .97 in 10 and 20 patients: of 400 pairs at most 6 % below .05, and an AUC of 1 in every fourth."""
    random = np.random.default_rng(11)
    labels = np.arange(30) < 10

    def draw():
        ranks = stats.rankdata(random.normal(size=30) + 2.66 * labels)
        return group(ranks / 31, labels)

    pairs = [(draw(), draw()) for _ in range(400)]

    small = [compare_unpaired(*pair).p < 0.05 for pair in pairs]
    at_the_edge = [any(one.auc.value == 1.0 for one in pair) for pair in pairs]
    assert np.mean(at_the_edge) > 0.25
    assert np.mean(small) <= 0.06
