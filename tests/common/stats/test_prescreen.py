from __future__ import annotations

import numpy as np
import pytest

from common.stats.contract import Summary, total
from common.stats.lasso import (
    Scaling,
    finish_lasso,
    gram_status,
    local_gram,
    local_magnitude,
    local_scaling,
    magnitude_of,
    scaling_of,
)
from common.stats.minima import SIMULATION, STANDARD
from common.stats.prescreen import finish_prescreen, local_prescreen


def draw(n=250, features=60):
    random = np.random.default_rng(0)
    x = 10 + 3 * random.normal(size=(n, features))
    x[:, 7] = 4.0
    labels = random.random(n) < 1 / (1 + np.exp(-(x[:, 3] - x[:, 50]) / 2))
    return x, labels, np.arange(n) % 5


def screened(x, labels, folds, sites, n_folds=5):
    magnitude = magnitude_of(total(local_magnitude(x[s]) for s in sites))
    scale = scaling_of(total(local_scaling(x[s], magnitude) for s in sites), magnitude)
    summary = total(local_prescreen(x[s], labels[s], folds[s], n_folds, scale) for s in sites)
    return finish_prescreen(summary, scale), scale


def test_keeps_the_strongest_by_numpys_correlation_however_spread(federations):
    x, labels, folds = draw()
    others = np.setdiff1d(np.arange(60), [7])
    strength = np.abs([np.corrcoef(x[:, column], labels)[0, 1] for column in others])
    expected = sorted(others[np.argsort(-strength)[:25]].tolist())

    for sites in federations(labels):
        result, _ = screened(x, labels, folds, sites)
        assert list(result.kept) == expected
        assert (result.limit, result.n_used, result.n_missing) == (25, 250, 0)


def test_without_folds_half_the_patients():
    x, labels, _ = draw(90)

    result, _ = screened(x, labels, np.zeros(90, dtype=int), [np.arange(90)], n_folds=1)

    assert (result.limit, len(result.kept)) == (45, 45)


def test_few_features_all_stay_but_constants():
    x, labels, folds = draw()

    result, _ = screened(x[:, :10], labels, folds, [np.arange(250)])

    assert result.kept == tuple(column for column in range(10) if column != 7)


def test_what_is_kept_passes_the_rule_that_it_would_have_broken():
    x, labels, folds = draw()
    result, scale = screened(x, labels, folds, [np.arange(250)])
    kept = np.array(result.kept)
    small = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
    grams = local_gram(x[:, kept], labels, folds, 5, small)

    assert not gram_status(grams.counts["classes"], 60).ok
    selected = kept[list(finish_lasso(grams).selected)]
    assert {3, 50} <= set(selected.tolist())


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([[15, 4], [30, 30]], "suppressed"), ([[14, 5], [30, 30]], "suppressed"), ([[0, 0]], "undefined")],
)
def test_small_folds_screen_nothing(classes, kind):
    scale = Scaling(np.zeros(2), np.ones(2), np.ones(2, dtype=bool))
    summary = Summary({"classes": np.array(classes)}, {"products": np.array([1.0, -2.0])})

    result = finish_prescreen(summary, scale, STANDARD)

    assert (result.kept, result.limit, result.status.kind) == ((), None, kind)


def test_sign_does_not_matter():
    scale = Scaling(np.zeros(2), np.ones(2), np.ones(2, dtype=bool))
    summary = Summary({"classes": np.array([[1, 1]])}, {"products": np.array([1.0, -2.0])})

    assert finish_prescreen(summary, scale, SIMULATION).kept == (1,)
