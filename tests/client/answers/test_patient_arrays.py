"""Patients' variables as arrays, by hand."""

import numpy as np
import pytest
from sites.patients import a_case
from sites.plans import NETWORK, plan_of

from client.answers.patient_arrays import (
    codes_of,
    labels_of,
    make_design_matrix,
    numbers_of,
    table_one_column,
)
from client.cohort.prepare import prepare_site
from common.cohort.schema import BY_NAME
from common.plan.design import design_of

CASES = (
    a_case("P0", volumes_ml=(9.5, 0.0), age=50.0, sex="male", location="lobar", ivh=0.0),
    a_case(
        "P1", grows=True, volumes_ml=(15.0, 2.5), age=61.5, sex="female", location="infratentorial", ivh=1.0
    ),
    a_case("P2", volumes_ml=(25.0, 0.0), location="deep"),
)


def matrix(*candidates, missing="complete-case", cases=CASES):
    regression = {"candidates": candidates, "missing": missing}
    return make_design_matrix(cases, design_of(plan_of({"a": "train"}, NETWORK, regression=regression)))


def test_labels_are_the_plan_s_endpoint():
    assert labels_of(CASES).tolist() == [False, True, False]
    assert (labels_of(()).shape, labels_of(()).dtype) == ((0,), np.bool_)


def test_numbers_are_nan_where_missing():
    np.testing.assert_array_equal(numbers_of(CASES, "age"), [50, 61.5, np.nan])


def test_a_volume_is_the_one_on_which_the_outcome_rests_though_the_table_is_blank():
    assert "ich_volume_ml" not in CASES[0].patient.values
    assert numbers_of(CASES, "ich_volume_ml").tolist() == [9.5, 15, 25]
    assert numbers_of(CASES, "ivh_volume_ml").tolist() == [0, 2.5, 0]


def test_a_blank_volume_is_measured_on_the_mask(scans_folder, tmp_path, progress):
    """4 slices of 6 x 8 voxels of 0.125 ml; the other patients' stand in the table."""
    scans_folder.rows[0] |= {"ich_volume_ml": "", "ivh_volume_ml": ""}
    volume = {"kind": "scores", "name": "volume", "column": "ich_volume_ml", "high": 400.0}
    plan = plan_of({"north": "train"}, volume)

    cases = prepare_site(scans_folder.finish(), plan, tmp_path / "cache", progress).cases

    assert numbers_of(cases, "ich_volume_ml").tolist() == [24.0, *[30.0] * 7]
    assert matrix("ich_volume_ml", cases=cases)[0, 0] == 24.0


@pytest.mark.parametrize(
    ("name", "codes"), [("sex", [0, 1, -1]), ("location", [0, 2, 1]), ("ivh", [0, 1, -1]), ("sah", [-1] * 3)]
)
def test_codes_are_positions_among_the_levels(name, codes):
    found = codes_of(CASES, BY_NAME[name])

    assert (found.tolist(), found.dtype) == (codes, np.int64)


@pytest.mark.parametrize(("name", "dtype"), [("age", np.float64), ("sex", np.int64), ("ivh", np.int64)])
@pytest.mark.parametrize("cases", [CASES, ()])
def test_table_1_takes_numbers_and_codes(name, dtype, cases):
    column = table_one_column(cases, BY_NAME[name])

    assert (column.dtype, column.shape) == (dtype, (len(cases),))


def test_a_patient_without_a_factor_has_none_of_its_columns():
    found = matrix("sex", "age", "location", "ivh")

    np.testing.assert_array_equal(
        found,
        [  # female, age, deep, infratentorial, IVH
            [0, 50, 0, 0, 0],
            [1, 61.5, 0, 1, 1],
            [np.nan, np.nan, 1, 0, np.nan],
        ],
    )


def test_where_missing_is_a_level_only_numbers_are_missing():
    found = matrix("sex", "age", "ivh", missing="level")

    np.testing.assert_array_equal(
        found,
        [  # female, sex missing, age, IVH, IVH missing
            [0, 0, 50, 0, 0],
            [1, 0, 61.5, 1, 0],
            [0, 1, np.nan, 0, 1],
        ],
    )


def test_nobody_has_a_matrix_of_all_columns():
    assert matrix("age", "location", cases=()).shape == (0, 3)


BRAIN = {"recurrent_ich": 0.0, "warfarin": 0.0, "ivh": 0.0, "onset_to_ct_h": 6.0}


@pytest.mark.parametrize(
    ("volume_ml", "changes", "points"),
    [
        (9.5, {}, 0),
        (9.5, {"recurrent_ich": 1.0}, 4),
        (9.5, {"warfarin": 1.0}, 6),
        (9.5, {"ivh": 1.0}, 2),
        (9.5, {"onset_to_ct_h": 2.5}, 3),
        (15.0, {}, 5),
        (25.0, {"recurrent_ich": 1.0, "warfarin": 1.0, "ivh": 1.0, "onset_to_ct_h": 0.5}, 24),
        (25.0, {"recurrent_ich": None}, np.nan),
        (25.0, {"warfarin": None}, np.nan),
        (25.0, {"ivh": None}, np.nan),
        (25.0, {"onset_to_ct_h": None}, np.nan),
    ],
)
@pytest.mark.parametrize("missing", ["complete-case", "level"])
def test_the_brain_score_is_made_from_the_cells(volume_ml, changes, points, missing):
    values = {name: value for name, value in (BRAIN | changes).items() if value is not None}
    case = a_case("P", volumes_ml=(volume_ml, 0.0), **values)

    np.testing.assert_array_equal(matrix("brain_score", missing=missing, cases=(case,)), [[points]])


@pytest.mark.parametrize(
    ("brain_a", "changes", "points"),
    [
        ("warfarin", {"warfarin": 0.0, "anticoagulation": 1.0}, 0),
        ("anticoagulation", {"warfarin": 0.0, "anticoagulation": 1.0}, 6),
        ("anticoagulation", {"warfarin": None, "anticoagulation": 0.0}, 0),
        ("anticoagulation", {"warfarin": 1.0}, np.nan),
    ],
)
def test_a_of_the_brain_score_is_the_column_that_the_plan_chooses(brain_a, changes, points):
    values = {name: value for name, value in (BRAIN | changes).items() if value is not None}
    regression = {"candidates": ["brain_score"]}
    plan = plan_of({"a": "train"}, NETWORK, regression=regression, cohort={"brain_a": brain_a})

    found = make_design_matrix((a_case("P", volumes_ml=(9.5, 0.0), **values),), design_of(plan))

    np.testing.assert_array_equal(found, [[points]])
