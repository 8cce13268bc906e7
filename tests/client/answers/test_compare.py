"""Models compared and calibrated at a site: refused below its minima, and only of what was asked before."""

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.patients import a_case
from sites.plans import SCALE, plan_of

from common.errors import ProtocolError, SmallNumberError
from common.messages.calibrations import write_calibrations
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.questions import write_grids, write_placements
from common.plan.comparisons import find_compared_scores
from common.plan.grids import most_edges
from common.plan.matrix import cohorts_of, scorers_of
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.score_grid import ScoreGrid
from common.stats.stack import Problem

CALIBRATE = RequestHeader(operation=Operation.CALIBRATE, plan_hash="0" * 64, site="a")
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


def compared_on(plan, part, sites=("a", "b")):
    """What is compared of the cohort of both sites' tests, or of everybody."""
    found = find_compared_scores(plan, [True] * len(scorers_of(plan)), "one")
    return [scores for scores in found if (scores.cohort.sites, scores.cohort.part) == (sites, part)]


def question(plan, part="whole", *, grids=None, recounted=False):
    """The pair of the scores on one cohort, with placement values of which all are 0.5."""
    grids = grids or [ScoreGrid.even(10)] * len(scorers_of(plan))
    found = find_compared_scores(plan, [True] * len(grids), "one")
    asked = [scores in compared_on(plan, part) for scores in found]
    placements = {
        scores.name_histogram(number, recounted=recounted): Placements(
            np.full(grids[number].bins, 0.5), np.full(grids[number].bins, 0.5), 0.5
        )
        for scores in compared_on(plan, part)
        for number in scores.scorers
    }
    return {
        "scored": np.ones(len(grids), dtype=bool),
        "reference": np.array([0]),
        "thresholds": np.full(len(grids), 0.5),
        "recounted": np.full(len(found), recounted),
        "compared": np.array(asked),
        **write_grids(grids),
        **write_placements(placements),
    }


def test_a_comparison_below_the_minima_is_refused_though_asked(site):
    analyses = site()

    analyses.answer(HEADER, question(analyses.plan))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        analyses.answer(HEADER, question(analyses.plan, "test"))


def test_of_what_was_not_asked_nothing_is_told(site):
    analyses = site("simulation")
    asked = question(analyses.plan)
    (whole,), (test,) = (compared_on(analyses.plan, part) for part in ("whole", "test"))

    answer = analyses.answer(HEADER, asked)

    assert {name.split("/delong")[0] for name in answer.counts if "/delong/" in name} == {whole.name}
    nothing = asked | {"compared": np.zeros_like(asked["compared"])}
    assert analyses.answer(HEADER, nothing).layout() == ()
    # Placement values of another cohort do not do.
    both = asked | {"compared": asked["compared"] | question(analyses.plan, "test")["compared"]}
    with pytest.raises(ProtocolError, match=f"'cohort/{test.index}/0.v10' is missing"):
        analyses.answer(HEADER, both)


def test_placement_values_are_of_those_who_were_counted(site):
    """Histograms of a pair's own patients have other placement values than those of a whole cohort."""
    analyses = site("simulation")
    asked = question(analyses.plan)

    with pytest.raises(ProtocolError, match=r"'paired/\d+/0-1/0.v10' is missing"):
        analyses.answer(HEADER, asked | {"recounted": np.ones_like(asked["recounted"])})
    assert (
        analyses.answer(HEADER, question(analyses.plan, recounted=True)).layout()
        == analyses.answer(HEADER, asked).layout()
    )


def test_each_score_is_looked_up_on_its_own_grid(site):
    """The first score of 20 bins, the second of 4: the sums are those of the patients' own bins."""
    analyses = site("simulation")
    grids = [ScoreGrid.even(20), ScoreGrid(np.array([0.1, 0.3, 0.6]))]
    (scores,) = compared_on(analyses.plan, "whole")
    asked = question(analyses.plan, grids=grids)
    v10 = [np.arange(grid.bins) / 100 for grid in grids]
    placements = {
        scores.name_histogram(number, recounted=False): Placements(v10[number], -v10[number], 0.25)
        for number in (0, 1)
    }

    sums = analyses.answer(HEADER, asked | write_placements(placements)).part(scores.name).part("delong")

    raw = np.array([[case.patient.scores[name] for case in analyses.cases] for name in ("one", "two")])
    positive = np.array([case.positive for case in analyses.cases])
    first = np.floor(raw[0] * 20 + 1e-9).astype(int)
    second = (raw[1][:, None] >= np.array([0.1, 0.3, 0.6])).sum(axis=1)
    values = np.array([first, second]) / 100
    for label, sign in ((0, -1), (1, 1)):
        own = sign * values[:, positive == label] - 0.25
        np.testing.assert_allclose(sums.reals["sums"][label], own.sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(sums.reals["products"][label], own @ own.T, rtol=1e-12)
    assert sums.counts["n"].tolist() == [42, 18]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"thresholds": np.zeros(1)}, "1 thresholds came for 2 scores"),
        ({"reference": np.array([2])}, r"the reference \[2\] is none of 2 models"),
        ({"reference": np.array([-1])}, r"the reference \[-1\] is none of 2 models"),
        ({"reference": np.array([0, 1])}, r"the reference \[0, 1\] is none of 2 models"),
        ({"reference": np.array([], dtype=np.int64)}, r"the reference \[\] is none of 2 models"),
        ({"reference": np.array([0.0])}, "'reference' is float64"),
        ({"compared": np.zeros(1, dtype=bool)}, "'compared' is bool of"),
        ({"recounted": np.zeros(1, dtype=bool)}, "'recounted' is bool of"),
        ({"scored": np.ones(3, dtype=bool)}, "'scored' is bool of"),
        (write_grids([ScoreGrid.even(10)]), "'values' is bool of"),
        # Placement values of 10 bins on a grid of 20
        (write_grids([ScoreGrid.even(20)] * 2), r"placement values of \(10,\) came for 20 bins"),
    ],
)
def test_a_parameter_of_other_scores_is_refused(site, changes, said):
    analyses = site("simulation")

    with pytest.raises(ProtocolError, match=said):
        analyses.answer(HEADER, question(analyses.plan) | changes)


def test_bins_finer_than_the_plan_allows_are_refused(site):
    analyses = site("simulation")
    most = most_edges(analyses.plan)
    fine, too_fine = ([ScoreGrid.even(edges + 1)] * 2 for edges in (most, most + 1))

    analyses.answer(HEADER, question(analyses.plan, grids=fine))
    with pytest.raises(ProtocolError, match=f"a grid of {most + 1} edges came, where {most} are allowed"):
        analyses.answer(HEADER, question(analyses.plan, grids=too_fine))


def newton(plan, sites, part):
    (cohort,) = [n for n, one in enumerate(cohorts_of(plan)) if (one.sites, one.part) == (sites, part)]
    problem = Problem(np.array([[0]]), np.ones((1, 2), dtype=bool), np.zeros(1), np.ones(1), firth=False)
    query = Query(np.zeros((1, 2)), np.array([True]))
    return write_calibrations({cohort: ((1,), (problem, query))})


def test_calibration_below_the_minima_is_refused_though_asked(site):
    analyses = site()

    assert analyses.answer(CALIBRATE, newton(analyses.plan, ("a",), "whole")).reals
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        analyses.answer(CALIBRATE, newton(analyses.plan, ("a",), "test"))


def test_another_site_s_cohort_is_calibrated_without_anybody_here(site):
    answer = site("simulation").answer(CALIBRATE, newton(site().plan, ("b",), "test"))

    assert not any(array.any() for array in answer.reals.values())


@pytest.mark.parametrize("part", ["train", "validation"])
def test_nothing_is_calibrated_on_patients_who_train_or_choose(site, part):
    analyses = site("simulation")

    with pytest.raises(ProtocolError, match="score 1 was asked to be calibrated on cohort"):
        analyses.answer(CALIBRATE, newton(analyses.plan, ("a",), part))
