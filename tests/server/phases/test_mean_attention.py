"""Means of attention maps over sites that follow the program: as over all patients, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from sites.followed import FollowedExchange
from sites.mapped import FIELD, make_mapped_site, open_mapped, plan_mapped

from client.answers.attention_sums import list_mapped_patients, sum_maps
from common.errors import NotThePlanError, SmallNumberError
from common.messages.catalogue import Operation
from common.plan.mapped_cohorts import list_mapped_cohorts
from common.program.attention_means import average_attention
from common.program.names import MEAN_ATTENTION
from common.stats.differencing import TOO_CLOSE
from common.stats.estimate import undefined
from server.procedures import carry_out
from server.results.mean_attention import read_cells, record_mean_attention

ROLES = {"a": "train", "b": "train", "c": "train", "d": "external"}


@pytest.fixture
def line(tmp_path):
    def make(sites, **settings):
        roles = {name: role for name, role in ROLES.items() if name in sites}
        plan = plan_mapped(roles, **settings)
        return FollowedExchange(plan, open_mapped(plan, sites, tmp_path))

    return make


def average(exchange, unexplained=None):
    summed = carry_out(exchange, MEAN_ATTENTION, average_attention(exchange.plan))
    found = record_mean_attention(exchange.plan, summed, unexplained or {})
    return {("".join(one.cohort_sites), one.positive): one for one in found}


def pool(sites, positive):
    """The mean over the patients of these sites with an outcome."""
    return np.mean(
        [
            maps[case.patient.identifier]
            for cases, maps in sites
            for case in cases
            if case.part == "test" and case.positive == positive
        ],
        axis=0,
    )


def test_the_mean_over_sites_is_that_of_all_their_patients(line):
    sites = {name: make_mapped_site(seed) for seed, name in enumerate("abcd")}

    means = average(line(sites))

    assert {key for key, mean in means.items() if mean.standing.ok} == {
        (together, positive) for together in ("a", "b", "c", "d", "abc") for positive in (False, True)
    }
    for (together, positive), mean in means.items():
        pooled = pool([sites[name] for name in together], positive)[(slice(None), *FIELD)]
        np.testing.assert_allclose(read_cells(mean.attention), pooled[0], atol=1e-4)
        np.testing.assert_allclose(read_cells(mean.lesion), pooled[1], atol=1e-4)
        assert (mean.patients, mean.sites) == (24 * len(together), len(together))
        assert (mean.left_mm, mean.front_mm) == (-17.5, -27.5)
    assert means["abc", True].part == "test"
    assert means["d", True].part == "whole"


def test_before_rounding_it_is_theirs_to_a_millionth(line):
    sites = {name: make_mapped_site(seed) for seed, name in enumerate("ab")}
    exchange = line(sites)

    summed = carry_out(exchange, MEAN_ATTENTION, average_attention(exchange.plan))

    sums = summed.sums.of(("a", "b")).part("positive/0")
    mean = sums.counts["map"] / 1e6 / summed.patients[list_mapped_cohorts(exchange.plan)[-1], "positive"][0]
    np.testing.assert_allclose(mean, pool(sites.values(), True), atol=1e-6)


def test_one_site_s_few_patients_are_in_the_sum_but_not_shown_alone(line):
    few = make_mapped_site(1, negatives=24, positives=8)
    sites = {"a": make_mapped_site(0), "b": few, "c": make_mapped_site(2)}

    means = average(line(sites))

    assert means["abc", True].standing.ok
    assert means["abc", True].patients == 56
    assert not means["b", True].standing.ok
    assert means["b", True].attention == ()
    assert means["b", True].patients is None
    assert means["b", False].standing.ok


def test_what_a_site_sends_as_its_own_of_too_few_patients_is_zero(line):
    few = make_mapped_site(1, positives=8)
    exchange = line({"a": make_mapped_site(0), "b": few, "c": make_mapped_site(2)})
    carry_out(exchange, MEAN_ATTENTION, average_attention(exchange.plan))
    operation, _, parameters = next(one for one in exchange.asked if one[:2] == (Operation.ATTENTION, "b"))
    header = exchange.make_header(operation, parameters, {})

    answer = exchange.sites["b"].answer(header, parameters)
    own = exchange.sites["b"].withhold_few(header, parameters, answer)

    assert answer.counts["positive/0/map"].any()
    assert not own.counts["positive/0/map"].any()
    assert not own.counts["positive/0/reached"].any()
    assert own.counts["negative/0/map"].any()


def test_a_site_with_fewer_patients_than_a_cell_may_hold_adds_none(line):
    sites = {
        name: make_mapped_site(seed, positives=4 if seed == 1 else 24) for seed, name in enumerate("abcd")
    }
    exchange = line(sites)

    mean = average(exchange)["abc", True]

    # Of three sites two remain, and a sum needs three
    assert mean.standing.reason == "fewer than 3 sites with patients"
    assert all(one.counts["classes"].sum() == 0 for one in [count(exchange, "b", "positive")])


def count(exchange, site, outcome):
    header = exchange.make_header(Operation.GUARD, {}, {"stage": "attention"})
    return exchange.sites[site].answer(header, {}).part(outcome)


def test_with_two_sites_each_needs_enough_patients(line):
    sites = {"a": make_mapped_site(0), "b": make_mapped_site(1, positives=8)}

    means = average(line(sites))

    assert means["ab", True].standing.reason == "a site has too few patients for it"
    assert means["ab", False].standing.ok


def test_what_lies_in_few_patients_of_one_site_is_in_no_sum(line):
    sites = {name: make_mapped_site(seed) for seed, name in enumerate("abc")}
    for number, maps in enumerate(maps for case, maps in sites["b"][1].items() if "True" in case):
        maps[:, 10, 10] = 0.9 if number < 4 else 0  # four have something
        maps[:, 10, 11] = 0.9 if number < 5 else 0

    means = average(line(sites))

    for together, hidden in (("b", True), ("abc", True), ("a", False)):
        rows = read_cells(means[together, True].attention)
        assert np.isnan(rows[4, 2]) == hidden
        assert not np.isnan(rows[4, 3])
        assert not np.isnan(read_cells(means[together, False].attention)).any()


def test_a_network_that_could_not_be_explained_says_so(line):
    exchange = line({name: make_mapped_site(seed) for seed, name in enumerate("abc")})
    why = undefined("too little memory")

    means = average(exchange, {("Net", "federated"): why})

    assert {mean.standing for mean in means.values()} == {why}


def test_patients_without_a_map_are_missing(line, tmp_path):
    exchange = line({name: make_mapped_site(seed) for seed, name in enumerate("abc")})
    for path in (tmp_path / "b").rglob("maps/*/Net/federated.npz"):
        path.unlink()

    counted = count(exchange, "b", "positive").counts
    mean = average(exchange)["abc", True]

    assert (counted["classes"].sum(), counted["missing"][0]) == (0, 24)
    assert mean.standing.reason == "fewer than 3 sites with patients"


def test_nothing_is_asked_of_a_cohort_that_is_close_to_one_of_another_study(line):
    sites = {name: make_mapped_site(seed) for seed, name in enumerate("abc")}
    average(line(sites))
    cases, maps = sites["b"]
    fewer = tuple(case for case in cases if case.patient.identifier != "PTrue00")

    exchange = line(sites | {"b": (fewer, maps)}, name="The same, one patient less")
    means = average(exchange)

    assert not count(exchange, "b", "positive").counts["classes"].any()
    assert {means[together, True].standing.reason for together in ("b", "abc")} == {TOO_CLOSE}
    assert means["a", True].standing.ok


def test_a_question_for_too_few_is_refused(line):
    exchange = line({"a": make_mapped_site(0, positives=8)}, arms={"local_models": True})
    parameters = {"asked": np.ones((1, 2, 1), dtype=bool)}
    header = exchange.make_header(Operation.ATTENTION, parameters, {})

    with pytest.raises(SmallNumberError, match="a mean of attention maps was asked for with too few"):
        exchange.sites["a"].answer(header, parameters)
    with pytest.raises(NotThePlanError):
        exchange.gather(Operation.ATTENTION, parameters, procedure=MEAN_ATTENTION, step=1)


def test_a_group_is_asked_as_a_whole_or_not_at_all(line):
    class Alone(FollowedExchange):
        """Asks for two of three sites' patients of one outcome, to find the third's by subtraction."""

        def gather(self, operation, parameters=None, weights=None, **context):
            if operation is Operation.ATTENTION:
                asked = parameters["asked"].copy()
                asked[1] = False
                parameters = {"asked": asked}
            return super().gather(operation, parameters, weights, **context)

    honest = line({"a": make_mapped_site(0, positives=8), "b": make_mapped_site(1), "c": make_mapped_site(2)})
    with pytest.raises(NotThePlanError, match="asked in no group"):
        average(Alone(honest.plan, honest.sites))


def test_a_plan_without_means_does_not_lead_to_the_question(line):
    exchange = line({name: make_mapped_site(seed) for seed, name in enumerate("abc")}, explanation={})

    with pytest.raises(NotThePlanError, match="no procedure 'mean attention'"):
        average(exchange)


def test_what_is_counted_and_summed_is_of_the_same_patients(line):
    exchange = line({name: make_mapped_site(seed) for seed, name in enumerate("abc")})
    header = exchange.make_header(Operation.GUARD, {}, {"stage": "attention"})
    inquiry = exchange.sites["a"]._inquire(header, {})

    behind = {one.part: one for one in list_mapped_patients(inquiry)}
    sums = sum_maps(inquiry)

    for outcome, backing in behind.items():
        assert backing.complete.sum() == 24
        assert sums.counts[f"{outcome}/0/map"].any()
        assert backing.cohort == "test"


def test_a_site_without_a_tested_patient_adds_nothing(line):
    sites = {name: make_mapped_site(seed) for seed, name in enumerate("abcd")}
    sites["c"] = make_mapped_site(2, negatives=0, positives=0)
    exchange = line(sites, profile="simulation")

    means = average(exchange)

    assert means["abc", True].patients == 48
    assert means["abc", True].sites == 2
    assert means["c", True].standing.reason == "no patients"
