from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.cohort.eligibility import CRITERIA
from common.cohort.outcome import OutcomeDefinition, classify
from common.cohort.repeated_readings import MARKERS
from simulations.hospitals.patients import CohortRequest, SimulatedPatient, draw_cohort, prevalence
from simulations.hospitals.published import read_groups
from simulations.study_request import Signal

MANY = 2500


def included(request: CohortRequest) -> list[SimulatedPatient]:
    return [patient for patient in draw_cohort(request) if not patient.excluded]


@pytest.fixture(scope="module", params=[1, 2])
def large(request: pytest.FixtureRequest) -> tuple[int, list[SimulatedPatient]]:
    return request.param, included(CohortRequest(request.param, MANY, 7, Signal.DEMO))


# Typed from the paper's Table 1; centre 1 is its training and internal-testing cohorts together
SHARES = {
    (1, False): {
        "male": (203 + 82) / 387,
        "hypertension": (236 + 100) / 387,
        "anticoagulation": (6 + 2) / 387,
        "ivh": (48 + 36) / 387,
        "irregular_shape": (78 + 51) / 387,
        "hypodensity": (90 + 44) / 387,
        "black_hole_sign": (40 + 25) / 387,
        "infratentorial": (54 + 34) / 387,
    },
    (1, True): {
        "male": (87 + 41) / 169,
        "hypertension": (105 + 40) / 169,
        "anticoagulation": (13 + 4) / 169,
        "ivh": (55 + 23) / 169,
        "irregular_shape": (51 + 24) / 169,
        "hypodensity": (75 + 27) / 169,
        "black_hole_sign": (26 + 11) / 169,
        "infratentorial": (21 + 17) / 169,
    },
    (2, False): {
        "male": 95 / 139,
        "hypertension": 112 / 139,
        "anticoagulation": 6 / 139,
        "ivh": 35 / 139,
        "irregular_shape": 51 / 139,
        "hypodensity": 50 / 139,
        "black_hole_sign": 23 / 139,
        "infratentorial": 34 / 139,
    },
    (2, True): {
        "male": 52 / 80,
        "hypertension": 67 / 80,
        "anticoagulation": 6 / 80,
        "ivh": 51 / 80,
        "irregular_shape": 39 / 80,
        "hypodensity": 30 / 80,
        "black_hole_sign": 14 / 80,
        "infratentorial": 23 / 80,
    },
}


def has(patient: SimulatedPatient, name: str) -> bool:
    if name == "male":
        return patient.values["sex"] == "male"
    if name == "infratentorial":
        return patient.values["location"] == name
    return patient.shows(name)


@pytest.mark.parametrize("positive", [False, True])
def test_shares_are_the_printed_ones(large: tuple[int, list[SimulatedPatient]], *, positive: bool) -> None:
    centre, patients = large
    group = [patient for patient in patients if patient.positive == positive]
    for name, share in SHARES[centre, positive].items():
        found = np.mean([has(patient, name) for patient in group])
        # Four standard errors: one in 500 such tables would fail by chance, and the seed is fixed
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(group))), name


def test_all_markers_keep_their_shares_though_they_go_together(
    large: tuple[int, list[SimulatedPatient]],
) -> None:
    centre, patients = large
    cohorts = ("training", "internal") if centre == 1 else ("external",)
    for positive in (False, True):
        group = [patient for patient in patients if patient.positive == positive]
        tables = [read_groups()[cohort, positive] for cohort in cohorts]
        for name in (*MARKERS, "sah"):
            share = sum(table.counts[name, ""] for table in tables) / sum(table.patients for table in tables)
            found = np.mean([patient.shows(name) for patient in group])
            assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(group))), name


# Printed medians of center 2; those of center 1 lie between its two cohorts' medians
MEDIANS = {
    (1, False): {
        "onset_to_ct_h": (4, 5),
        "sbp_mmhg": (166, 166.8),
        "inr": (1.01, 1.01),
        "ich": (12.45, 17.43),
    },
    (1, True): {"onset_to_ct_h": (3, 3), "sbp_mmhg": (170.5, 172), "inr": (1.01, 1.02), "ich": (18.95, 24.4)},
    (2, False): {"onset_to_ct_h": (4, 4), "sbp_mmhg": (156, 156), "inr": (1.01, 1.01), "ich": (17.39, 17.39)},
    (2, True): {"onset_to_ct_h": (4, 4), "sbp_mmhg": (150, 150), "inr": (1.03, 1.03), "ich": (21.7, 21.7)},
}


@pytest.mark.parametrize("positive", [False, True])
def test_medians_are_the_printed_ones(large: tuple[int, list[SimulatedPatient]], *, positive: bool) -> None:
    centre, patients = large
    group = [patient for patient in patients if patient.positive == positive]
    for name, (low, high) in MEDIANS[centre, positive].items():
        # Warfarin raises the INR, which the paper's medians of few such patients do not show
        shown = [one for one in group if not (name == "inr" and one.shows("warfarin"))]
        values = [one.baseline.ich_ml if name == "ich" else float(one.values[name]) for one in shown]
        tolerance = 1.58 * np.subtract(*np.percentile(values, [75, 25])) / np.sqrt(len(group)) * 2
        assert low - tolerance <= np.median(values) <= high + tolerance, name


def test_ivh_volumes_have_the_printed_third_quartile(large: tuple[int, list[SimulatedPatient]]) -> None:
    centre, patients = large
    if centre != 1:
        return
    stable = [one.baseline.ivh_ml for one in patients if not one.positive]
    grown = [one.baseline.ivh_ml for one in patients if one.positive]
    assert np.median(stable) == 0
    assert np.percentile(stable, 75) < 1.07, "between the printed 0.00 and 1.07"
    assert 3.70 < np.percentile(grown, 75) < 8.15, "between the printed 8.15 and 3.70"


@pytest.mark.parametrize("patients", [10, 60, 219, 556])
@pytest.mark.parametrize("centre", [1, 2, 3])
def test_expansions_are_as_frequent_as_at_the_centre(patients: int, centre: int) -> None:
    expected = {1: 169 / 556, 2: 80 / 219, 3: 169 / 556}[centre]
    assert prevalence(centre) == pytest.approx(expected)
    drawn = included(CohortRequest(centre, patients, 3, Signal.PAPER))
    assert len(drawn) == patients
    assert sum(patient.positive for patient in drawn) == round(patients * expected)


@pytest.mark.parametrize(("patients", "positives"), [(2, 1), (5, 2), (6, 3), (7, 3)])
def test_a_small_centre_has_both_outcomes(patients: int, positives: int) -> None:
    for centre in (1, 2):
        drawn = included(CohortRequest(centre, patients, 3, Signal.DEMO))
        assert sum(patient.positive for patient in drawn) == positives


def test_volumes_reach_or_miss_the_bounds_for_every_reason(
    large: tuple[int, list[SimulatedPatient]],
) -> None:
    reasons = set()
    for patient in large[1]:
        expansion = classify(patient.baseline, patient.followup, OutcomeDefinition())
        assert expansion.revised == patient.positive
        reasons |= set(expansion.reasons)
    assert len(reasons) == 4


def test_a_voxel_more_or_less_changes_no_outcome(large: tuple[int, list[SimulatedPatient]]) -> None:
    tolerant, strict = (
        OutcomeDefinition(ich_absolute_ml=6 * f, ich_relative=0.33 * f, ivh_absolute_ml=f) for f in (0.9, 1.1)
    )
    for patient in large[1]:
        for definition in (tolerant, strict):
            assert classify(patient.baseline, patient.followup, definition).revised == patient.positive


@pytest.mark.parametrize("patients", [10, 60, 300])
def test_each_excluded_patient_fails_one_criterion(patients: int) -> None:
    drawn = draw_cohort(CohortRequest(2, patients, 1, Signal.DEMO))
    failed = [
        [
            criterion.name
            for criterion in CRITERIA
            if criterion.excludes(float(one.values[criterion.variable]))
        ]
        for one in drawn
    ]
    assert all(len(names) <= 1 for names in failed)
    counts = [sum(names == [criterion.name] for names in failed) for criterion in CRITERIA]
    assert sum(counts) == max(3, round(0.14 * patients))
    assert max(counts) - min(counts) <= 1


def test_nothing_contradicts_itself(large: tuple[int, list[SimulatedPatient]]) -> None:
    for patient in large[1]:
        assert patient.shows("hypodensity") or not patient.shows("black_hole_sign")
        assert patient.shows("anticoagulation") or not patient.shows("warfarin")
        assert patient.shows("ivh") == (patient.baseline.ivh_ml > 0)
        assert float(patient.values["dbp_mmhg"]) < float(patient.values["sbp_mmhg"])


def roughness_auc(request: CohortRequest) -> float:
    patients = included(request)
    return float(roc_auc_score([one.positive for one in patients], [one.roughness for one in patients]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("centre", [1, 2])
def test_the_demonstration_has_something_to_learn_that_is_not_perfect(centre: int, seed: int) -> None:
    assert 0.92 < roughness_auc(CohortRequest(centre, 60, seed, Signal.DEMO)) < 0.985


@pytest.mark.parametrize("centre", [1, 2])
def test_the_papers_signal_is_in_the_printed_variables_alone(centre: int) -> None:
    assert roughness_auc(CohortRequest(centre, 2000, 0, Signal.PAPER)) == pytest.approx(0.5, abs=0.02)


def test_the_same_request_gives_the_same_patients_and_another_seed_others() -> None:
    first, again, other = (draw_cohort(CohortRequest(1, 20, seed, Signal.DEMO)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({patient.identifier for patient in first}) == len(first)
