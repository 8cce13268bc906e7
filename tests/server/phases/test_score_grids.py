"""Bins on which all sites agree: exact for raw scores at every scale, in few questions, within the plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sites.exchange import NearExchange, make_cases
from sites.plans import SCALE, plan_of
from sklearn.metrics import roc_auc_score

from client.answers.evaluate import count_scores
from client.answers.scoreboard import Scoreboard
from common.messages.catalogue import Operation
from common.plan.grids import MOST_PIECES, first_grid_of, most_edges
from common.plan.matrix import cohorts_of, scorers_of
from common.program.score_bins import agree_on_grids
from common.stats.contract import total
from common.stats.estimate import OK, suppressed
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import count_by_bin, find_mixed
from server.procedures import carry_out

NAMES = ("one", "two", "three")
MOST_QUESTIONS = 14


class Boards(NearExchange):
    """Sites that hold nothing but scores, and only count them."""

    def _answer(self, operation, site, parameters, _context):
        self.asked.append((operation, site, parameters))
        assert operation is Operation.GRID
        return count_scores(self.sites[site], parameters)


def a_line(labels, scores, sites, **changes):
    """A connection to the sites at which these patients were examined: all of them are tested."""
    models = [SCALE | {"name": name, "column": name} for name in scores]
    everybody = [f"site{number}" for number in range(max(sites) + 1)]
    plan = plan_of(
        dict.fromkeys(everybody, "external"),
        *models,
        two_site_ack=len(everybody) == 2,
        **{"phases": ["evaluation"]} | changes,
    )
    matrix = np.stack(list(scores.values()))
    boards = {}
    for number, site in enumerate(everybody):
        own = sites == number
        boards[site] = Scoreboard(plan, site, make_cases(labels[own], {}), matrix[:, own], labels[own])
    return Boards(plan, boards)


def agree(line, permitted=None):
    scorers = len(scorers_of(line.plan))
    statuses = dict.fromkeys(cohorts_of(line.plan), (OK,) * scorers)
    wanted = statuses if permitted is None else permitted
    return carry_out(line, "grids", agree_on_grids(line.plan, wanted, is_complete=True))


def questions(line):
    """The parameters of each question, as the first site got them."""
    (first, *_) = sorted(line.sites)
    asked = [(operation, parameters) for operation, site, parameters in line.asked if site == first]
    assert {operation for operation, _ in asked} <= {Operation.GRID}
    return [parameters for _, parameters in asked]


def judge(labels, row, sites, grid):
    """AUC over these sites' histograms, its bound, and the raw scores' AUC."""
    own = [(row[sites == number], labels[sites == number]) for number in np.unique(sites)]
    result = finish_roc(total(local_roc(*one, grid) for one in own), grid, minima=SIMULATION)
    return result.auc.value, result.error_bound, roc_auc_score(labels, row)


def draw(seed, n=90, sites=3):
    """A score of any sharpness about any risk, perhaps rounded, perhaps saturated, over so many sites."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    spread, centre = 10 ** random.uniform(-1.7, 1.4), random.choice([0.0, 0.0, -5.0, 9.0, -25.0])
    row = 1 / (1 + np.exp(-(centre + spread * (random.normal(size=n) + labels))))
    if random.random() < 0.5:
        row = row.round(int(random.integers(1, 7)))
    return labels, row, random.permutation(np.arange(n) % sites)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(1, 5))
def test_every_cohort_s_auc_is_that_of_the_pooled_raw_scores(seed, number):
    labels, row, sites = draw(seed, sites=number)
    line = a_line(labels, {"one": row}, sites)

    (grid,) = agree(line)

    for cohort in cohorts_of(line.plan):
        within = np.isin(sites, [int(site.removeprefix("site")) for site in cohort.sites])
        if len(set(labels[within])) == 2:
            value, bound, raw = judge(labels[within], row[within], sites[within], grid)
            assert (value, bound) == (pytest.approx(raw, abs=1e-13), 0.0)
    assert len(questions(line)) <= MOST_QUESTIONS
    assert grid.edges.size <= most_edges(line.plan)


def test_heavy_ties_across_sites_are_certain_within_the_questions():
    """Two decimals, and a score of which half are exactly 0 or exactly 1: at all sites, of both outcomes."""
    random = np.random.default_rng(1)
    labels, sites = np.arange(240) % 2 == 0, np.repeat([0, 1, 2], 80)
    rounded = np.clip(random.normal(0.4 + 0.1 * labels, 0.2), 0, 1).round(2)
    saturated = np.where(random.random(240) < 0.5, random.random(240) < 0.4 + 0.2 * labels, rounded)
    rows = {"one": rounded, "two": saturated.astype(float), "three": np.full(240, 0.37)}
    line = a_line(labels, rows, sites)

    grids = agree(line)

    for row, grid in zip(rows.values(), grids, strict=True):
        assert judge(labels, row, sites, grid)[:2] == (pytest.approx(roc_auc_score(labels, row)), 0.0)
    assert len(questions(line)) <= MOST_QUESTIONS
    assert all(grid.edges.size <= most_edges(line.plan) for grid in grids)


def test_a_score_with_ties_of_16_digits_needs_all_questions_and_no_more():
    """Neighbouring floats at different sites, of different outcomes: nothing but one bin each is certain."""
    value = 0.123456789
    near = [value]
    for _ in range(5):
        near.append(np.nextafter(near[-1], 1.0))
    row = np.array(near * 4)
    labels = np.array([place % 2 == (place // 6) % 2 for place in range(24)])
    sites = np.arange(24) % 3

    line = a_line(labels, {"one": row}, sites)
    (grid,) = agree(line)

    assert len(set(grid.find_bins(np.array(near)).tolist())) == 6
    assert judge(labels, row, sites, grid)[1] == 0.0
    assert len(questions(line)) <= MOST_QUESTIONS


@pytest.mark.parametrize("bins", [10, 40])
def test_the_plan_s_limit_is_kept_and_what_is_left_stands_in_the_bound(bins):
    labels, row, sites = draw(3, n=900)
    random = np.random.default_rng(4)
    row = 1 / (1 + np.exp(-random.normal(0.2 * labels, 1)))
    line = a_line(labels, {"one": row}, sites, evaluation={"bins": bins})

    (grid,) = agree(line)

    assert grid.edges.size == most_edges(line.plan) == 4 * bins
    value, bound, raw = judge(labels, row, sites, grid)
    assert 0 < abs(value - raw) <= bound < 0.025
    # The edges that there is room for went to all bins: a fourth of the bound of the first grid is left.
    (first,) = (first_grid_of(line.plan, scorer) for scorer in scorers_of(line.plan))
    assert bound < 0.3 * judge(labels, row, sites, first)[1]


def test_no_question_is_longer_than_a_site_answers():
    """Many patients of a fine plan: bins that are divided are not beside each other and count both edges."""
    labels, row, sites = draw(5, n=900)
    row = np.random.default_rng(6).random(900)
    line = a_line(labels, {"one": row, "two": row[::-1]}, sites)

    agree(line)

    (_, *dividing) = questions(line)
    assert dividing
    assert all(asked["edges"].size <= MOST_PIECES for asked in dividing)
    assert max(asked["edges"].size for asked in dividing) > MOST_PIECES / 4


def test_the_finest_plan_is_answered():
    labels, row, sites = draw(8)
    line = a_line(labels, {"one": row}, sites, evaluation={"bins": 100_000})

    (grid,) = agree(line)

    assert judge(labels, row, sites, grid)[1] == 0.0


def test_bins_wait_where_a_question_cannot_divide_all(monkeypatch):
    """A question of 150 edges over three scores, of which each has more mixed bins than a third of 50."""
    monkeypatch.setattr("common.program.score_bins.MOST_PIECES", 150)
    monkeypatch.setattr("common.program.score_bins._MOST_ROUNDS", 60)
    labels, _, sites = draw(9, n=120)
    random = np.random.default_rng(10)
    rows = {name: random.random(120).round(3) for name in NAMES}
    line = a_line(labels, rows, sites, evaluation={"bins": 40})
    first = first_grid_of(line.plan, scorers_of(line.plan)[0])

    grids = agree(line)

    for row, grid in zip(rows.values(), grids, strict=True):
        assert np.count_nonzero(find_mixed(first, count_by_bin(row, labels, first))) > 150 // 3 // 3
        assert judge(labels, row, sites, grid)[:2] == (pytest.approx(roc_auc_score(labels, row)), 0.0)
    assert all(asked["edges"].size <= 150 for asked in questions(line)[1:])


def test_scores_of_few_values_and_scores_that_may_not_be_judged_are_not_asked_for():
    labels, row, sites = draw(11)
    points = SCALE | {"name": "points", "column": "points", "low": 0, "high": 1, "step": 0.05}
    models = [points, *(SCALE | {"name": name, "column": name} for name in ("one", "two"))]
    line = a_line(labels, {"points": row.round(1), "one": row, "two": row}, sites, models=models)
    may_not = suppressed("a test")

    permitted = dict.fromkeys(cohorts_of(line.plan), (OK, OK, may_not))
    program = agree_on_grids(line.plan, permitted, is_complete=True)
    grids = carry_out(line, "grids", program)

    asked = questions(line)
    assert asked
    assert all(one["scorers"].tolist() == [1] for one in asked)
    assert grids[0].one_value
    assert grids[0].bins == 21
    np.testing.assert_array_equal(grids[2].edges, first_grid_of(line.plan, scorers_of(line.plan)[2]).edges)


def test_nothing_is_asked_where_every_score_has_few_values():
    labels, row, sites = draw(12)
    points = SCALE | {"name": "points", "column": "one", "low": 0, "high": 1, "step": 0.05}
    line = a_line(labels, {"one": row.round(1)}, sites, models=[points])

    agree(line)

    assert line.asked == []


def test_where_no_cohort_may_be_judged_nothing_is_asked():
    labels, row, sites = draw(13)
    line = a_line(labels, {"one": row}, sites)
    hidden = {cohort: (suppressed("too few"),) for cohort in cohorts_of(line.plan)}

    (grid,) = agree(line, hidden)

    assert questions(line) == []
    np.testing.assert_array_equal(grid.edges, first_grid_of(line.plan, scorers_of(line.plan)[0]).edges)
