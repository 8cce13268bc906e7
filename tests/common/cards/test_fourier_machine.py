"""What a plan may say of a support vector machine, and what a site refuses to be asked about one."""

import numpy as np
import pytest
from pydantic import ValidationError

from common.cards.fourier_machine import Scales, SvmQuery, read_query, write_query
from common.errors import ProtocolError
from common.plan.models import SvmModel
from common.program.machines import count_permitted_features
from common.stats.guard import Demand, find_breach
from common.stats.minima import SIMULATION, STANDARD

MODEL = {"kind": "svm", "name": "SVM", "covariates": ["age"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c_grid": [1.0, 0.1]}, "does not rise"),
        ({"gamma_grid": [0.1, 0.1]}, "does not rise"),
        ({"c_grid": []}, "at least 1"),
        ({"gamma_grid": [0.0]}, "greater than 0"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"fourier_features": 1}, "greater than or equal to 2"),
        ({"covariates": ["shoe_size"]}, "no such covariate"),
        ({"covariates": ["age", "age"]}, "twice"),
        ({"kernel": "linear"}, "Extra inputs"),
    ],
)
def test_bad_plans_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        SvmModel.model_validate(MODEL | change)


def test_two_patients_of_the_smallest_fold_stand_behind_each_feature_unless_waived():
    folds = np.array([[30, 11], [25, 20]])
    model = SvmModel.model_validate(MODEL)
    waived = SvmModel.model_validate(MODEL | {"wide_gram_accepted": True})

    assert count_permitted_features(model, folds, STANDARD) == 20
    assert count_permitted_features(waived, folds, STANDARD) == 128
    assert count_permitted_features(model, folds, SIMULATION) == 128


def test_a_penalised_model_needs_its_class_minimum_and_two_patients_a_covariate():
    assert find_breach(20, 10, Demand("ridge", 15), STANDARD).ok
    assert find_breach(21, 9, Demand("ridge", 3), STANDARD).reason == "fewer than 10 patients in a class"
    assert find_breach(20, 10, Demand("ridge", 16), STANDARD).reason == "fewer than two patients a covariate"
    assert not find_breach(20, 10, Demand("regression", 15), STANDARD).ok


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("columns", np.array([4])),
        ("sd", np.array([0.0])),
        ("mean", np.array([0.0, 1.0])),
        ("gammas", np.array([0.5])),
        ("left_out", np.array([4])),
        ("folds", np.array([1])),
        ("folds", np.array([6])),
        ("folds", np.array([4, 4])),
        ("left_out", np.array([-2])),
        ("coefficients", np.zeros((2, 3))),
        ("coefficients", np.zeros((1, 200))),
        ("coefficients", np.zeros((1, 1))),
    ],
)
def test_what_does_not_fit_the_plan_is_refused(name, array):
    model = SvmModel.model_validate(MODEL)
    scales = Scales(np.array([0]), np.array([60.0]), np.array([9.0]))
    good = write_query(SvmQuery(scales, np.array([0.03]), np.array([3]), np.zeros((1, 3)), 4))
    read_query(good, model, 4)

    with pytest.raises(ProtocolError, match="SVM"):
        read_query({**good, name: array}, model, 4)
