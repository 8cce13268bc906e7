"""A verdict is never stronger than its intervals: each rule by hand, on both sides of its mark."""

import numpy as np
import pytest
from studies.analyses import absent
from studies.results import Make, make_study

from common.stats.confusion import ConfusionMatrix
from common.stats.decision import NetBenefit
from common.stats.estimate import Estimate
from server.report.verdicts import judge_cell
from server.results.evaluation import Calibration, InternalDifference

MAKE = Make(training=("Alpha",), external=("Beta",), models=("net",), pooled=False, rounds=1, full=True)


def found(low, high):
    return Estimate((low + high) / 2, low, high, "by hand")


GOOD = {
    "auc": found(0.7, 0.9),
    "positive": 100,
    "negative": 200,
    "missing": 0,
    "threshold": 0.3,
    "confusion": ConfusionMatrix(80, 20, 40, 160),
    "from_internal": (InternalDifference(cohort_sites=("Alpha",), difference=found(-0.05, 0.05)),),
    "decision": (NetBenefit(threshold=0.3, model=0.2, low=0.15, high=0.25, treat_all=0.05),),
    "calibration": Calibration(
        brier=Estimate(0.1),
        expected_error=Estimate(0.1),
        intercept=found(-0.2, 0.2),
        slope=found(0.9, 1.1),
        points=(),
    ),
}


def judge(**changes):
    (cell, *_) = [c for c in make_study(MAKE).evaluation if c.relation == "external" and c.part == "whole"]
    calibration = {name: changes.pop(name) for name in ("intercept", "slope") if name in changes}
    values = GOOD | changes
    if calibration:
        values["calibration"] = GOOD["calibration"].model_copy(update=calibration)
    return judge_cell(cell.model_copy(update=values), 0.5)


def test_a_model_of_which_everything_is_shown_carries_over():
    judged = judge()

    assert judged.verdict == "carries over"
    assert judged.sentence == (
        "Ranks patients better than chance; AUC not shown to be lower than at home; risks not shown to be "
        "wrong; useful at 0.3."
    )
    # What speaks against it is said even then
    assert judged.list_doubts() == (
        "the AUC may be as low as 0.700",
        "a loss of 0.050 against home is not excluded",
        "right risks are not shown",
    )


def test_the_gain_over_treating_everybody_is_counted_from_the_calls():
    gain = judge().gain

    assert gain.value == pytest.approx((0.3 / 0.7 * 160 - 20) / 300)
    assert gain.low < gain.value < gain.high


def test_a_threshold_that_the_curve_lacks_has_the_net_benefit_of_the_calls():
    """A threshold by Youden's index lies between the curve's."""
    judged = judge(threshold=0.31)
    weight = 0.31 / 0.69

    assert judged.point.model == pytest.approx((80 - weight * 40) / 300)
    assert judged.point.treat_all == pytest.approx((100 - weight * 200) / 300)
    half = 1.959963984540054 * np.sqrt(((80 + weight**2 * 40) / 300 - judged.point.model**2) / 300)
    assert judged.point.high - judged.point.model == pytest.approx(half)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"auc": found(0.5, 0.9)}, "not shown"),
        ({"auc": found(0.5001, 0.9)}, "carries over"),
        ({"auc": found(0.2, 0.4999)}, "does not carry over"),
        ({"auc": Estimate(0.95)}, "not shown"),
        ({"auc": absent()}, "not shown"),
        ({"from_internal": ()}, "in part"),
        ({"from_internal": (InternalDifference(cohort_sites=("Alpha",), difference=absent()),)}, "in part"),
        (
            {"from_internal": (InternalDifference(cohort_sites=("Alpha",), difference=found(-0.2, -0.01)),)},
            "in part",
        ),
        ({"intercept": found(-4.0, -2.5)}, "in part"),
        ({"slope": found(0.2, 0.99)}, "in part"),
        ({"slope": absent()}, "in part"),
        ({"positive": 99}, "in part"),
        ({"negative": None}, "in part"),
        ({"decision": ()}, "carries over"),
        ({"decision": (NetBenefit(0.3, 0.1, -0.01, 0.2, 0.05),)}, "ranks only"),
        ({"confusion": ConfusionMatrix(60, 40, 100, 100)}, "ranks only"),
        ({"confusion": ConfusionMatrix(None, None, 40, 160)}, "ranks only"),
        ({"threshold": 0.31}, "carries over"),
        ({"threshold": 0.31, "confusion": ConfusionMatrix(None, None, 40, 160)}, "ranks only"),
        ({"calibration": None, "decision": ()}, "ranks only"),
    ],
)
def test_one_interval_decides(changes, verdict):
    assert judge(**changes).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intercept": found(-4.0, -2.5)}, "risks too high"),
        ({"intercept": found(0.1, 0.5)}, "risks too low"),
        ({"slope": found(0.2, 0.99)}, "risks too extreme"),
        ({"slope": found(1.01, 3.0)}, "risks too alike"),
        ({"slope": found(-2.0, -0.1)}, "risks in reverse order"),
        ({"intercept": found(-4.0, -2.5), "slope": found(0.2, 0.9)}, "risks too high and too extreme"),
        ({"slope": absent()}, "risks not shown to be wrong (slope not known)"),
        ({"slope": absent(), "intercept": absent()}, "calibration not known"),
        ({"calibration": None}, "no predicted risks"),
    ],
)
def test_the_words_for_risks(changes, words):
    judged = judge(**changes)

    assert judged.risks.words == words
    assert judged.risks.answer != "yes"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "useful at 0.3"),
        ({"decision": (NetBenefit(0.3, -0.1, -0.2, -0.01, 0.05),)}, "at 0.3 worse than treating nobody"),
        ({"confusion": ConfusionMatrix(60, 240, 0, 10)}, "at 0.3 worse than treating everybody"),
        (
            {"decision": (NetBenefit(0.3, 0.1, 0.0, 0.2, 0.05),)},
            "at 0.3 not shown to help more than treating nobody",
        ),
        (
            {"confusion": ConfusionMatrix(60, 40, 100, 100)},
            "at 0.3 not shown to help more than treating everybody",
        ),
        ({"decision": (), "confusion": ConfusionMatrix(None, None, 40, 160)}, "usefulness at 0.3 not known"),
    ],
)
def test_the_words_for_use(changes, words):
    assert judge(**changes).benefit.words == words


def test_what_speaks_against_names_few_and_missing_patients():
    doubts = judge(positive=12, missing=3, partial=True).list_doubts()

    assert "few patients: 12 with and 200 without the outcome, fewer than 100 of each" in doubts
    assert "patients without a score: 3" in doubts
    assert "a centre missed rounds of the training" in doubts


def test_one_of_several_training_centres_suffices_for_a_loss():
    tests = (
        InternalDifference(cohort_sites=("Alpha",), difference=found(-0.2, -0.1)),
        InternalDifference(cohort_sites=("Gamma",), difference=found(0.01, 0.1)),
    )

    assert judge(from_internal=tests).loss.words == "lower AUC than at home of some training centres"
    assert judge(from_internal=tests[1:]).loss.answer == "yes"
