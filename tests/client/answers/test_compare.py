"""Models compared and calibrated at a site: refused below its minima, and only of what was asked before."""

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.patients import a_case
from sites.plans import SCALE, plan_of

from common.errors import ProtocolError, SmallNumberError
from common.messages.headers import Operation, RequestHeader
from common.messages.questions import write_newton, write_pairs, write_placements
from common.plan.matrix import PARTS, cohorts_of, find_compared_cohorts, scorers_of
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.stack import Problem

HEADER = RequestHeader(operation=Operation.COMPARE, plan_hash="0" * 64, site="a")
SCORES = tuple(SCALE | {"name": name, "column": name, "probability": True} for name in ("one", "two"))


@pytest.fixture
def site(tmp_path):
    """9 of 30 tested patients have expansion: below the minimum of a class; 18 of 60 of all, above it."""
    cases = [
        a_case(f"{part}-{n:02d}", grows=n < 9, part=part, scores={"one": n / 40, "two": (n * 7 % 30) / 40})
        for part in ("train", "test")
        for n in range(30)
    ]

    def make(profile="standard"):
        plan = plan_of({"a": "train", "b": "train"}, *SCORES, profile=profile, phases=["evaluation"])
        return analyses_of(plan, "a", cases, tmp_path)

    return make


def number_of(plan, part):
    """Of the cohort of both sites' tests, or of everybody."""
    (found,) = [
        index
        for index, cohort, _ in find_compared_cohorts(plan, [True] * len(scorers_of(plan)))
        if (cohort.sites, cohort.part) == (("a", "b"), part)
    ]
    return found


def question(plan, part="whole", *, asked=True):
    number, bins = number_of(plan, part), plan.evaluation.bins
    placements = Placements(np.zeros((2, bins)), np.zeros((2, bins)), np.zeros(2))
    return {
        "asked": np.full((2, len(PARTS), len(SCORES)), asked),
        "scored": np.ones(2, dtype=bool),
        "thresholds": np.full(2, 0.5),
        "tau_squared": np.zeros(2),
        f"{number}.pairs": write_pairs([(0, 1)]),
        **write_placements({number: placements}),
    }


def test_a_comparison_below_the_minima_is_refused_though_asked(site):
    analyses = site()

    analyses.compare(HEADER, question(analyses.plan))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        analyses.compare(HEADER, question(analyses.plan, "test"))


def test_a_centre_that_was_not_asked_before_adds_nothing_to_the_mean_over_centres(site):
    analyses = site("simulation")
    answers = [analyses.compare(HEADER, question(analyses.plan, asked=asked)) for asked in (True, False)]

    told = [any(array.any() for array in answer.part("centre/1").reals.values()) for answer in answers]

    assert told == [True, False]


@pytest.mark.parametrize(("name", "size"), [("tau_squared", 3), ("thresholds", 1)])
def test_a_parameter_of_other_scores_is_refused(site, name, size):
    analyses = site("simulation")

    with pytest.raises(ProtocolError, match=f"{size} (variances|thresholds) came for 2 scores"):
        analyses.compare(HEADER, question(analyses.plan) | {name: np.zeros(size)})


def newton(plan, sites, part):
    (cohort,) = [n for n, one in enumerate(cohorts_of(plan)) if (one.sites, one.part) == (sites, part)]
    problem = Problem(np.array([[0]]), np.ones((1, 2), dtype=bool), np.zeros(1), np.ones(1), firth=False)
    query = Query(np.zeros((1, 2)), np.array([True]))
    return {"pairs": write_pairs([(1, cohort)]), **write_newton(problem, query)}


def test_calibration_below_the_minima_is_refused_though_asked(site):
    analyses = site()

    assert analyses.calibrate(HEADER, newton(analyses.plan, ("a",), "whole")).reals
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        analyses.calibrate(HEADER, newton(analyses.plan, ("a",), "test"))


def test_another_site_s_cohort_is_calibrated_without_anybody_here(site):
    answer = site("simulation").calibrate(HEADER, newton(site().plan, ("b",), "test"))

    assert not any(array.any() for array in answer.reals.values())


@pytest.mark.parametrize("part", ["train", "validation"])
def test_nothing_is_calibrated_on_patients_who_train_or_choose(site, part):
    analyses = site("simulation")

    with pytest.raises(ProtocolError, match="score 1 was asked to be calibrated on cohort"):
        analyses.calibrate(HEADER, newton(analyses.plan, ("a",), part))
