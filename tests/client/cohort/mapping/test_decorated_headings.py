"""A heading with words around it: the same variable, or another time, person or thing."""

from __future__ import annotations

import pytest

from client.cohort.mapping.candidates import Candidate
from client.cohort.mapping.heading_words import parse_heading, split_abbreviations
from client.cohort.mapping.proposal import SURE, score_heading
from common.cohort.schema import BY_NAME, VARIABLES

MEASURED = {
    "SBP": "sbp_mmhg",
    "Systolic BP": "sbp_mmhg",
    "INR": "inr",
    "ICH volume": "ich_volume_ml",
    "hematoma_vol": "ich_volume_ml",
    "IVH volume": "ivh_volume_ml",
    "IVH": "ivh",
    "SAH": "sah",
    "irregular shape": "irregular_shape",
    "hypodensities": "hypodensity",
}
HISTORY = {
    "HTN": "hypertension",
    "hypertension": "hypertension",
    "DM": "diabetes",
    "smoking": "smoking",
    "alcohol": "alcohol",
    "warfarin": "warfarin",
    "antiplatelet": "antithrombotic",
    "anticoagulation": "anticoagulation",
}
AT_BASELINE = (
    "baseline_{}|{}_bl|bsl {}|{}_adm|{}_0|initial {}|{} (baseline)|{} at admission|{} on arrival|"
    "first {}|{}_t0|{}_init|enrolment {}|{}, initial"
)
OF_THE_PATIENT = (
    "{}_yn|hx_{}|{} (Y/N)|history of {}|pmh_{}|{} history|has_{}|{}?|mh_{}|pre-existing {}|{} yes/no"
)
ELSEWHERE = (
    "{}_24h|{} 24 h|{} at 24 hours|fu_{}|{}_fu|{}_dc|discharge {}|{}_d1|{} day 3|{} at 3 months|{}_3m|"
    "{}_post|postop_{}|repeat {}|{}_mri|{} on MR|fhx_{}|fh_{}|family history of {}|mother {}|target {}|"
    "{}_max|second {}|last {}|{} change|{}_h6|{} 1 h|hour 1 {}|{}_w1|{}_m3|{} reader 2|visit 2 {}|"
    "new {}|{} after treatment|{} at 1 year|{} EOS|{}_end|worsening {}|{} date|{} score|{}_min_max|"
    "never {}"
)
OTHER_THINGS = (
    "Volume ICH2 (ml)|SBP 2|PAS J1|Hematoma volume on MR|Volumen hematoma RM (ml)|Artefactos en RM|"
    "抗凝固薬中和|ICH recurrence at 1 year|Heterogeneity index|Diabetesmedikation|Thrombozyten|"
    "既往手术史|History of surgery|Satellite hospital|Age at hypertension diagnosis|Non-smoker|"
    "No fumador|No diabetes|Regular shape|Package|Dosage|Onset to follow-up CT (h)|"
    "CT to surgery interval (h)|脑出血家族史|24h後収縮期血圧|HIV|pmh_sah|SAH history|Smoking (min)|"
    "Hypotension|Prior spine surgery|Warfarin dose|Recurrent SAH|Ventriculomegaly|Ventriculitis|"
    "stabct_ich_volume|time_symptoms_to_ed|EOT_ICH_volume|SAH_volume"
)


def score(heading: str, name: str) -> float:
    return score_heading(Candidate(heading, (parse_heading(heading),), ()), BY_NAME[name])


def decorate(headings: dict[str, str], frames: str) -> list[tuple[str, str]]:
    return [(frame.format(one), name) for frame in frames.split("|") for one, name in headings.items()]


def test_words_of_the_baseline_change_nothing():
    framed = [*decorate(MEASURED, AT_BASELINE), *decorate(HISTORY, OF_THE_PATIENT)]

    assert [heading for heading, name in framed if score(heading, name) < SURE] == []


def test_no_column_of_another_time_or_person_is_sure():
    framed = decorate({**MEASURED, **HISTORY}, ELSEWHERE)

    assert [heading for heading, name in framed if score(heading, name) >= SURE] == []


@pytest.mark.parametrize("heading", OTHER_THINGS.split("|"))
def test_what_has_one_word_too_many_is_asked_for(heading):
    sure = [one.name for one in VARIABLES if score(heading, one.name) >= SURE]

    assert [name for name in sure if not name.startswith("followup")] == []


@pytest.mark.parametrize(
    ("token", "apart"),
    [
        ("ichvol", "ich vol"),
        ("ivhgrowth", "ivh growth"),
        ("toct", "to ct"),
        ("hemvol", "hem vol"),
        ("package", "package"),
        ("dosage", "dosage"),
        ("island", "island"),
    ],
)
def test_abbreviations_that_are_written_together_are_read_apart(token, apart):
    assert split_abbreviations(token) == apart


@pytest.mark.parametrize(
    ("heading", "unit"),
    [
        ("SBP 24 h", ""),
        ("Hematoma volume 24 hours", ""),
        ("Onset to CT h", "hours"),
        ("ICH volume ml", "ml"),
        ("ICH recurrence at 1 year", ""),
    ],
)
def test_a_point_in_time_is_no_unit(heading, unit):
    assert parse_heading(heading).unit == unit
