"""A model at centres new to it against its own held-out patients: by hand, and only where both exist."""

import numpy as np
import pytest

from common.plan.matrix import Cohort, Scorer
from common.plan.study import GIVEN_ARM, ScoresModel
from common.stats.confusion import finish_confusion, local_confusion
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from server.phases.judgement import Judgement
from server.results.evaluation import record_cells

SCORES = {"there": (0.2, 0.4, 0.6, 0.8, 0.9), "home": (0.1, 0.2, 0.3, 0.7, 0.6)}
LABELS = np.array([False, True, False, True, True])
"""AUCs of 5/6 and 5/6; of `home` sorted by outcome: positives 0.2, 0.7, 0.6 against 0.1, 0.3."""


def judge(scores, sites, part, relation, name="net"):
    model = ScoresModel(kind="scores", name=name, column="points", high=1, step=0.1)
    grid = ScoreGrid.even(100)
    scores = np.array(scores)
    return Judgement(
        scorer=Scorer(model, GIVEN_ARM),
        cohort=Cohort(sites, part),
        relation=relation,
        threshold=0.5,
        roc=finish_roc(local_roc(scores, LABELS, grid), grid, minima=SIMULATION),
        confusion=finish_confusion(local_confusion(scores, LABELS, 0.5), minima=SIMULATION),
    )


def variance_of(scores):
    wins = (np.sign(np.subtract.outer(scores[LABELS], scores[~LABELS])) + 1) / 2
    return np.var(wins.mean(axis=1), ddof=1) / 3 + np.var(wins.mean(axis=0), ddof=1) / 2


def test_the_difference_is_that_of_two_auc_that_share_no_patient():
    there = judge(SCORES["there"], ("b",), "whole", "external")
    home = judge(SCORES["home"], ("a",), "test", "internal")

    cell, test = record_cells((there, home))

    (found,) = cell.from_internal
    half = 1.959963984540054 * np.sqrt(sum(variance_of(np.array(SCORES[k])) for k in SCORES))
    assert found.cohort_sites == ("a",)
    assert found.difference.value == pytest.approx(cell.auc.value - test.auc.value, abs=1e-12)
    assert found.difference.low == pytest.approx(max(-1, found.difference.value - half))
    assert found.difference.high == pytest.approx(min(1, found.difference.value + half))
    assert found.difference_bound == 0.0
    assert test.from_internal == ()


@pytest.mark.parametrize(
    ("part", "relation", "name"), [("test", "external", "net"), ("whole", "seen centre", "net")]
)
def test_only_all_patients_of_a_new_centre_are_compared(part, relation, name):
    there = judge(SCORES["there"], ("b",), part, relation, name)

    cell, _ = record_cells((there, judge(SCORES["home"], ("a",), "test", "internal")))

    assert cell.from_internal == ()


def test_each_test_that_no_larger_one_contains_is_compared():
    """Of a federation that left a centre out, no internal test may be of all its centres together."""
    there = judge(SCORES["there"], ("d",), "whole", "external")
    tests = [
        judge(SCORES["home"], sites, "test", "internal") for sites in (("a",), ("b",), ("c",), ("a", "b"))
    ]
    stranger = judge(SCORES["home"], ("e",), "test", "internal", name="other")

    cell, *_ = record_cells((there, *tests, stranger))

    assert [found.cohort_sites for found in cell.from_internal] == [("c",), ("a", "b")]


def test_an_auc_that_may_not_be_shown_leaves_a_difference_that_says_why():
    there = judge(SCORES["there"], ("b",), "whole", "external")
    few = np.zeros(5, dtype=bool)
    grid = ScoreGrid.even(100)
    hidden = finish_roc(local_roc(np.array(SCORES["home"]), few, grid), grid, minima=SIMULATION)
    test = judge(SCORES["home"], ("a",), "test", "internal")

    cell, _ = record_cells((there, Judgement(**{**vars(test), "roc": hidden})))

    (found,) = cell.from_internal
    assert found.difference.value is None
    assert found.difference.standing.reason
