from __future__ import annotations

import numpy as np
import pytest

from common.stats.contract import Summary, total
from common.stats.mcnemar import finish_mcnemar, local_mcnemar, mcnemar, model_pairs
from common.stats.minima import REPLICATION


def of_counts(negatives, positives, n=(139, 80)):
    return Summary(
        counts={"discordant": np.array([[negatives, positives]]), "n": np.array(n), "missing": np.array([0])}
    )


def test_counts_by_hand():
    scores = np.array([[0.5, 0.2, 0.9, 0.1, 0.6], [0.1, 0.7, 0.9, 0.8, np.nan]])
    labels = np.array([True, True, True, False, False])

    summary = local_mcnemar(scores, labels, 0.5)

    assert summary.counts["discordant"].tolist() == [[[1, 0], [1, 1]]]
    assert summary.counts["n"].tolist() == [1, 3]
    assert summary.counts["missing"].tolist() == [1]


@pytest.mark.parametrize(("b", "c", "printed"), [(14, 3, 0.013), (20, 6, 0.009)])
def test_printed_p_values_are_exact_binomial(b, c, printed):
    # Source, Results: sensitivity differs by 11/51 (p = .013) and 14/80 (p = .009).
    assert round(mcnemar(b, c)[1], 3) == printed
    assert round(mcnemar(b, c, "chi-squared")[1], 3) != printed
    assert round(mcnemar(b, c, "corrected")[1], 3) != printed


@pytest.mark.parametrize(("difference", "printed"), [(11, 0.013), (14, 0.009)])
def test_no_chi_squared_gives_the_printed_p_values(difference, printed):
    discordant = [(c + difference, c) for c in range(40)]

    assert [pair for pair in discordant if round(mcnemar(*pair)[1], 3) == printed] in ([(14, 3)], [(20, 6)])
    for method in ("chi-squared", "corrected"):
        assert not [pair for pair in discordant if round(mcnemar(*pair, method)[1], 3) == printed]


def test_chi_squared_equals_r():
    # R: mcnemar.test(matrix(c(794, 86, 150, 570), 2)), with and without correct = FALSE
    assert mcnemar(150, 86, "corrected")[0] == pytest.approx(16.8177966101695, rel=1e-12)
    assert mcnemar(150, 86, "chi-squared")[0] == pytest.approx(17.3559322033898, rel=1e-12)
    assert mcnemar(150, 86, "corrected")[1] == pytest.approx(4.11456228135e-05, rel=1e-11)


def test_degenerate_counts():
    assert mcnemar(0, 0) == (None, 1.0)
    assert mcnemar(0, 0, "chi-squared") == (0.0, 1.0)
    assert mcnemar(7, 7, "corrected") == (0.0, 1.0)


def test_federated_equals_pooled(federations):
    random = np.random.default_rng(0)
    labels = random.random(300) < 0.4
    scores = np.clip(0.3 + 0.3 * labels + random.normal(0, 0.2, (3, 300)), 0, 1)
    pooled = local_mcnemar(scores, labels, 0.5)

    assert model_pairs(3) == ((0, 1), (0, 2), (1, 2))
    for sites in federations(labels):
        federated = total(local_mcnemar(scores[:, site], labels[site], 0.5) for site in sites)
        for row in range(3):
            assert finish_mcnemar(federated, row) == finish_mcnemar(pooled, row)
    right = (scores >= 0.5) == labels
    _, sensitivity = finish_mcnemar(pooled, 1, minima=REPLICATION)
    assert sensitivity.only_first == np.sum(labels & right[0] & ~right[2])
    assert sensitivity.only_second == np.sum(labels & right[2] & ~right[0])


def test_small_discordant_counts_are_suppressed_with_their_p():
    specificity, sensitivity = finish_mcnemar(of_counts((8, 0), (14, 3)), 0)

    assert (sensitivity.only_first, sensitivity.only_second, sensitivity.p_value) == (None, None, None)
    assert sensitivity.standing.kind == "suppressed"
    assert (specificity.only_first, specificity.p_value, specificity.n_used) == (
        8,
        pytest.approx(2 / 256),
        139,
    )
    assert finish_mcnemar(of_counts((8, 0), (14, 3)), 0, minima=REPLICATION)[1].p_value == pytest.approx(
        0.0127, abs=1e-4
    )


def test_few_missing_scores_hide_the_number_used():
    summary = Summary(
        counts={
            "discordant": np.zeros((1, 2, 2), dtype=int),
            "n": np.array([139, 80]),
            "missing": np.array([2]),
        }
    )

    assert [(result.n_used, result.n_missing) for result in finish_mcnemar(summary, 0)] == [(None, None)] * 2
