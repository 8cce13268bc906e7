"""How far readers agree over sites in one process: as on pooled readings, and only where enough were read."""

from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.plans import plan_of
from sites.readings import cases_read_twice, icc_1_1, icc_2_1
from sklearn.metrics import cohen_kappa_score

from common.cohort.outcome import Volumes
from common.cohort.repeated_readings import column_of_reading
from common.errors import PlanError, SmallNumberError
from common.messages.headers import Operation
from common.plan.agreement import READING_PAIRS, ReadingPair
from server.phases.agreement import compare_readings

TWO = {"a": "train", "b": "external"}
THREE = {"a": "train", "b": "train", "c": "external"}


@pytest.fixture
def exchange(tmp_path):
    def make(roles, cases, **changes):
        settings = {"profile": "standard", "phases": ["agreement"], "agreement": {"same_readers": True}}
        plan = plan_of(roles, **settings | changes)
        sites = {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        return NearExchange(plan, sites)

    return make


def cases(**read):
    return {site: cases_read_twice(site, 40, 3, read=number) for site, number in read.items()}


def by_pairing(found):
    return {one.pairing: one for one in found}


def pooled_ratings(cases, pairing):
    """Both readings of whoever has them, from the patients' own rows."""
    pairs = []
    for case in (case for own in cases.values() for case in own):
        values = case.patient.values
        if pairing.kind == "volume":
            if pairing.reader in case.readings.repeated:
                pairs.append((case.readings.first.ich_ml, case.readings.repeated[pairing.reader].ich_ml))
            continue
        column = (
            pairing.name if pairing.reader == "first" else column_of_reading(pairing.name, pairing.reader)
        )
        other = values[pairing.name] if pairing.kind == "marker" else case.readings.suggested[pairing.name]
        if column in values:
            pairs.append((other, values[column]))
    return np.array(pairs, dtype=float)


@pytest.mark.parametrize("roles", [TWO, THREE])
def test_agreement_over_sites_is_that_of_all_readings_together(exchange, roles):
    of_sites = cases(**dict(zip(roles, (25, 20, 12), strict=False)))

    near = exchange(roles, of_sites)
    found = by_pairing(compare_readings(near))

    assert near.rounds == 2
    assert list(found) == list(READING_PAIRS)
    for pairing, one in found.items():
        if pairing.name == "ivh_volume_ml":
            continue
        ratings = pooled_ratings(of_sites, pairing)
        expected = icc_2_1(ratings) if pairing.kind == "volume" else cohen_kappa_score(*ratings.T)
        assert one.estimate.value == pytest.approx(expected, rel=1e-10, abs=1e-12)
        assert one.estimate.n_used == len(ratings)
        assert one.sites == len(roles)
    read = sum((25, 20, 12)[: len(roles)])
    assert found[ReadingPair("volume", "ich_volume_ml", "inter")].estimate.n_used == read
    assert found[ReadingPair("suggestion", "hypodensity", "first")].estimate.n_used == 40 * len(roles)
    assert found[ReadingPair("suggestion", "hypodensity", "inter")].estimate.n_used == read


def test_volumes_without_any_ivh_have_no_correlation(exchange):
    found = by_pairing(compare_readings(exchange(TWO, cases(a=25, b=20))))

    assert found[ReadingPair("volume", "ivh_volume_ml", "inter")].estimate.standing.kind == "undefined"


def test_readers_of_their_own_pool_by_the_form_that_needs_no_reader_twice(exchange):
    of_sites = cases(a=25, b=20)
    pairing = ReadingPair("volume", "ich_volume_ml", "inter")

    found = by_pairing(compare_readings(exchange(TWO, of_sites, agreement={"same_readers": False})))

    assert found[pairing].statistic == "ICC(1,1)"
    assert found[pairing].estimate.value == pytest.approx(icc_1_1(pooled_ratings(of_sites, pairing)))


def test_what_one_site_alone_read_is_a_release_of_its_own(exchange):
    """20 patients are enough for one site's own number, 19 are not; nobody else contributes."""
    pairing = ReadingPair("marker", "hypodensity", "inter")

    enough = by_pairing(compare_readings(exchange(THREE, cases(a=20, b=0, c=0))))[pairing]
    few = by_pairing(compare_readings(exchange(THREE, cases(a=19, b=0, c=0))))[pairing]

    assert enough.sites == few.sites == 1
    assert enough.estimate.value is not None
    assert (few.estimate.value, few.estimate.standing.kind) == (None, "suppressed")
    assert "fewer than 20 patients" in few.estimate.standing.reason


def test_with_two_sites_each_must_have_enough(exchange):
    """The other one could subtract its own: 9 of a site are hidden although 34 were read."""
    near = exchange(TWO, cases(a=25, b=9))

    found = by_pairing(compare_readings(near))

    assert all(one.estimate.value is None for one in found.values() if one.pairing.reader != "first")
    status = found[ReadingPair("marker", "hypodensity", "inter")].estimate.standing
    assert status.reason == "a site has too few patients for it"
    assert found[ReadingPair("suggestion", "hypodensity", "first")].estimate.value is not None
    asked = np.array([one.reader == "first" for one in READING_PAIRS])
    (parameters,) = {id(p): p for op, _, p in near.asked if op == Operation.AGREEMENT}.values()
    np.testing.assert_array_equal(parameters["asked"], asked)


def test_a_site_refuses_what_its_guard_objected_to(exchange):
    near = exchange(TWO, cases(a=25, b=9))
    everything = {"asked": np.ones(len(READING_PAIRS), dtype=bool)}

    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        near.summaries(Operation.AGREEMENT, ["b"], everything)


def test_a_cohort_of_readings_too_near_to_a_released_one_is_not_read_out(exchange, tmp_path):
    """Second readings of 25 patients, then of 28: the difference would tell of three."""
    compare_readings(exchange(THREE, cases(a=25, b=20, c=20)))

    found = by_pairing(compare_readings(exchange(THREE, cases(a=28, b=20, c=20))))

    for pairing, one in found.items():
        assert (one.estimate.value is None) is (pairing.reader != "first" or pairing.kind == "volume")
    reason = found[ReadingPair("marker", "hypodensity", "inter")].estimate.standing.reason
    assert "too few patients more or less" in reason


@pytest.mark.parametrize("changed", [0, 3, 10])
def test_few_corrected_masks_are_a_cohort_too_near_to_the_one_before(exchange, changed):
    """Nothing in the table differs, but sums would tell of the patients whose second masks were redrawn."""
    before = cases(a=25, b=20, c=20)
    compare_readings(exchange(THREE, before))
    after = {
        site: tuple(redrawn(case) if site == "a" and n < changed else case for n, case in enumerate(own))
        for site, own in before.items()
    }

    found = by_pairing(compare_readings(exchange(THREE, after)))

    shown = found[ReadingPair("volume", "ich_volume_ml", "inter")].estimate.value is not None
    assert shown is (changed != 3)


def redrawn(case):
    repeated = {name: Volumes(one.ich_ml + 1, one.ivh_ml) for name, one in case.readings.repeated.items()}
    return replace(case, readings=replace(case.readings, repeated=repeated))


@pytest.mark.parametrize("operation", [Operation.GUARD, Operation.AGREEMENT])
def test_a_site_tells_nothing_of_readings_that_the_plan_does_not_ask_for(exchange, operation):
    near = exchange(TWO, cases(a=25, b=20), phases=["cohort"])
    everything = {"asked": np.ones(len(READING_PAIRS), dtype=bool)}

    with pytest.raises(PlanError, match="phases"):
        near.summaries(
            operation, ["a"], everything, stage="agreement" if operation == Operation.GUARD else ""
        )
