"""Differences of an AUC between centres, against metafor and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from common.stats.estimate import Estimate, absent, suppressed
from common.stats.meta import compare_centres
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid

CASES = {
    "seven": ((0.78, 0.71, 0.83, 0.66, 0.75, 0.80, 0.58), (9e-4, 16e-4, 12e-4, 25e-4, 6e-4, 3e-3, 2e-3)),
    "equal": ((0.80, 0.80, 0.80), (25e-4, 16e-4, 4e-3)),
    "near": ((0.79, 0.80, 0.82, 0.805), (25e-4, 16e-4, 4e-3, 9e-4)),
    "apart": ((0.95, 0.60, 0.72), (8e-4, 36e-4, 21e-4)),
}
GRID = ScoreGrid.even(100)
ANY = finish_roc(local_roc(np.linspace(0, 1, 40), np.arange(40) % 3 == 0, GRID), GRID)
FEW = suppressed("fewer than 20 patients")


def centre(auc, variance=0.002, **changes):
    estimate = absent(FEW, "hand") if auc is None else Estimate(auc, n_used=40, n_missing=0)
    return replace(ANY, auc=estimate, variance=variance, **changes)


def centres_of(case):
    return [centre(auc, variance) for auc, variance in zip(*CASES[case], strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_equals_metafor_whose_scale_is_not_below_one(reference, case):
    expected = reference("meta/meta.csv")

    result = compare_centres(centres_of(case))

    assert result.auc.value == pytest.approx(expected[f"{case}.auc"], rel=1e-9)
    for name in ("q", "p", "tau_squared", "i_squared"):
        assert getattr(result, name) == pytest.approx(expected[f"{case}.{name}"], rel=1e-9, abs=1e-12)
    for name, interval in (("", result.auc), ("prediction.", result.prediction)):
        assert interval.low == pytest.approx(expected[f"{case}.{name}low"], rel=1e-9)
        assert interval.high == pytest.approx(expected[f"{case}.{name}high"], rel=1e-9)
    assert result.difference is None
    assert all(status.ok for status in result.standings)


def test_three_centres_that_agree_by_chance_have_an_interval_of_some_width():
    """Issue: three at .80 gave .80 to .80."""
    result = compare_centres([centre(0.8, 0.002)] * 3)

    error = np.sqrt(0.002 / (0.8 * 0.2) ** 2 / 3)
    half = stats.t.isf(0.025, 2) * error
    assert result.auc.low == pytest.approx(1 / (1 + np.exp(-(np.log(4) - half))))
    assert result.auc.high == pytest.approx(1 / (1 + np.exp(-(np.log(4) + half))))


def test_order_of_centres_does_not_matter():
    centres = centres_of("seven")

    assert compare_centres(centres[::-1]).auc.value == pytest.approx(
        compare_centres(centres).auc.value, rel=1e-13
    )


def test_whoever_is_left_out_of_a_mean_says_why():
    usable = centres_of("apart")
    others = [centre(1.0, 0.0), centre(None, None), centre(0.0, 0.0), centre(0.5, 0.0), centre(0.7, None)]

    result = compare_centres([others[0], *usable, *others[1:]])

    assert result.auc == compare_centres(usable).auc
    assert [str(status) for status in result.standings] == [
        "undefined(an AUC of 1 has no logit, on which the mean is taken)",
        *["ok"] * 3,
        "suppressed(fewer than 20 patients)",
        "undefined(an AUC of 0 has no logit, on which the mean is taken)",
        "undefined(the score is the same for all patients)",
        "undefined(one patient of a class has no variance)",
    ]


def test_two_centres_have_their_difference_and_no_mean():
    pair = [centre(0.78, 0.0009), centre(None, None), centre(0.66, 0.0025)]

    result = compare_centres(pair)

    error = np.sqrt(0.0009 + 0.0025)
    found = result.difference
    assert found.difference.value == pytest.approx(0.12)
    assert found.difference.low == pytest.approx(0.12 - stats.norm.isf(0.025) * error)
    assert found.difference.high == pytest.approx(0.12 + stats.norm.isf(0.025) * error)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.12 / error))
    assert (result.auc.value, result.q, result.i_squared, result.prediction) == (None, None, None, None)
    assert str(result.auc.standing) == "undefined(fewer than three centres have no mean)"
    assert [status.ok for status in result.standings] == [True, False, True]


def test_of_two_centres_an_auc_of_one_is_compared_and_of_three_it_has_no_mean():
    perfect, plain = centre(1.0, 0.0), centre(0.506, 0.008)

    two = compare_centres([perfect, plain])
    three = compare_centres([perfect, plain, centre(0.7)])

    assert two.difference.difference.value == pytest.approx(0.494)
    assert two.difference.p < 0.001
    assert all(status.ok for status in two.standings)
    assert (three.difference, three.auc.value) == (None, None)
    assert "fewer than three centres with an AUC between 0 and 1" in str(three.auc.standing)


@pytest.mark.parametrize("centres", [[], [centre(0.8)], [centre(0.8), centre(None, None)]])
def test_one_centre_has_nothing_to_differ_from(centres):
    result = compare_centres(centres)

    assert str(result.auc.standing) == "undefined(fewer than two centres with an AUC)"
    assert (result.difference, result.q, result.p) == (None, None, None)
    assert len(result.standings) == len(centres)
