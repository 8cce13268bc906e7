from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.stats.contract import Summary, total
from common.stats.differencing import TOO_CLOSE
from common.stats.guard import Demand, find_short_analyses, finish_guard, local_guard
from common.stats.minima import SIMULATION, STANDARD


def counted(negatives, positives, missing=0, sites=3, *, short=0, close=0):
    return Summary(
        {
            "classes": np.array([[negatives, positives]]),
            "missing": np.array([missing]),
            "sites": np.array([sites]),
            "short": np.array([short]),
            "close": np.array([close]),
        }
    )


def test_counts_by_hand():
    complete = np.array([[True, True, False, True], [False, False, False, False]])

    counts = local_guard(complete, np.array([True, False, True, False])).counts

    assert counts["classes"].tolist() == [[2, 1], [0, 0]]
    assert counts["missing"].tolist() == [1, 4]
    assert counts["sites"].tolist() == [1, 0]
    assert counts["short"].tolist() == counts["close"].tolist() == [0, 0]


def test_objections_of_the_sites_are_counted():
    complete, labels = np.ones((2, 3), dtype=bool), np.array([True, False, True])
    one, other = np.array([True, False]), np.array([True, True])

    counts = total([local_guard(complete, labels, one, other), local_guard(complete, labels, one)]).counts

    assert (counts["short"].tolist(), counts["close"].tolist()) == ([2, 0], [1, 1])


@pytest.mark.parametrize(
    ("objection", "patients", "reason", "shown"),
    [
        ({"short": 1}, 40, "a site has too few patients for it", 80),
        ({"close": 1}, 40, TOO_CLOSE, None),
        # The site that objects has counted nobody
        ({"close": 1}, 0, TOO_CLOSE, None),
        ({"short": 1, "close": 1}, 40, TOO_CLOSE, None),
    ],
)
def test_one_site_that_objects_stops_the_payload(objection, patients, reason, shown):
    (result,) = finish_guard(counted(patients, patients, **objection), (Demand("description"),), STANDARD)

    assert (result.status.kind, result.status.reason, result.n_used) == ("suppressed", reason, shown)


def test_what_a_site_has_too_few_for():
    labels = np.arange(30) < 9
    complete = np.stack([np.ones(30, dtype=bool), np.ones(30, dtype=bool), labels, np.zeros(30, dtype=bool)])
    demands = tuple(map(Demand, ("description", "discrimination", "description", "description")))

    assert find_short_analyses(complete, labels, demands, STANDARD).tolist() == [False, True, True, False]
    assert not find_short_analyses(complete, labels, demands, SIMULATION).any()
    with pytest.raises(ValueError, match="zip"):
        find_short_analyses(complete, labels, demands[:1], STANDARD)


@pytest.mark.parametrize("purpose", ["discrimination", "regression", "ridge"])
@pytest.mark.parametrize(
    ("negatives", "positives", "short"),
    [
        (0, 0, False),
        (30, 0, False),
        (0, 30, False),
        (9, 0, True),
        (0, 9, True),
        (30, 9, True),
        (30, 10, False),
    ],
)
def test_an_outcome_that_a_site_has_not_is_no_number_of_few(purpose, negatives, positives, short):
    labels = np.arange(negatives + positives) < positives
    complete = np.ones((1, len(labels)), dtype=bool)

    assert find_short_analyses(complete, labels, (Demand(purpose, 1),), STANDARD).tolist() == [short]


def test_calls_need_one_outcome_and_enough_of_it():
    demands = (Demand("calls"), Demand("calls", one_site=True))

    found = [
        [guard.status.ok for guard in finish_guard(one, (demand,), STANDARD, two_site_ack=True)]
        for demand in demands
        for one in (counted(10, 0), counted(9, 0), counted(0, 19), counted(0, 20))
    ]

    assert found == [[True], [False], [True], [True], [False], [False], [False], [True]]


@pytest.mark.parametrize(
    ("purpose", "least", "below"),
    [
        ("description", (20, 0), (19, 0)),
        ("agreement", (10, 10), (10, 9)),
        ("discrimination", (10, 10), (60, 9)),
        ("regression", (10, 10), (9, 60)),
    ],
)
def test_a_cohort_of_one_site_is_a_release_of_that_site(purpose, least, below):
    (alone,) = finish_guard(counted(*least, sites=1), (Demand(purpose, one_site=True),), STANDARD)
    (few,) = finish_guard(counted(*below, sites=1), (Demand(purpose, one_site=True),), STANDARD)
    (several,) = finish_guard(counted(*least, sites=1), (Demand(purpose),), STANDARD)

    assert alone.status.ok
    assert "fewer than" in few.status.reason
    assert "sites with patients" in several.status.reason


def test_classes_of_one_site_have_their_own_minimum():
    demands = (Demand("discrimination", one_site=True),)
    strict = replace(STANDARD, site_per_class=15)

    assert finish_guard(counted(15, 15, sites=1), demands, strict)[0].status.ok
    assert not finish_guard(counted(15, 14, sites=1), demands, strict)[0].status.ok
    assert finish_guard(counted(15, 14), (Demand("discrimination"),), strict)[0].status.ok


def test_federated_equals_pooled_and_counts_only_sites_with_patients(federations):
    random = np.random.default_rng(0)
    labels, complete = random.random(200) < 0.4, random.random((3, 200)) < 0.9
    demands = (Demand("description"), Demand("discrimination"), Demand("regression", 5))

    for sites, contributing in zip(federations(labels), (1, 2, 2, 6), strict=True):
        summary = total(local_guard(complete[:, site], labels[site]) for site in sites)
        for row, result in enumerate(finish_guard(summary, demands, STANDARD)):
            assert (result.n_used, result.n_missing) == (complete[row].sum(), (~complete[row]).sum())
            assert result.sites == contributing
            assert result.status.ok == (contributing >= 3)


@pytest.mark.parametrize(
    ("demand", "least", "below"),
    [
        (Demand("description"), (10, 0), (9, 0)),
        (Demand("agreement"), (0, 10), (0, 9)),
        (Demand("discrimination"), (10, 10), (50, 9)),
        (Demand("discrimination"), (10, 10), (9, 50)),
        (Demand("regression", 3), (10, 10), (50, 9)),
        (Demand("regression", 3), (10, 10), (10, 9)),
        (Demand("regression", 7), (20, 20), (20, 19)),
        (Demand("discrimination"), (10, 10), (50, 0)),
        (Demand("description"), (10, 0), (0, 0)),
    ],
)
def test_every_minimum_stops_the_payload(demand, least, below):
    assert finish_guard(counted(*least), (demand,), STANDARD)[0].status.ok
    assert not finish_guard(counted(*below), (demand,), STANDARD)[0].status.ok


@pytest.mark.parametrize(
    ("sites", "ack", "ok"), [(3, False, True), (2, False, False), (2, True, True), (1, True, False)]
)
def test_sites(sites, ack, ok):
    (result,) = finish_guard(
        counted(40, 40, sites=sites), (Demand("discrimination"),), STANDARD, two_site_ack=ack
    )

    assert result.status.ok is ok
    assert ok or "sites with patients" in result.status.reason


def test_one_site_may_simulate():
    (result,) = finish_guard(counted(4, 4, sites=1), (Demand("discrimination"),), SIMULATION)

    assert result.status.ok


def test_few_missing_hide_both_numbers():
    (result,) = finish_guard(counted(40, 40, missing=3), (Demand("description"),), STANDARD)

    assert (result.n_used, result.n_missing, result.status.ok) == (None, None, True)


def test_refuses_what_does_not_belong_together():
    with pytest.raises(ValueError, match="belong"):
        local_guard(np.ones((2, 3), dtype=bool), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="'short' is of"):
        local_guard(np.ones((2, 4), dtype=bool), np.ones(4, dtype=bool), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="demanded"):
        finish_guard(counted(10, 10), (), STANDARD)
