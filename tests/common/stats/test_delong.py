from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from common.stats.contract import total
from common.stats.delong import (
    compare_aucs,
    complete_cases,
    finish_delong,
    holm,
    local_delong,
    omnibus,
    placements_of,
)
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid


def two_rounds(scores, labels, sites):
    """Both rounds on bins that keep all different scores apart."""
    return compute(scores, labels, sites, [ScoreGrid.of_scores(row) for row in scores])


def compute(scores, labels, sites, grids):
    """Both rounds over sites: the sums of the first for each model, and the covariance."""
    parts = [(scores[:, site], labels[site]) for site in sites]
    firsts = [
        total(local_roc(s[model, complete_cases(s)], y[complete_cases(s)], grid) for s, y in parts)
        for model, grid in enumerate(grids)
    ]
    broadcast = [placements_of(first) for first in firsts]
    second = total(local_delong(s, y, grids, broadcast) for s, y in parts)
    return firsts, finish_delong(firsts, grids, second)


def draw(models=4, n=250, seed=0):
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    shared = random.normal(size=n)
    effects = np.linspace(0.2, 1, models)[:, None]
    raw = effects * labels + 0.6 * shared + random.normal(size=(models, n))
    return (1 / (1 + np.exp(-raw))).round(3), labels


def brute_force(scores, labels):
    """The covariance from the kernel of every pair of patients."""
    wins = np.sign(scores[:, labels][:, :, None] - scores[:, ~labels][:, None, :]) / 2 + 0.5
    return wins.mean(axis=(1, 2)), np.cov(wins.mean(axis=2)) / labels.sum() + np.cov(
        wins.mean(axis=1)
    ) / np.sum(~labels)


def test_equals_the_paper_that_introduced_it(rows, reference, federations):
    expected = reference("roc/roc.csv")
    data = rows("roc/delong1988.csv")
    scores = np.array(
        [
            [float(row["albumin"]) / 10 for row in data],
            [float(row["protein"]) / 10 for row in data],
            [1 - float(row["kg"]) / 10 for row in data],
        ]
    )
    labels = np.array([row["benefit"] == "1" for row in data])

    for sites in federations(labels):
        _, aucs = two_rounds(scores, labels, sites)
        result = omnibus(aucs, SIMULATION)
        for model, name in enumerate(("albumin", "protein", "kg")):
            assert aucs.auc[model] == pytest.approx(expected[f"delong1988.{name}.auc"], rel=1e-10)
            error = aucs.covariance[model, model] ** 0.5
            assert error == pytest.approx(expected[f"delong1988.{name}.se"], rel=1e-10)
        assert result.chi_squared == pytest.approx(expected["delong1988.chi"], rel=1e-10)
        assert (result.p, result.degrees_of_freedom) == (pytest.approx(expected["delong1988.p"]), 2)
    # Printed by SAS, PROC LOGISTIC: 2.5340 and 0.2817.
    assert (round(result.chi_squared, 4), round(result.p, 4)) == (2.534, 0.2817)


def test_equals_proc_on_asah(rows, reference):
    expected = reference("roc/roc.csv")
    scale = {"s100b": 2.1, "ndka": 500.0, "wfns": 5.0}
    data = rows("roc/asah.csv")
    scores = np.array([[float(row[name]) / scale[name] for row in data] for name in scale])
    labels = np.array([row["outcome"] == "Poor" for row in data])

    _, aucs = two_rounds(scores, labels, [np.arange(113)])
    results = compare_aucs(aucs, ((0, 1), (0, 2), (1, 2)))

    for result, pair in zip(results, ("s100b.ndka", "s100b.wfns", "ndka.wfns"), strict=True):
        assert result.z == pytest.approx(expected[f"{pair}.z"], rel=1e-10)
        assert result.p == pytest.approx(expected[f"{pair}.p"], rel=1e-10)
    assert aucs.covariance[0, 1] == pytest.approx(expected["s100b.ndka.covariance"], rel=1e-10)
    assert aucs.covariance[0, 2] == pytest.approx(expected["s100b.wfns.covariance"], rel=1e-10)
    assert results[2].p_adjusted == pytest.approx(3 * results[2].p)
    assert results[0].p_adjusted == pytest.approx(results[0].p)


def test_federated_equals_pooled(federations):
    scores, labels = draw()
    auc, covariance = brute_force(scores, labels)

    for sites in federations(labels):
        first, aucs = two_rounds(scores, labels, sites)
        np.testing.assert_allclose(aucs.auc, auc, rtol=1e-13)
        np.testing.assert_allclose(aucs.covariance, covariance, rtol=1e-10, atol=1e-15)
        for model in range(4):
            assert finish_roc(first[model], ScoreGrid.of_scores(scores[model])).variance == pytest.approx(
                aucs.covariance[model, model], rel=1e-10
            )


def test_difference_by_its_formula():
    scores, labels = draw()
    _, aucs = two_rounds(scores, labels, [np.arange(250)])
    auc, c = brute_force(scores, labels)

    (result,) = compare_aucs(aucs, ((3, 0),))

    se = np.sqrt(c[3, 3] + c[0, 0] - 2 * c[3, 0])
    assert result.difference.value == pytest.approx(auc[3] - auc[0], rel=1e-12)
    assert result.difference.low == pytest.approx(auc[3] - auc[0] - 1.959963984540054 * se, rel=1e-9)
    assert result.difference.high == pytest.approx(auc[3] - auc[0] + 1.959963984540054 * se, rel=1e-9)


def test_omnibus_of_two_models_is_the_squared_z_and_ignores_a_repeated_model():
    scores, labels = draw(2)
    _, aucs = two_rounds(scores, labels, [np.arange(250)])
    _, thrice = two_rounds(scores[[0, 1, 1]], labels, [np.arange(250)])

    one, other = omnibus(aucs), omnibus(thrice)

    (pair,) = compare_aucs(aucs, ((0, 1),))
    assert one.chi_squared == pytest.approx(pair.z**2, rel=1e-10)
    assert one.p == pytest.approx(pair.p, rel=1e-10)
    assert (one.degrees_of_freedom, other.degrees_of_freedom) == (1, 1)
    assert other.chi_squared == pytest.approx(pair.z**2, rel=1e-10)


def test_omnibus_of_four_models_by_its_formula():
    scores, labels = draw()
    _, aucs = two_rounds(scores, labels, [np.arange(250)])
    contrasts = np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]])
    auc, covariance = brute_force(scores, labels)
    difference = contrasts @ auc

    expected = difference @ np.linalg.solve(contrasts @ covariance @ contrasts.T, difference)

    assert omnibus(aucs).chi_squared == pytest.approx(expected, rel=1e-9)
    assert omnibus(aucs).degrees_of_freedom == 3


def test_a_model_against_itself():
    scores, labels = draw(1)
    _, aucs = two_rounds(scores[[0, 0]], labels, [np.arange(250)])

    (result,) = compare_aucs(aucs, ((0, 1),))

    assert (result.difference.value, result.z, result.p) == (0.0, 0.0, 1.0)
    assert (result.difference.low, result.difference.high) == (None, None)
    assert omnibus(aucs).status.kind == "undefined"


def test_two_perfect_curves_are_equal_only_if_they_order_all_patients_alike():
    labels = np.arange(40) >= 20
    first = np.arange(40) / 40
    same, other = first**3, np.where(labels, 1.475 - first, 0.475 - first)
    _, aucs = two_rounds(np.array([first, same, other]), labels, [np.arange(20), np.arange(20, 40)])

    equal, unknown = compare_aucs(aucs, ((0, 1), (0, 2)))

    assert (equal.difference.value, equal.p, equal.p_range) == (0.0, 1.0, (1.0, 1.0))
    assert (unknown.p, unknown.p_adjusted, unknown.difference.standing.kind) == (None, None, "undefined")


def test_two_different_models_whose_scores_share_bins_are_not_called_equal():
    """Of 40 patients at two sites, all scores lie in one bin: AUCs .817 and .632 were "difference 0, P 1"."""
    random = np.random.default_rng(8)
    labels = np.arange(40) % 2 == 0
    good, bad = (1e-5 * random.random(40) * (1 + effect * labels) for effect in (2.0, 0.2))
    scores, sites = np.array([good, bad]), [np.arange(20), np.arange(20, 40)]
    coarse = [ScoreGrid.even(1000)] * 2

    (in_one_bin,) = compare_aucs(compute(scores, labels, sites, coarse)[1], ((0, 1),), SIMULATION)
    (apart,) = compare_aucs(two_rounds(scores, labels, sites)[1], ((0, 1),), SIMULATION)

    assert (in_one_bin.difference.standing.kind, in_one_bin.p) == ("undefined", None)
    assert "share bins" in in_one_bin.difference.standing.reason
    (first, second), covariance = brute_force(scores, labels)
    assert apart.difference.value == pytest.approx(first - second, rel=1e-12)
    spread = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert apart.z == pytest.approx((first - second) / spread, rel=1e-10)


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3, 7]), st.integers(2, 60))
def test_bounds_hold_for_raw_scores_of_every_scale(seed, number, bins):
    """Scores from flat to 1e-12, saturated, tied and missing ones, on bins far too coarse for them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(12, 70))
    labels = random.random(n) < 0.4
    shared, scale, shift = random.normal(size=n), 10 ** random.uniform(-2, 1.3, 2), random.uniform(-25, 5, 2)
    logits = shift[:, None] + scale[:, None] * (labels + shared + random.normal(size=(2, n)))
    scores = 1 / (1 + np.exp(-logits))
    scores[:, ::5] = scores[:, ::5].round(2)
    scores[0, random.random(n) < 0.1] = np.nan
    complete = complete_cases(scores)
    assume(min(labels[complete].sum(), (~labels[complete]).sum()) > 1)
    site = random.integers(0, number, n)
    sites = [np.flatnonzero(site == index) for index in range(number)]

    _, aucs = compute(scores, labels, sites, [ScoreGrid.with_fine_ends(bins)] * 2)
    auc, covariance = brute_force(scores[:, complete], labels[complete])

    assert (abs(aucs.auc - auc) <= aucs.auc_bound + 1e-12).all()
    errors = np.sqrt(np.diag(aucs.covariance)) - np.sqrt(np.diag(covariance))
    assert (abs(errors) <= aucs.error_bound + 1e-9).all()
    (result,) = compare_aucs(aucs, ((0, 1),), SIMULATION)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if result.p is not None and variance > 1e-14:
        p = 2 * stats.norm.sf(abs(auc[0] - auc[1]) / np.sqrt(variance))
        assert result.p_range[0] * (1 - 1e-6) <= p <= result.p_range[1] * (1 + 1e-6)
        assert abs(result.difference.value - (auc[0] - auc[1])) <= result.error_bound + 1e-12


def test_patients_without_all_scores_are_left_out_and_counted():
    scores, labels = draw(2)
    scores[1, :7] = np.nan

    _, aucs = two_rounds(scores, labels, np.array_split(np.arange(250), 3))
    _, without = two_rounds(scores[:, 7:], labels[7:], [np.arange(243)])

    (result,) = compare_aucs(aucs, ((0, 1),))
    assert (result.difference.n_used, result.difference.n_missing) == (243, 7)
    assert result.z == pytest.approx(compare_aucs(without, ((0, 1),))[0].z, rel=1e-10)


def test_too_few_are_suppressed_and_few_missing_hidden():
    scores, labels = draw(2)
    few = np.flatnonzero(labels)[:9].tolist() + np.flatnonzero(~labels)[:30].tolist()
    _, aucs = two_rounds(scores[:, few], labels[few], [np.arange(39)])

    (result,) = compare_aucs(aucs, ((0, 1),))
    assert (result.difference.standing.kind, result.p, result.difference.value) == ("suppressed", None, None)
    assert omnibus(aucs).status.kind == "suppressed"
    assert compare_aucs(aucs, ((0, 1),), SIMULATION)[0].difference.standing.ok
    scores[0, 0] = np.nan
    _, missing = two_rounds(scores, labels, [np.arange(250)])
    assert (compare_aucs(missing, ((0, 1),))[0].difference.n_used, omnibus(missing).n_missing) == (None, None)


def test_one_patient_of_a_class_has_no_variance():
    scores, labels = draw(2)
    few = [np.flatnonzero(labels)[0], *np.flatnonzero(~labels)[:30]]
    _, aucs = two_rounds(scores[:, few], labels[few], [np.arange(31)])

    assert compare_aucs(aucs, ((0, 1),), SIMULATION)[0].difference.standing.kind == "undefined"


def test_single_model_has_no_omnibus():
    scores, labels = draw(1)
    _, aucs = two_rounds(scores, labels, [np.arange(250)])

    assert omnibus(aucs).status.kind == "undefined"


def test_refuses_rounds_of_different_patients():
    scores, labels = draw(2)
    grids = [ScoreGrid.even(1000)] * len(scores)
    firsts = [local_roc(row, labels, grid) for row, grid in zip(scores, grids, strict=True)]
    second = local_delong(scores[:, 1:], labels[1:], grids, [placements_of(first) for first in firsts])

    with pytest.raises(ValueError, match="same complete cases"):
        finish_delong(firsts, grids, second)
    with pytest.raises(ValueError, match="one class"):
        placements_of(local_roc(scores[0], np.ones_like(labels), grids[0]))


def test_holm_by_hand():
    # The same numbers come from p.adjust of R 4.2.2 with method "holm".
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.7]) == (1.0, 1.0)
    assert holm([]) == ()
