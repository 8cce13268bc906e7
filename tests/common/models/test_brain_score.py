from __future__ import annotations

import doctest
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from common.models import brain_score as module
from common.models.brain_score import MAXIMUM, BrainInputs, brain_score


def one(
    volume: float = 0, recurrent: float = 0, warfarin: float = 0, ivh: float = 0, hours: float = 24
) -> BrainInputs:
    return BrainInputs(*(np.array([float(v)]) for v in (volume, recurrent, warfarin, ivh, hours)))


@pytest.mark.parametrize(
    ("volume_ml", "points"),
    [
        (0, 0),
        (10, 0),
        (np.nextafter(10, 11), 5),
        (10.0000001, 5),
        (10.01, 5),
        (20, 5),
        (np.nextafter(20, 21), 7),
        (20.01, 7),
        (400, 7),
    ],
)
def test_volume(volume_ml, points):
    assert brain_score(one(volume=volume_ml)).tolist() == [points]


@pytest.mark.parametrize(
    ("hours", "points"),
    [
        (0, 5),
        (1, 5),
        (np.nextafter(1, 2), 4),
        (2, 4),
        (np.nextafter(2, 3), 3),
        (3, 3),
        (np.nextafter(3, 4), 2),
        (4, 2),
        (np.nextafter(4, 5), 1),
        (5, 1),
        (np.nextafter(5, 6), 0),
        (24, 0),
    ],
)
def test_time(hours, points):
    assert brain_score(one(hours=hours)).tolist() == [points]


@pytest.mark.parametrize(("fact", "points"), [("recurrent", 4), ("warfarin", 6), ("ivh", 2)])
def test_flags(fact, points):
    assert brain_score(one(**{fact: 1})).tolist() == [points]


def test_the_sums_of_the_published_table_and_no_other():
    flags = (0.0, 1.0)
    patients = np.array(
        list(product((5, 15, 25), flags, flags, flags, (0.5, 1.5, 2.5, 3.5, 4.5, 6))), dtype=float
    )

    found = brain_score(BrainInputs(*patients.T.copy()))

    # Every point from 0 to 24 is the score of somebody
    assert set(found.tolist()) == set(range(MAXIMUM + 1))
    assert found.size == 144
    assert brain_score(one(volume=30, recurrent=1, warfarin=1, ivh=1, hours=1)).tolist() == [24]


@pytest.mark.parametrize("name", ["ich_volume_ml", "recurrent_ich", "anticoagulated", "ivh", "onset_to_ct_h"])
def test_no_score_without_every_fact_and_only_for_that_patient(name):
    whole = BrainInputs(*(np.array([1.0, 1.0]) for _ in range(5)))

    found = brain_score(replace(whole, **{name: np.array([np.nan, 1.0])}))

    assert np.isnan(found).tolist() == [True, False]
    assert found[1] == 0 + 4 + 6 + 2 + 5


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("ivh", [2.0], "ivh holds values other than 0, 1"),
        ("anticoagulated", [0.5], "anticoagulated holds values other than 0, 1"),
        ("ich_volume_ml", [-1.0], "ich_volume_ml holds a negative"),
        ("onset_to_ct_h", [np.inf], "onset_to_ct_h holds a negative or infinite"),
        ("onset_to_ct_h", [1.0, 2.0], r"onset_to_ct_h has shape \(2,\)"),
        ("ich_volume_ml", [[1.0]], r"ich_volume_ml has shape \(1, 1\)"),
    ],
)
def test_refuses_what_is_no_patient(name, values, told):
    with pytest.raises(ValueError, match=told):
        replace(one(), **{name: np.array(values)})


def test_nobody_has_no_points():
    assert brain_score(BrainInputs(*(np.empty(0) for _ in range(5)))).size == 0


def test_examples():
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0
