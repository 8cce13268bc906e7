"""A site's own support vector machine is scikit-learn's pipeline, with Platt's probabilities."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from client.answers.kernel import (
    choose_kernel,
    count_folds,
    fit_exact_machine,
    fit_linear_machine,
    predict_exact_risks,
)
from common.errors import ModelError
from common.plan.models import SvmModel

MODEL = SvmModel(kind="svm", name="SVM", covariates=("age",), c_grid=(0.5, 5.0), gamma_grid=(0.02, 0.2))
SEED = 2**40 + 7


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(8)
    x = random.standard_normal((90, 4)) * [1, 10, 0.1, 3] + [0, 50, 2, 1]
    return x, (x[:, 0] ** 2 + random.logistic(size=90) * 0.4) > 1


def split():
    return StratifiedKFold(5, shuffle=True, random_state=SEED % 2**32)


def pipeline():
    return make_pipeline(StandardScaler(), SVC(kernel="rbf"))


def test_it_chooses_and_predicts_as_scikit_learn_s_pipeline(rows):
    x, labels = rows
    grid = {"svc__C": [0.5, 5.0], "svc__gamma": [0.02, 0.2]}
    search = GridSearchCV(pipeline(), grid, scoring="roc_auc", cv=split()).fit(x, labels)
    expected = CalibratedClassifierCV(
        clone(search.best_estimator_), method="sigmoid", cv=split(), ensemble=False
    ).fit(x, labels)

    choice = choose_kernel(x, labels, MODEL, SEED)
    assert (choice.c, choice.gamma) == (search.best_params_["svc__C"], search.best_params_["svc__gamma"])
    assert choice.auc == search.best_score_
    machine = fit_exact_machine(x, labels, MODEL, choice, SEED)
    assert np.array_equal(predict_exact_risks(machine, x), expected.predict_proba(x)[:, 1])


def test_a_class_of_few_patients_is_dealt_into_as_many_folds(rows):
    """scikit-learn's own machine in three folds; in the plan's five, one would have lacked a class."""
    x, labels = rows
    few = np.concatenate([np.flatnonzero(labels)[:3], np.flatnonzero(~labels)[:30]])
    x, labels = x[few], labels[few]
    cv = StratifiedKFold(3, shuffle=True, random_state=SEED % 2**32)
    grid = {"svc__C": [0.5, 5.0], "svc__gamma": [0.02, 0.2]}
    search = GridSearchCV(pipeline(), grid, scoring="roc_auc", cv=cv).fit(x, labels)

    assert count_folds(MODEL, labels) == 3
    assert choose_kernel(x, labels, MODEL, SEED).auc == search.best_score_


def test_it_is_made_again_to_the_bit(rows):
    x, labels = rows
    choice = choose_kernel(x, labels, MODEL, SEED)
    first, second = (
        predict_exact_risks(fit_exact_machine(x, labels, MODEL, choice, SEED), x) for _ in range(2)
    )

    assert np.array_equal(first, second)


def test_a_missing_value_has_no_risk(rows):
    x, labels = rows
    machine = fit_exact_machine(x, labels, MODEL, choose_kernel(x, labels, MODEL, SEED), SEED)
    holed = x.copy()
    holed[3, 1] = np.nan

    found = predict_exact_risks(machine, holed)
    assert np.isnan(found[3])
    assert np.isfinite(np.delete(found, 3)).all()
    assert np.isnan(predict_exact_risks(machine, holed[3:4])).all()


def test_the_linear_form_is_the_calibrated_linear_machine(rows):
    x, labels = rows
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = CalibratedClassifierCV(
        SVC(kernel="linear", C=2.0), method="sigmoid", cv=split(), ensemble=False
    ).fit(z, labels)

    found = fit_linear_machine(z, labels, MODEL, 2.0, SEED)
    own = expit(found.slope * (found.intercept + z @ found.weights) + found.offset)
    assert own == pytest.approx(expected.predict_proba(z)[:, 1], abs=1e-12)


def test_a_machine_that_does_not_converge_is_refused_and_not_taken_for_one(rows, monkeypatch):
    x, labels = rows
    choice = choose_kernel(x, labels, MODEL, SEED)
    monkeypatch.setattr("client.answers.kernel._MOST_STEPS", 3)

    with pytest.raises(ModelError, match="does not converge"):
        fit_exact_machine(x, labels, MODEL, choice, SEED)
    with pytest.raises(ModelError, match="does not converge"):
        fit_linear_machine(x, labels, MODEL, 1.0, SEED)
    with pytest.raises(ModelError, match="does not converge"):
        choose_kernel(x, labels, MODEL, SEED)


def test_a_point_of_the_grid_without_convergence_is_no_choice(rows, monkeypatch):
    x, labels = rows
    easy, hard = (MODEL.model_copy(update={"c_grid": grid}) for grid in ((1e-3,), (1e-3, 1e6)))
    # Enough for a small C and not for a large one
    monkeypatch.setattr("client.answers.kernel._MOST_STEPS", 200)

    assert choose_kernel(x, labels, hard, SEED) == choose_kernel(x, labels, easy, SEED)
