"""Predictive values and the gain over treating everybody, by hand and against other routes."""

import numpy as np
import pytest

from common.stats.confusion import ConfusionMatrix
from common.stats.estimate import Estimate, suppressed
from common.stats.predictive_values import predict_values
from common.stats.proportion import wilson
from common.stats.treat_all import compare_with_treat_all


def rate(successes, trials):
    interval = wilson(successes, trials)
    return Estimate.of(successes / trials, interval, "wilson")


def test_bayes_by_hand():
    ppv, npv = predict_values(rate(8, 10), rate(18, 20), 0.2)

    assert ppv.value == pytest.approx(0.8 * 0.2 / (0.8 * 0.2 + 0.1 * 0.8))
    assert npv.value == pytest.approx(0.9 * 0.8 / (0.9 * 0.8 + 0.2 * 0.2))


def test_at_the_patients_own_prevalence_it_is_the_share_of_the_calls():
    """PPV is TP / (TP + FP), whatever the rates."""
    ppv, npv = predict_values(rate(14, 20), rate(45, 60), 20 / 80)

    assert (ppv.value, npv.value) == pytest.approx((14 / (14 + 15), 45 / (45 + 6)))


def test_the_limits_solve_the_equation_that_defines_them():
    """At a limit r of a / b, the square-and-add interval of a - r b ends at 0 (Donner and Zou 2012)."""
    sensitivity, specificity = rate(14, 20), rate(45, 60)
    ppv, npv = predict_values(sensitivity, specificity, 0.3)

    for value, right, wrong, odds in (
        (ppv, sensitivity, (0.25, 1 - specificity.high, 1 - specificity.low), 3 / 7),
        (npv, specificity, (0.3, 1 - sensitivity.high, 1 - sensitivity.low), 7 / 3),
    ):
        low, high = (limit / (1 - limit) / odds for limit in (value.low, value.high))
        a, (b, b_low, b_high) = right.value, wrong
        assert a - low * b == pytest.approx(np.hypot(a - right.low, low * (b_high - b)))
        assert high * b - a == pytest.approx(np.hypot(right.high - a, high * (b - b_low)))


def test_the_limits_hold_what_they_promise():
    """Of 4,000 studies of 30 and 50 patients, 95 % have a PPV interval with the truth in it."""
    random = np.random.default_rng(5)
    truth = 0.8 * 0.2 / (0.8 * 0.2 + 0.15 * 0.8)
    inside = 0
    for hits, spared in zip(random.binomial(30, 0.8, 4000), random.binomial(50, 0.85, 4000), strict=True):
        ppv, _ = predict_values(rate(int(hits), 30), rate(int(spared), 50), 0.2)
        inside += ppv.low <= truth <= ppv.high
    assert 0.935 < inside / 4000 < 0.975


def test_nobody_called_wrongly_leaves_the_upper_limit_at_1():
    ppv, npv = predict_values(rate(8, 10), rate(20, 20), 0.2)

    assert (ppv.value, ppv.high) == (1.0, 1.0)
    assert 0.2 < ppv.low < 1
    assert npv.high < 1


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "kinds"),
    [
        (rate(0, 10), rate(20, 20), ("undefined", "ok")),
        (rate(10, 10), rate(0, 20), ("ok", "undefined")),
        (Estimate(None, standing=suppressed("few")), rate(9, 20), ("suppressed", "suppressed")),
        (rate(9, 20), Estimate(None, standing=suppressed("few")), ("suppressed", "suppressed")),
    ],
)
def test_a_value_that_does_not_exist_says_why(sensitivity, specificity, kinds):
    values = predict_values(sensitivity, specificity, 0.2)

    assert tuple(value.standing.kind for value in values) == kinds


def test_rates_without_intervals_give_values_without_intervals():
    ppv, npv = predict_values(Estimate(0.8), rate(18, 20), 0.2)

    assert (ppv.low, ppv.high, npv.low, npv.high) == (None,) * 4


@pytest.mark.parametrize("prevalence", [0, 1, -0.1])
def test_a_prevalence_is_a_share(prevalence):
    with pytest.raises(ValueError, match="prevalence"):
        predict_values(rate(8, 10), rate(18, 20), prevalence)


def test_the_gain_over_treating_everybody_is_that_of_the_two_curves():
    calls = ConfusionMatrix(14, 6, 15, 45)
    n, weight = 80, 0.3 / 0.7

    gain = compare_with_treat_all(calls, 0.3)

    assert gain.value == pytest.approx((14 - weight * 15) / n - (20 - weight * 60) / n)
    worth = np.repeat([0.0, -1.0, 0.0, weight], [14, 6, 15, 45])
    half = 1.959963984540054 * worth.std() / np.sqrt(n)
    assert (gain.low, gain.high) == pytest.approx((worth.mean() - half, worth.mean() + half))


def test_a_hidden_count_hides_the_gain():
    assert compare_with_treat_all(ConfusionMatrix(None, None, 15, 45), 0.3).standing.kind == "suppressed"
    assert compare_with_treat_all(ConfusionMatrix(0, 0, 0, 0), 0.3).standing.kind == "undefined"
    with pytest.raises(ValueError, match="threshold"):
        compare_with_treat_all(ConfusionMatrix(1, 1, 1, 1), 1.0)
