from __future__ import annotations

import numpy as np
import pytest

from common.radiomics.stable_features import (
    StabilityCriterion,
    estimate_agreement,
    retain_everywhere,
)
from common.stats.contract import total
from common.stats.estimate import Estimate, Interval, absent, suppressed
from common.stats.icc import local_icc
from common.stats.minima import SIMULATION, STANDARD

NOISE = np.array([0.05, 0.3, 0.8, 0.05])
"""Of a reading beside a feature's own spread of 1: ICC about 1.0, 0.92, 0.6 and 1.0."""


def ratings(n, noise, seed, shift=0.0):
    """(features, n, 2): the second rater differs by noise, and by a constant."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(len(noise), n, 1))
    read = truth + noise[:, None, None] * random.normal(size=(len(noise), n, 2))
    read[:, :, 1] += shift
    return read


def readings(intra, inter):
    return {
        reading: local_icc(one, np.zeros(len(one))) for reading, one in (("intra", intra), ("inter", inter))
    }


def estimate(value, low=None):
    return Estimate.of(value, None if low is None else Interval(low, 1.0, "F"), "ICC(2,1)", 20, 0)


def test_retained_within_and_between_readers():
    inter = ratings(60, NOISE, 2)
    inter[3] = np.random.default_rng(5).normal(size=(60, 2))

    found = estimate_agreement(readings(ratings(60, NOISE, 1), inter), StabilityCriterion())

    assert found.estimates["intra"][3].value > 0.9 > found.estimates["inter"][3].value
    np.testing.assert_array_equal(found.retained, [True, True, False, False])


def test_the_threshold_itself_is_not_enough():
    assert StabilityCriterion().is_met(estimate(0.8000001, 0.7))
    assert not StabilityCriterion().is_met(estimate(0.80, 0.7))


def test_lower_bound_is_stricter():
    strict = StabilityCriterion(judged="low")

    assert not strict.is_met(estimate(0.85, 0.79))
    assert strict.is_met(estimate(0.85, 0.81))
    assert strict.is_met(estimate(1.0))
    assert not strict.is_met(estimate(0.97))


def test_what_may_not_be_shown_is_not_retained():
    few = estimate_agreement(
        readings(ratings(9, NOISE, 1), ratings(9, NOISE, 1)), StabilityCriterion(), STANDARD
    )

    assert not few.retained.any()
    assert few.estimates["intra"][0].standing.kind == "suppressed"
    assert not StabilityCriterion().is_met(absent(suppressed("few"), "ICC(2,1)"))


def test_constant_difference_of_readers_counts_only_in_the_absolute_form():
    inter = ratings(60, NOISE[:1], 2, shift=1.0)
    found = {
        form: estimate_agreement(
            readings(ratings(60, NOISE[:1], 1), inter), StabilityCriterion(form)
        ).retained[0]
        for form in ("ICC(2,1)", "ICC(3,1)")
    }

    assert found == {"ICC(2,1)": False, "ICC(3,1)": True}


@pytest.mark.parametrize("judged", ["value", "low"])
def test_sums_of_sites_equal_all_readings_together(judged):
    intra, inter = (ratings(60, NOISE, seed) for seed in (1, 2))
    sites = [readings(intra[:, part], inter[:, part]) for part in (slice(0, 17), slice(17, None))]
    criterion = StabilityCriterion(judged=judged)

    together = {reading: total(site[reading] for site in sites) for reading in sites[0]}
    federated = estimate_agreement(together, criterion)
    pooled = estimate_agreement(readings(intra, inter), criterion)

    pairs = [
        pair
        for reading in ("intra", "inter")
        for pair in zip(federated.estimates[reading], pooled.estimates[reading], strict=True)
    ]
    assert len(pairs) == 8
    for ours, whole in pairs:
        assert ours.value == pytest.approx(whole.value, rel=1e-12)
        assert ours.low == pytest.approx(whole.low, rel=1e-10)
    np.testing.assert_array_equal(federated.retained, pooled.retained)


def test_other_readers_are_judged_site_by_site_and_intersected():
    first = readings(ratings(30, np.array([0.1, 0.1, 2.0]), 1), ratings(30, np.array([0.1, 0.1, 0.1]), 2))
    second = readings(ratings(30, np.array([0.1, 2.0, 0.1]), 3), ratings(30, np.array([0.1, 0.1, 0.1]), 4))

    found = [estimate_agreement(site, StabilityCriterion(), SIMULATION) for site in (first, second)]

    assert [one.retained.tolist() for one in found] == [[True, True, False], [True, False, True]]
    np.testing.assert_array_equal(retain_everywhere(found), [True, False, False])


def test_a_feature_that_some_cases_lack_is_judged_by_the_others():
    intra, inter = (ratings(60, NOISE, seed) for seed in (1, 2))
    inter[1, :7, 0] = np.nan

    found = estimate_agreement(readings(intra, inter), StabilityCriterion())

    assert (found.estimates["inter"][1].n_used, found.estimates["inter"][0].n_used) == (53, 60)
    assert found.retained[1]


def test_nothing_read_retains_nothing_by_accident():
    with pytest.raises(ValueError, match="no readings"):
        retain_everywhere([])
    with pytest.raises(ValueError, match="no readings"):
        estimate_agreement({}, StabilityCriterion())
    with pytest.raises(ValueError, match="shorter"):
        _ = estimate_agreement(
            readings(ratings(12, NOISE, 1), ratings(12, NOISE[:2], 1)), StabilityCriterion()
        ).retained
    with pytest.raises(ValueError, match="threshold"):
        StabilityCriterion(threshold=1.0)


def test_one_reading_suffices_where_the_plan_names_one():
    inter = ratings(60, NOISE, 2)

    found = estimate_agreement({"inter": local_icc(inter, np.zeros(4))}, StabilityCriterion())

    np.testing.assert_array_equal(found.retained, [True, True, False, True])
