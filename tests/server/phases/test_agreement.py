"""How far readers agree over sites in one process: as on pooled readings, and only where enough were read."""

from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.plans import plan_of
from sites.readings import cases_read_twice, icc_1_1, icc_2_1
from sklearn.metrics import cohen_kappa_score

from common.cohort.outcome import Volumes
from common.cohort.repeated_readings import MARKERS, column_of_reading, list_readings
from common.errors import PlanError, SmallNumberError
from common.messages.catalogue import Operation
from common.plan.agreement import ReadingComparison, list_comparisons
from common.plan.sections import Agreement
from server.phases.agreement import compare_readings

PAPERS = list_comparisons(Agreement())
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
    return {one.comparison: one for one in found}


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
    assert list(found) == list(PAPERS)
    for pairing, one in found.items():
        if pairing.name == "ivh_volume_ml":
            continue
        ratings = pooled_ratings(of_sites, pairing)
        expected = icc_2_1(ratings) if pairing.kind == "volume" else cohen_kappa_score(*ratings.T)
        assert one.estimate.value == pytest.approx(expected, rel=1e-10, abs=1e-12)
        assert one.estimate.n_used == len(ratings)
        assert one.sites == len(roles)
    read = sum((25, 20, 12)[: len(roles)])
    assert found[ReadingComparison("volume", "ich_volume_ml", ("first", "inter"))].estimate.n_used == read
    assert found[ReadingComparison("suggestion", "hypodensity", ("first",))].estimate.n_used == 40 * len(
        roles
    )
    assert found[ReadingComparison("suggestion", "hypodensity", ("inter",))].estimate.n_used == read


def test_volumes_without_any_ivh_have_no_correlation(exchange):
    found = by_pairing(compare_readings(exchange(TWO, cases(a=25, b=20))))

    assert (
        found[ReadingComparison("volume", "ivh_volume_ml", ("first", "inter"))].estimate.standing.kind
        == "undefined"
    )


def test_readers_of_their_own_pool_by_the_form_that_needs_no_reader_twice(exchange):
    of_sites = cases(a=25, b=20)
    pairing = ReadingComparison("volume", "ich_volume_ml", ("first", "inter"))

    found = by_pairing(compare_readings(exchange(TWO, of_sites, agreement={"same_readers": False})))

    assert found[pairing].statistic == "ICC(1,1)"
    assert found[pairing].estimate.value == pytest.approx(icc_1_1(pooled_ratings(of_sites, pairing)))


def test_what_one_site_alone_read_is_a_release_of_its_own(exchange):
    """20 patients are enough for one site's own number, 19 are not; nobody else contributes."""
    pairing = ReadingComparison("marker", "hypodensity", ("first", "inter"))

    enough = by_pairing(compare_readings(exchange(THREE, cases(a=20, b=0, c=0))))[pairing]
    few = by_pairing(compare_readings(exchange(THREE, cases(a=0, b=19, c=0))))[pairing]

    assert enough.sites == few.sites == 1
    assert enough.estimate.value is not None
    assert (few.estimate.value, few.estimate.standing.kind) == (None, "suppressed")
    assert "fewer than 20 patients" in few.estimate.standing.reason


def test_with_two_sites_each_must_have_enough(exchange):
    """The other one could subtract its own: 9 of a site are hidden although 34 were read."""
    near = exchange(TWO, cases(a=25, b=9))

    found = by_pairing(compare_readings(near))

    assert all(one.estimate.value is None for one in found.values() if one.comparison.reader != "first")
    status = found[ReadingComparison("marker", "hypodensity", ("first", "inter"))].estimate.standing
    assert status.reason == "a site has too few patients for it"
    assert found[ReadingComparison("suggestion", "hypodensity", ("first",))].estimate.value is not None
    asked = np.array([one.reader == "first" for one in PAPERS])
    (parameters,) = {id(p): p for op, _, p in near.asked if op == Operation.AGREEMENT}.values()
    np.testing.assert_array_equal(parameters["asked"], asked)


def test_a_site_refuses_what_its_guard_objected_to(exchange):
    near = exchange(TWO, cases(a=25, b=9))
    everything = {"asked": np.ones(len(PAPERS), dtype=bool)}

    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        near.summaries(Operation.AGREEMENT, ["b"], everything)


def test_a_cohort_of_readings_too_near_to_a_released_one_is_not_read_out(exchange, tmp_path):
    """Second readings of 25 patients, then of 28: the difference would tell of three."""
    compare_readings(exchange(THREE, cases(a=25, b=20, c=20)))

    found = by_pairing(compare_readings(exchange(THREE, cases(a=28, b=20, c=20))))

    for pairing, one in found.items():
        assert (one.estimate.value is None) is (pairing.reader != "first" or pairing.kind == "volume")
    reason = found[ReadingComparison("marker", "hypodensity", ("first", "inter"))].estimate.standing.reason
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

    shown = found[ReadingComparison("volume", "ich_volume_ml", ("first", "inter"))].estimate.value is not None
    assert shown is (changed != 3)


def redrawn(case):
    repeated = {name: Volumes(one.ich_ml + 1, one.ivh_ml) for name, one in case.readings.repeated.items()}
    return replace(case, readings=replace(case.readings, repeated=repeated))


@pytest.mark.parametrize("operation", [Operation.GUARD, Operation.AGREEMENT])
def test_a_site_tells_nothing_of_readings_that_the_plan_does_not_ask_for(exchange, operation):
    near = exchange(TWO, cases(a=25, b=20), phases=["cohort"])
    everything = {"asked": np.ones(len(PAPERS), dtype=bool)}

    with pytest.raises(PlanError, match="phases"):
        near.summaries(
            operation, ["a"], everything, stage="agreement" if operation == Operation.GUARD else ""
        )


READERS = [{"name": "A", "sessions": 3}, {"name": "B", "sessions": 2}, {"name": "C"}, {"name": "D"}]
ALL_READINGS = list_readings([3, 2, 1, 1])


def read_by_many(**read):
    """Everybody is read by all; the third reader misses every fifth patient, and one marker of another."""
    return {
        site: tuple(
            left_out(case, index)
            for index, case in enumerate(
                cases_read_twice(site, 60, 5, read=number, readings=ALL_READINGS[1:])
            )
        )
        for site, number in read.items()
    }


def left_out(case, index):
    third = "reader3-session1"
    columns = {column_of_reading(name, third) for name in MARKERS}
    lost = columns if index % 5 == 0 else {column_of_reading("hypodensity", third)} if index == 7 else set()
    values = {name: value for name, value in case.patient.values.items() if name not in lost}
    repeated = {n: v for n, v in case.readings.repeated.items() if n != third or index % 5}
    return replace(
        case,
        patient=replace(case.patient, values=values),
        readings=replace(case.readings, repeated=repeated),
    )


def complete_ratings(cases, comparison):
    """All compared readings of whoever has them all, from the patients' own rows."""
    rows = []
    for case in (case for own in cases.values() for case in own):
        if comparison.kind == "volume":
            volumes = {"first": case.readings.first, **case.readings.repeated}
            row = [volumes.get(reading) and volumes[reading].ich_ml for reading in comparison.readings]
        else:
            columns = [column_of_reading(comparison.name, reading) for reading in comparison.readings]
            row = [case.patient.values.get(column) for column in columns]
        if None not in row:
            rows.append(row)
    return np.array(rows, dtype=float)


def fleiss_by_definition(ratings):
    votes = np.stack([(ratings == 0).sum(axis=1), (ratings == 1).sum(axis=1)], axis=1)
    readers = ratings.shape[1]
    agreed = ((votes**2).sum(axis=1) - readers).mean() / (readers * (readers - 1))
    chance = ((votes.sum(axis=0) / votes.sum()) ** 2).sum()
    return (agreed - chance) / (1 - chance)


@pytest.mark.parametrize(
    ("roles", "same"), [({"a": "train"}, True), (THREE, True), (THREE | {"d": "external"}, False)]
)
def test_any_number_of_readers_and_sessions_agree_as_all_their_readings_together(exchange, roles, same):
    of_sites = read_by_many(**dict(zip(roles, (60, 50, 50, 50), strict=False)))
    agreement = {"same_readers": same, "readers": READERS}

    found = by_pairing(compare_readings(exchange(roles, of_sites, agreement=agreement)))

    asked = [one for one in found if one.kind != "suggestion" and one.name != "ivh_volume_ml"]
    # A's three sessions by two and at once, B's two, four readers by two and at once; ICH and nine markers
    assert len(asked) == (3 + 1 + 1 + 6 + 1) * 10
    for comparison in asked:
        one, ratings = found[comparison], complete_ratings(of_sites, comparison)
        if comparison.kind == "volume":
            expected, name = (icc_2_1, "ICC(2,1)") if same else (icc_1_1, "ICC(1,1)")
        elif len(comparison.readings) == 2:
            expected, name = (lambda pairs: cohen_kappa_score(*pairs.T)), "Cohen's kappa, unweighted"
        else:
            expected, name = fleiss_by_definition, "Fleiss' kappa"
        assert (one.statistic, one.estimate.n_used) in {(name, len(ratings)), (name, None)}
        assert one.estimate.value == pytest.approx(expected(ratings), rel=1e-9, abs=1e-12)
        assert (one.p is None) is (one.null_error is None) is (name != "Fleiss' kappa")


def test_complete_cases_are_counted_for_each_statistic(exchange):
    of_sites = read_by_many(a=60, b=60)
    agreement = {"same_readers": True, "readers": READERS}
    third = ("first", "inter", "reader3-session1", "reader4-session1")

    found = by_pairing(compare_readings(exchange(TWO, of_sites, agreement=agreement)))

    def used(*readings, name="swirl_sign"):
        return found[ReadingComparison("marker", name, readings)].estimate.n_used

    assert (used("first", "inter"), used("inter", "reader3-session1"), used(*third)) == (120, 96, 96)
    # Two of the third reader's patients lack this marker alone: so few would be told by the difference
    assert used(*third, name="hypodensity") is None


def test_a_reader_of_too_few_patients_costs_the_comparisons_with_that_reader_alone(exchange):
    of_sites = {
        site: tuple(
            replace(
                case,
                patient=replace(
                    case.patient,
                    values={k: v for k, v in case.patient.values.items() if "third" not in k or n < 9},
                ),
            )
            for n, case in enumerate(own)
        )
        for site, own in cases_of_three(a=40, b=40).items()
    }

    found = by_pairing(compare_readings(exchange(TWO, of_sites, agreement={"readers": [{}, {}, {}]})))

    for comparison, one in found.items():
        if comparison.kind == "marker":
            third = "reader3-session1" in comparison.readings
            assert (one.estimate.value is None) is third
            assert bool(one.estimate.standing.reason) is third


def cases_of_three(**read):
    readings = list_readings([1, 1, 1])[1:]
    return {
        site: cases_read_twice(site, 40, 3, read=number, readings=readings) for site, number in read.items()
    }
