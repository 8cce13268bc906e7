from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from common.errors import NonFiniteError
from common.stats.contract import total
from common.stats.minima import REPLICATION, SIMULATION, STANDARD
from common.stats.proportion import wilson
from common.stats.roc import auc_interval, delong_variance, finish_roc, local_roc
from common.stats.score_grid import ScoreGrid

HAND_SCORES = np.array([0.1, 0.3, 0.35, 0.8, 0.35, 0.9])
HAND_LABELS = np.array([False, False, False, False, True, True])


@pytest.fixture(scope="module")
def asah(rows):
    data = rows("roc/asah.csv")
    scale = {"s100b": 2.1, "ndka": 500.0, "wfns": 5.0}
    scores = np.array([[float(row[name]) / scale[name] for row in data] for name in scale])
    return tuple(scale), scores, np.array([row["outcome"] == "Poor" for row in data])


def draw(seed, n=219, decimals=2, effect=0.2):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.37
    return np.clip(random.normal(0.4 + effect * labels, 0.2), 0, 1).round(decimals), labels


def brute_force(scores, labels):
    """AUC and DeLong variance by their definitions: a second route without sorting or bins."""
    wins = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    v10, v01 = wins.mean(axis=1), wins.mean(axis=0)
    return wins.mean(), sum(np.sum((v - v.mean()) ** 2) / max(v.size - 1, 1) / v.size for v in (v10, v01))


def roc_of(scores, labels, bins, **options):
    """The discrimination of one site's scores on even bins."""
    grid = ScoreGrid.even(bins)
    return finish_roc(local_roc(scores, labels, grid), grid, **options)


def test_counts_of_six_patients_by_hand():
    summary = local_roc(HAND_SCORES, HAND_LABELS, ScoreGrid.even(10))

    assert summary.counts["histogram"].tolist() == [
        [[0, 1, 0, 2, 0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]]
    ]
    # In bin 3 the positive 0.35 beats 0.3 (2) and ties with 0.35 (1): 3 half wins of 2 pairs.
    assert summary.counts["same_bin"].tolist() == [[3, 2, 2]]
    assert finish_roc(summary, ScoreGrid.even(10), minima=SIMULATION).auc.value == (2.5 + 4) / 8


def test_equals_proc_on_asah(asah, reference):
    expected = reference("roc/roc.csv")
    names, scores, labels = asah
    summary = local_roc(scores, labels, ScoreGrid.even(50_000))

    for model, name in enumerate(names):
        result = finish_roc(summary, ScoreGrid.even(50_000), "delong", model=model)
        assert result.auc.value == pytest.approx(expected[f"{name}.auc"], rel=1e-12)
        assert result.variance == pytest.approx(expected[f"{name}.variance"], rel=1e-10)
        assert result.auc.low == pytest.approx(expected[f"{name}.delong.low"], rel=1e-10)
        assert result.auc.high == pytest.approx(expected[f"{name}.delong.high"], rel=1e-10)
        assert (result.n_positive, result.n_negative, result.error_bound) == (41, 72, 0)


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.5])
def test_band_equals_r_on_asah(asah, reference, threshold):
    _, scores, labels = asah
    curve = roc_of(scores[:1], labels, 50_000, minima=SIMULATION).curve

    # The last step whose patients all have at least the threshold (in ng/ml, of 2.1).
    step = int(np.flatnonzero(np.array(curve.threshold) >= threshold / 2.1 - 1 / 50_000)[-1])

    expected = reference("roc/roc.csv")
    assert curve.low[step] == pytest.approx(expected[f"band.{threshold}.low"], rel=1e-10)
    assert curve.high[step] == pytest.approx(expected[f"band.{threshold}.high"], rel=1e-10)


def test_band_is_wilsons_at_every_step_and_holds_the_curve():
    scores, labels = draw(5, n=300)

    curve = roc_of(scores, labels, 100).curve

    n = int(labels.sum())
    for rate, low, high in zip(curve.true_positive_rate, curve.low, curve.high, strict=True):
        limits = wilson(round(rate * n), n)
        assert (low, high) == (limits.low, limits.high)
        assert low <= rate <= high
    assert (curve.low[0], curve.high[-1]) == (0.0, 1.0)
    assert len(curve.low) == len(curve.threshold)


@pytest.mark.parametrize("bins", [1, 7, 100, 1000])
def test_one_site_is_exact_however_coarse_the_bins(bins):
    scores, labels = draw(1, decimals=6)

    result = roc_of(scores, labels, bins)

    assert result.auc.value == pytest.approx(roc_auc_score(labels, scores), rel=1e-14)
    assert result.error_bound == 0


@pytest.mark.parametrize("decimals", [2, 9])
def test_federated_equals_pooled(decimals, federations):
    scores, labels = draw(2, decimals=decimals)
    bins = ScoreGrid.even(100)
    grid = (bins.find_bins(scores) + 0.5) / 100
    pooled = roc_of(scores, labels, 100)
    value, variance = brute_force(scores, labels)

    for sites in federations(labels):
        result = finish_roc(total(local_roc(scores[site], labels[site], bins) for site in sites), bins)
        assert abs(result.auc.value - value) <= result.error_bound + 1e-15
        assert result.variance == pytest.approx(pooled.variance, rel=1e-12)
        assert result.curve == pooled.curve
        on_grid = finish_roc(total(local_roc(grid[site], labels[site], bins) for site in sites), bins)
        assert on_grid.auc.value == pytest.approx(brute_force(grid, labels)[0], rel=1e-14)
        assert on_grid.variance == pytest.approx(brute_force(grid, labels)[1], rel=1e-12)
    assert pooled.variance == pytest.approx(variance, rel=0.02)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 2)), min_size=2, max_size=40),
    st.integers(1, 30),
)
def test_true_auc_lies_within_the_bound(patients, bins):
    scores, labels, site = (np.array(column) for column in zip(*patients, strict=True))
    grid = ScoreGrid.even(bins)
    summary = total(local_roc(scores[site == number], labels[site == number], grid) for number in range(3))
    result = finish_roc(summary, grid, minima=SIMULATION)
    if labels.all() or not labels.any():
        assert result.auc.standing.kind == "suppressed"
        return
    value, _ = brute_force(scores, labels)
    assert abs(result.auc.value - value) <= result.error_bound + 1e-12


def test_few_values_leave_nothing_open():
    scores, labels = np.array([0.5, 0.5, 0.2, 0.2]), np.array([True, False, True, False])
    known, unknown = ScoreGrid.of_values(11), ScoreGrid.even(10)
    bounds = []
    for grid in (unknown, known):
        summary = total(
            [local_roc(scores[::2], labels[::2], grid), local_roc(scores[1::2], labels[1::2], grid)]
        )
        result = finish_roc(summary, grid, minima=SIMULATION)
        assert result.auc.value == 0.5
        bounds.append(result.error_bound)

    assert bounds == [0.25, 0.0]


def test_bound_shrinks_to_what_sites_leave_open():
    scores, labels = np.array([0.55, 0.51, 0.52, 0.58]), np.array([True, False, True, False])

    grid = ScoreGrid.even(10)
    summary = total([local_roc(scores[:2], labels[:2], grid), local_roc(scores[2:], labels[2:], grid)])

    result = finish_roc(summary, grid, minima=SIMULATION)

    # Each site resolves one of the four pairs of bin 5: one won, one lost; two stay open.
    assert (result.auc.value, result.error_bound) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("cohort", "errata"),
    [
        ("training", {"Combined-SVM", "2D-ResNet-101", "3D-ResNet-101"}),
        ("internal", set()),
        ("external", set()),
    ],
)
def test_printed_intervals_are_mc_binomial(rows, cohort, errata):
    table = [row for row in rows("paper/table3.csv") if row["cohort"] == cohort]
    different = set()
    for row in table:
        n = int(row["n_pos"]) + int(row["n_neg"])
        # The AUC is printed to three decimals: some AUC that rounds to it must give both printed limits.
        candidates = [
            auc_interval(auc, None, n, "mc_binomial")
            for auc in np.linspace(float(row["auc"]) - 5e-4, float(row["auc"]) + 5e-4, 101)
        ]
        printed = (float(row["auc_lo"]), float(row["auc_hi"]))
        if printed not in {(round(i.low, 3), round(i.high, 3)) for i in candidates}:
            different.add(row["model"])
    assert len(table) == 12
    assert different == errata


def test_interval_by_hand():
    logit = auc_interval(0.8, 0.0016, 100, "logit-delong")
    # logit 0.8 = ln 4, SE 0.04 / 0.16 = 0.25, half-width 0.25 * 1.959963985
    assert logit.low == pytest.approx(1 / (1 + np.exp(-(np.log(4) - 0.48999099613))), rel=1e-10)
    assert logit.high == pytest.approx(1 / (1 + np.exp(-(np.log(4) + 0.48999099613))), rel=1e-10)
    assert auc_interval(0.99, 0.01, 100, "delong").high == 1.0
    assert auc_interval(0.01, 0.01, 100, "delong").low == 0.0


@pytest.mark.parametrize(("direction", "auc"), [(1, 1.0), (-1, 0.0)])
def test_perfect_separation_shows_the_binomial_interval(direction, auc):
    labels = np.arange(40) >= 20
    scores = 0.5 + direction * (labels - 0.5) / 2

    result = roc_of(scores, labels, 100)

    assert (result.auc.value, result.variance) == (auc, 0.0)
    assert result.auc.method == "mc_binomial"
    assert (result.auc.high == 1.0) == (auc == 1.0)


def test_constant_score_has_no_interval():
    result = roc_of(np.full(40, 0.3), np.arange(40) >= 20, 100)

    assert (result.auc.value, result.variance, result.auc.low, result.auc.high) == (0.5, 0.0, None, None)
    assert result.auc.standing.reason == "no interval: all scores are equal"
    assert result.auc.standing.ok
    assert result.curve.false_positive_rate == (0.0, 1.0)


def test_one_class_and_too_few_are_suppressed():
    only = roc_of(np.full(40, 0.3), np.ones(40, dtype=bool), 10, minima=SIMULATION)
    few = roc_of(np.linspace(0, 1, 40), np.arange(40) >= 31, 10)
    tiny = roc_of(np.linspace(0, 1, 40), np.arange(40) >= 36, 10)
    nobody = roc_of(np.empty(0), np.empty(0, dtype=bool), 10)

    assert str(only.auc.standing) == "suppressed(patients of one class only)"
    assert (few.auc.standing.kind, few.auc.value, few.curve, few.variance, few.n_positive) == (
        "suppressed",
        None,
        None,
        None,
        9,
    )
    assert (tiny.n_positive, tiny.n_negative) == (None, 36)
    assert nobody.auc.standing.kind == "undefined"
    assert roc_of(np.linspace(0, 1, 40), np.arange(40) >= 36, 10, minima=REPLICATION).auc.value == 1.0


def test_single_patient_of_a_class_has_no_variance():
    result = roc_of(np.linspace(0, 1, 10), np.arange(10) == 8, 1000, minima=SIMULATION)

    assert result.auc.value == 8 / 9
    assert (result.variance, result.auc.low, result.auc.high) == (None, None, None)
    assert result.auc.standing.ok
    assert result.auc.standing.reason == "no interval: one patient of an outcome has no variance"


def test_released_curve_has_steps_of_the_minimum_and_lies_on_sklearns():
    scores, labels = draw(5, n=300)
    grid = ScoreGrid.even(100)
    summary = local_roc(scores, labels, grid)

    released = finish_roc(summary, grid).curve
    whole = finish_roc(summary, grid, minima=SIMULATION).curve

    patients = np.diff(released.false_positive_rate) * np.sum(~labels)
    patients = patients + np.diff(released.true_positive_rate) * np.sum(labels)
    assert patients.round(9).min() >= STANDARD.cell
    assert set(zip(released.false_positive_rate, released.true_positive_rate, strict=True)) <= set(
        zip(whole.false_positive_rate, whole.true_positive_rate, strict=True)
    )
    fpr, tpr, thresholds = roc_curve(labels, grid.starts[grid.find_bins(scores)], drop_intermediate=False)
    np.testing.assert_allclose(whole.false_positive_rate, fpr)
    np.testing.assert_allclose(whole.true_positive_rate, tpr)
    np.testing.assert_allclose(whole.threshold[1:], thresholds[1:], atol=1e-12)


def test_edges_fall_into_the_outer_bins():
    thirds = ScoreGrid.even(3)
    histogram = local_roc(np.array([0.0, -0.0, 1.0]), np.array([True, False, True]), thirds)

    assert histogram.counts["histogram"][0].tolist() == [[1, 0, 0], [1, 0, 1]]
    zeros = local_roc(np.array([0.0, -0.0]), np.array([True, False]), thirds)
    assert zeros.counts["same_bin"].tolist() == [[1, 1, 1]]


def test_variance_needs_two_of_each():
    assert delong_variance(np.array([2, 0]), np.array([0, 1])) is None


@pytest.mark.parametrize(
    ("scores", "labels", "bins", "error", "message"),
    [
        ([np.nan, -np.inf], [True, False], 10, NonFiniteError, "infinite"),
        ([np.nan, 1.1], [True, False], 10, ValueError, "1.1"),
        ([0.1, np.inf], [True, False], 10, NonFiniteError, "infinite"),
        ([0.1, 1.1], [True, False], 10, ValueError, "1.1"),
        ([-0.1, 1.0], [True, False], 10, ValueError, "-0.1"),
        ([0.1, 1.0], [True], 10, ValueError, "belong"),
        ([[[0.1, 1.0]]], [True, False], 10, ValueError, "belong"),
        ([0.1, 1.0], [True, False], 0, ValueError, "0 bins are no grid"),
    ],
)
def test_refuses_what_is_no_score(scores, labels, bins, error, message):
    with pytest.raises(error, match=message):
        local_roc(np.array(scores), np.array(labels), ScoreGrid.even(bins))


def test_patients_without_a_score_are_left_out_and_counted(federations):
    scores, labels = draw(6)
    two = np.stack([scores, scores])
    two[0, ::20], two[1, 1::30] = np.nan, np.nan

    for sites in federations(labels):
        grid = ScoreGrid.even(1000)
        summary = total(local_roc(two[:, site], labels[site], grid) for site in sites)
        assert summary.counts["missing"].tolist() == [11, 8]
        for model, known in enumerate(~np.isnan(two)):
            result = finish_roc(summary, grid, model=model)
            alone = roc_of(scores[known], labels[known], 1000)
            assert (result.auc.n_missing, result.n_positive) == ((11, 8)[model], labels[known].sum())
            assert (result.auc.value, result.variance, result.curve) == (
                alone.auc.value,
                alone.variance,
                alone.curve,
            )


def test_few_without_a_score_hide_what_would_tell_how_many_have_one():
    scores, labels = draw(6)
    scores[:4] = np.nan

    hidden = roc_of(scores, labels, 100)
    shown = roc_of(scores, labels, 100, minima=SIMULATION)

    assert (hidden.auc.n_missing, hidden.n_positive, hidden.n_negative, hidden.curve) == (None,) * 4
    assert (hidden.auc.value, hidden.auc.standing.ok, shown.auc.n_missing) == (
        round(shown.auc.value, 3),
        True,
        4,
    )
    assert hidden.auc.low == round(hidden.auc.low, 3)
    assert 0 <= hidden.error_bound - shown.error_bound < 0.001


def test_an_auc_does_not_tell_how_few_have_no_score():
    """In full, few numbers of patients make a whole number of won pairs of it."""
    scores, labels = draw(6)
    scores[:3] = np.nan
    shown, full = (roc_of(scores, labels, 100, minima=m).auc.value for m in (STANDARD, SIMULATION))

    def possible(auc, precision):
        pairs = [2 * (labels.sum() - i) * ((~labels).sum() - j) for i in range(5) for j in range(5)]
        return sum(abs(auc * n - round(auc * n)) <= precision * n for n in pairs)

    assert possible(full, 1e-12) < 5
    assert possible(shown, 0.0005) == 25


def test_nobody_with_a_score():
    result = roc_of(np.full(6, np.nan), np.arange(6) < 3, 10)

    assert (result.auc.standing.kind, result.auc.n_missing) == ("undefined", 6)


def test_a_million_scores_match_sklearn():
    random = np.random.default_rng(3)
    labels = random.random(1_000_000) < 0.3
    scores = random.random(1_000_000)

    assert roc_of(scores, labels, 1000).auc.value == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
