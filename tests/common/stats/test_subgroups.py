from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from common.stats.contract import total
from common.stats.minima import SIMULATION, STANDARD
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.subgroups import finish_subgroups, local_subgroups
from common.stats.unpaired import compare_unpaired

THOUSAND = ScoreGrid.even(1000)


def roc_of(scores, labels, bins, **options):
    """The discrimination of one site's scores on even bins."""
    grid = ScoreGrid.even(bins)
    return finish_roc(local_roc(scores, labels, grid), grid, **options)


def subgroups_of(scores, labels, parts, n_parts, bins, **options):
    """The subgroups of one site's patients, on even bins."""
    grid = ScoreGrid.even(bins)
    return finish_subgroups(local_subgroups(scores, labels, parts, n_parts, grid), grid, **options)


def draw(sizes, seed=0):
    """`sizes`: negatives and positives of each part."""
    random = np.random.default_rng(seed)
    parts = np.concatenate([np.full(n0 + n1, part) for part, (n0, n1) in enumerate(sizes)])
    labels = np.concatenate([np.arange(n0 + n1) >= n0 for n0, n1 in sizes])
    return np.clip(random.normal(0.4 + 0.2 * labels, 0.2), 0, 1).round(2), labels, parts


def kernel(scores, labels):
    wins = np.sign(scores[labels][:, None] - scores[~labels]) / 2 + 0.5
    v = wins.mean(axis=1).var(ddof=1) / labels.sum() + wins.mean(axis=0).var(ddof=1) / np.sum(~labels)
    return wins.mean(), v


def test_each_part_as_if_alone_however_the_patients_are_spread(federations):
    scores, labels, parts = draw([(60, 30), (50, 40), (30, 25)])

    for sites in federations(labels):
        summary = total(local_subgroups(scores[s], labels[s], parts[s], 3, THOUSAND) for s in sites)
        results = finish_subgroups(summary, THOUSAND)
        for part, result in enumerate(results):
            auc, variance = kernel(scores[parts == part], labels[parts == part])
            assert result.auc.value == pytest.approx(auc, abs=result.error_bound + 1e-14)
            assert result.variance == pytest.approx(variance, rel=1e-10)
        assert len(results) == 3


def test_the_next_smallest_is_hidden_too():
    scores, labels, parts = draw([(60, 30), (50, 40), (30, 25), (8, 3)])

    results = subgroups_of(scores, labels, parts, 4, 1000)

    assert [result.auc.standing.kind for result in results] == ["ok", "ok", "suppressed", "suppressed"]
    assert "another subgroup" in results[2].auc.standing.reason
    assert "fewer than 10" in results[3].auc.standing.reason
    for result in results[2:]:
        assert (result.auc.value, result.auc.low, result.auc.high) == (None, None, None)
        assert (result.variance, result.curve) == (None, None)
        assert (result.n_positive, result.n_negative) == (None, None)
    assert subgroups_of(scores, labels, parts, 4, 1000, minima=SIMULATION)[3].auc.standing.ok


def test_two_that_are_small_together_hide_a_third():
    results = subgroups_of(*draw([(60, 30), (40, 20), (4, 3), (5, 4)]), 4, 100)

    assert [result.auc.standing.ok for result in results] == [True, False, False, False]


def test_two_that_are_enough_together_hide_no_third():
    results = subgroups_of(*draw([(60, 30), (40, 20), (30, 9), (50, 8)]), 4, 100)

    assert [result.auc.standing.ok for result in results] == [True, True, False, False]


def test_a_missing_part_counts_as_a_part():
    scores, labels, parts = draw([(60, 30), (40, 20), (2, 1)])

    results = subgroups_of(scores, labels, np.where(parts == 2, -1, parts), 2, 100)

    assert [result.auc.standing.ok for result in results] == [True, False]


def test_an_empty_part_hides_nothing():
    results = subgroups_of(*draw([(60, 30), (40, 20), (0, 0)]), 3, 100)

    assert [result.auc.standing.kind for result in results] == ["ok", "ok", "undefined"]


def test_patients_without_a_score_are_counted_in_each_part():
    scores, labels, parts = draw([(60, 30), (50, 40), (30, 25)])
    scores[np.flatnonzero(parts == 1)[:6]] = np.nan

    grid = ScoreGrid.even(100)
    summary = local_subgroups(scores, labels, parts, 3, grid)

    assert summary.counts["missing"].tolist() == [0, 6, 0, 0]
    assert [result.auc.n_missing for result in finish_subgroups(summary, grid)] == [0, 6, 0]
    assert finish_subgroups(summary, grid)[1].n_positive == 40


def test_few_without_a_score_cannot_be_worked_out_from_the_other_parts():
    scores, labels, parts = draw([(60, 30), (50, 40), (30, 25)])
    for part, absent in ((0, 9), (1, 3), (2, 7)):
        scores[np.flatnonzero(parts == part)[:absent]] = np.nan

    results = subgroups_of(scores, labels, parts, 3, 100)

    assert [result.auc.n_missing for result in results] == [9, None, None]
    assert [result.n_positive for result in results] == [30, None, None]
    assert [result.curve is None for result in results] == [False, True, True]
    assert all(result.auc.standing.ok for result in results)


def test_refuses_a_part_that_is_none():
    with pytest.raises(ValueError, match="parts lie outside"):
        local_subgroups(np.array([0.5]), np.array([True]), np.array([2]), 2, ScoreGrid.even(10))


def test_unpaired_difference_by_its_formula():
    scores, labels, parts = draw([(60, 30), (50, 40)])
    one, two = (roc_of(scores[parts == p], labels[parts == p], 1000) for p in (0, 1))
    (a, v), (b, w) = (kernel(scores[parts == p], labels[parts == p]) for p in (0, 1))

    result = compare_unpaired(one, two)

    assert result.difference.value == pytest.approx(a - b)
    assert result.z == pytest.approx((a - b) / (v + w) ** 0.5)
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(result.z)))
    assert result.difference.low == pytest.approx(a - b - 1.959963984540054 * (v + w) ** 0.5)
    assert (result.difference.n_used, result.difference.n_missing) == (180, 0)
    assert result.difference.method == "DeLong, unpaired"


def test_unpaired_equals_proc_on_two_halves_of_asah(rows, reference):
    data = rows("roc/asah.csv")
    scores = np.array([float(row["s100b"]) / 2.1 for row in data])
    labels = np.array([row["outcome"] == "Poor" for row in data])

    odd, even = subgroups_of(scores, labels, np.arange(113) % 2, 2, 50_000, minima=SIMULATION)

    assert compare_unpaired(odd, even).z == pytest.approx(reference("roc/roc.csv")["odd.even.z"], rel=1e-10)


def test_unpaired_with_nothing_to_compare():
    good = roc_of(*draw([(60, 30)])[:2], 100, minima=STANDARD)
    small = roc_of(*draw([(30, 3)])[:2], 100, minima=STANDARD)
    perfect = roc_of(np.repeat([0.2, 0.8], 20), np.arange(40) >= 20, 100)

    hidden = compare_unpaired(good, small)
    assert (hidden.difference.value, hidden.p) == (None, None)
    assert (hidden.difference.standing, hidden.difference.n_used) == (small.auc.standing, None)
    result = compare_unpaired(good, replace(good, variance=None))
    assert (result.z, result.difference.standing.kind) == (None, "undefined")
    # An AUC of 1 has no DeLong variance: against itself it differs by 0, against another by more than chance
    assert compare_unpaired(perfect, perfect).p == 1.0
    by_variance_alone = (1 - good.auc.value) / good.variance**0.5
    assert 0 < compare_unpaired(perfect, good).z < by_variance_alone
