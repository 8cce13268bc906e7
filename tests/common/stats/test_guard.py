from __future__ import annotations

import numpy as np
import pytest

from common.errors import SmallNumberError
from common.stats.contract import Summary, total
from common.stats.guard import Demand, check_site, finish_guard, local_guard
from common.stats.minima import SIMULATION, STANDARD


def counted(negatives, positives, missing=0, sites=3):
    return Summary(
        {
            "classes": np.array([[negatives, positives]]),
            "missing": np.array([missing]),
            "sites": np.array([sites]),
        }
    )


def test_counts_by_hand():
    complete = np.array([[True, True, False, True], [False, False, False, False]])

    counts = local_guard(complete, np.array([True, False, True, False])).counts

    assert counts["classes"].tolist() == [[2, 1], [0, 0]]
    assert counts["missing"].tolist() == [1, 4]
    assert counts["sites"].tolist() == [1, 0]


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


def test_two_sites_check_themselves():
    demands = (Demand("discrimination"),)

    check_site(counted(10, 10), demands, STANDARD)
    check_site(counted(0, 0), demands, STANDARD)
    with pytest.raises(SmallNumberError, match="discrimination of two sites"):
        check_site(counted(30, 9), demands, STANDARD)


def test_refuses_what_does_not_belong_together():
    with pytest.raises(ValueError, match="belong"):
        local_guard(np.ones((2, 3), dtype=bool), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="demanded"):
        finish_guard(counted(10, 10), (), STANDARD)
