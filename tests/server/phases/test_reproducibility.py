"""The ICC filter over sites in this process: as on pooled readings, of training patients, minima kept."""

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.plans import LOGISTIC, plan_of
from sites.readings import NOISY, SCALE, cases_read_twice, icc_2_1

from common.errors import ProtocolError, SmallNumberError
from common.messages.catalogue import Operation
from common.program.reader_agreement import judge_features
from common.radiomics.features import FEATURES
from server.procedures import carry_out

MODEL = LOGISTIC | {"name": "Combined", "covariates": ["radiomics"]}
SITES = {"a": "train", "b": "train", "c": "train"}
PAPERS = ({"sessions": 2}, {})
TWO = {"a": "train", "b": "train"}


@pytest.fixture
def exchange(tmp_path):
    def make(cases, *, same_readers=True, readers=PAPERS, **radiomics):
        settings = {"readings": ["intra", "inter"], **radiomics}
        plan = plan_of(
            {name: SITES[name] for name in cases},
            MODEL,
            profile="standard",
            phases=["training"],
            radiomics=settings,
            agreement={"same_readers": same_readers, "readers": readers},
        )
        sites = {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        return NearExchange(plan, sites)

    return make


def judge(near):
    return carry_out(near, "readings", judge_features(near.plan, near.plan.arm("federated")))


def cases(**read):
    return {site: cases_read_twice(site, 45, 3, read=number) for site, number in read.items()}


def ratings(cases, reading, feature):
    return np.array(
        [
            (case.features[feature], case.readings.features[reading][feature])
            for case in cases
            if reading in case.readings.features
        ]
    )


def test_every_feature_s_icc_over_sites_is_that_of_all_readings_together(exchange):
    of_sites = cases(a=30, b=22, c=12)

    near = exchange(of_sites)
    found = judge(near)

    assert near.rounds == 3
    ((sites, judged),) = found.agreements.items()
    assert sites == ("a", "b", "c")
    everybody = [case for own in of_sites.values() for case in own]
    assert SCALE.max() == 1e9
    for reading, estimates in judged.estimates.items():
        expected = [icc_2_1(ratings(everybody, reading, index)) for index in range(len(FEATURES))]
        np.testing.assert_allclose([one.value for one in estimates], expected, rtol=1e-9, atol=1e-12)
        assert {one.n_used for one in estimates} == {64}
    np.testing.assert_array_equal(found.retained, ~NOISY)


def test_features_of_three_readers_are_judged_one_by_one_and_all_at_once(exchange):
    readings = ("intra", "reader1-session3", "inter", "reader3-session1")
    of_sites = {
        site: cases_read_twice(site, 45, 3, read=number, readings=readings)
        for site, number in {"a": 30, "b": 22, "c": 12}.items()
    }
    together = {
        "reader3-session1": ("first", "reader3-session1"),
        "all-readers": ("first", "inter", "reader3-session1"),
        "all-sessions": ("first", "intra", "reader1-session3"),
    }

    found = judge(exchange(of_sites, readers=[{"sessions": 3}, {}, {}], readings=list(together)))

    ((_, judged),) = found.agreements.items()
    everybody = [case for own in of_sites.values() for case in own if case.readings.features]
    assert set(judged.estimates) == set(together)
    for name, estimates in judged.estimates.items():
        features = np.array(
            [
                [{"first": case.features, **case.readings.features}[one] for one in together[name]]
                for case in everybody
            ]
        )
        expected = [icc_2_1(features[:, :, index]) for index in range(len(FEATURES))]
        np.testing.assert_allclose([one.value for one in estimates], expected, rtol=1e-9, atol=1e-12)
        assert {one.n_used for one in estimates} == {64}
    np.testing.assert_array_equal(found.retained, ~NOISY)


def test_sites_with_readers_of_their_own_are_judged_apart_and_intersected(exchange):
    of_sites = cases(a=30, b=22)

    found = judge(exchange(of_sites, same_readers=False))

    assert list(found.agreements) == [("a",), ("b",)]
    for (site,), judged in found.agreements.items():
        expected = [icc_2_1(ratings(of_sites[site], "inter", index)) for index in range(len(FEATURES))]
        values = [one.value for one in judged.estimates["inter"]]
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)
    both = np.logical_and(*(judged.retained for judged in found.agreements.values()))
    np.testing.assert_array_equal(found.retained, both)


def test_a_site_below_a_release_of_its_own_is_left_out_and_named(exchange):
    found = judge(exchange(cases(a=30, b=19, c=0), same_readers=False))

    assert list(found.agreements) == [("a",)]
    assert "too few" in found.left_out["b"].reason or "fewer than 20" in found.left_out["b"].reason
    assert found.left_out["c"].reason == "no patient was read again"


def test_without_readings_enough_there_is_no_filter_and_no_silent_pass(exchange):
    found = judge(exchange(cases(a=9, b=9), same_readers=True))

    assert found.status.kind == "suppressed"
    assert found.agreements == {}


def test_a_tested_patient_decides_nothing(exchange):
    of_sites = cases(a=30, b=25)
    of_sites["b"] += cases_read_twice("tested", 20, 1, read=20, part="test")

    ((_, judged),) = judge(exchange(of_sites)).agreements.items()

    assert {one.n_used for one in judged.estimates["inter"]} == {55}


def test_one_reading_and_its_lower_bound_as_the_plan_says(exchange):
    of_sites = cases(a=30, b=25)

    found = judge(exchange(of_sites, readings=["inter"], icc_judged="low"))

    ((_, judged),) = found.agreements.items()
    assert set(judged.estimates) == {"inter"}
    lows = np.array([one.low for one in judged.estimates["inter"]])
    np.testing.assert_array_equal(found.retained, lows > 0.80)


def test_a_site_refuses_sums_below_its_minima_whatever_the_coordinator_made_of_them(exchange):
    near = exchange(cases(a=30, b=9), same_readers=False)

    for operation in (Operation.READING_MEANS, Operation.READING_SUMS):
        with pytest.raises(SmallNumberError, match="too few patients"):
            near.summaries(operation, ["b"], {"asked": np.array([True, True])})


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("asked"),
        lambda p: p.pop("centre.inter"),
        lambda p: p.update({"scale.inter": np.zeros(len(FEATURES))}),
        lambda p: p.update({"centre.inter": np.zeros(3)}),
    ],
)
def test_malformed_means_are_refused(exchange, change):
    near = exchange(cases(a=30, b=25))
    arrays = {"centre": np.zeros(len(FEATURES)), "scale": np.ones(len(FEATURES))}
    parameters = {f"{name}.{reading}": a for reading in ("intra", "inter") for name, a in arrays.items()}
    parameters["asked"] = np.array([True, True])
    change(parameters)

    with pytest.raises(ProtocolError):
        near.summaries(Operation.READING_SUMS, ["a"], parameters)


def test_a_site_that_is_not_asked_adds_nothing(exchange):
    near = exchange(cases(a=30, b=19), same_readers=False)
    judge(near)

    answer = near.summaries(Operation.READING_MEANS, ["b"], {"asked": np.array([True, False])})["b"]

    assert all(not array.any() for array in (*answer.counts.values(), *answer.reals.values()))
    asked = [parameters["asked"].tolist() for _, _, parameters in near.asked if "asked" in parameters]
    assert asked[:4] == [[True, False]] * 4
