"""Features selected over sites as on all rows in one place; in how many folds and rounds; without them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.patients import a_case
from sites.plans import plan_of
from sklearn.linear_model import LassoCV

from client.answers.patient_arrays import labels_of, make_feature_matrix
from common.errors import ProtocolError
from common.messages.catalogue import Operation
from common.program import selections
from common.radiomics.features import FEATURES
from common.stats.folds import deal_folds
from common.types import Reals
from server.phases.fitting import fit_models
from server.phases.svm import fit_svms
from server.procedures import carry_out
from server.results.regression import record_fitted_model
from server.results.selection import record_selection
from server.run import StudyRun
from simulations.backends.parties import derive_simulated_key

TELLING = (3, 40, 700)
CLINICAL = {"kind": "logistic", "name": "Clinical", "covariates": ["age"]}
COMBINED = {"kind": "logistic", "name": "Combined", "covariates": ["age", "radiomics"]}
MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["age", "radiomics"], "fourier_features": 8}


def select_over_sites(line, arm):
    return carry_out(line, "selection", selections.select_over_sites(line.plan, arm))


def make_cases(seed, patients, far=0.0):
    """Three features tell; every other one is noise. All have a mean of `far`, and vary by 1."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        features = np.round(random.normal(size=len(FEATURES)), 4)
        grows = bool(features[list(TELLING)].sum() + random.logistic() > 0.8)
        case = a_case(f"P{number:03d}", grows=grows, age=60 + 9 * random.normal() + 4 * grows)
        cases.append(replace(case, features=features + far))
    return tuple(cases)


@pytest.fixture
def exchange(tmp_path):
    def make(sizes, *models, far=0.0, **changes):
        names = tuple("abcdefg"[: len(sizes)])
        settings = {
            "arms": {"local_models": False},
            "profile": "standard",
            "two_site_ack": len(sizes) == 2,
            "phases": ["training"],
        }
        plan = plan_of(dict.fromkeys(names, "train"), *(models or (CLINICAL, COMBINED)), **settings | changes)
        cases = {
            name: make_cases(seed, size, far)
            for seed, (name, size) in enumerate(zip(names, sizes, strict=True))
        }
        return NearExchange(
            plan, {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        )

    return make


def arm_of(line):
    (arm,) = line.plan.all_arms()
    return arm


def pool(line, folds):
    """Features, outcomes and folds of all sites' patients."""
    cases = {name: site.cases for name, site in line.sites.items()}
    everybody = [case for own in cases.values() for case in own]
    dealt = [
        deal_folds(line.plan.seed, name, [case.patient.identifier for case in own], labels_of(own), folds)
        for name, own in cases.items()
    ]
    return make_feature_matrix(everybody), labels_of(everybody), np.concatenate(dealt)


def standardise(x: Reals) -> Reals:
    """z-scores; the first row is subtracted before anything can be rounded."""
    d = x - x[0]
    return (d - d.mean(axis=0)) / d.std(axis=0)


@pytest.mark.parametrize("far", [0.0, 1e9])
def test_over_sites_the_gaussian_selection_is_scikit_learn_s_of_pooled_rows(exchange, far):
    line = exchange((70, 80, 90), far=far)

    found = select_over_sites(line, arm_of(line))

    x, labels, folds = pool(line, 10)
    z = standardise(x)
    limit = np.bincount(folds).min() // 2
    kept = np.sort(np.argsort(-np.abs(z.T @ labels), kind="stable")[:limit])
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(10)]
    expected = LassoCV(cv=splits, tol=1e-12, max_iter=100_000).fit(z[:, kept], labels)
    chosen = np.flatnonzero(expected.coef_)
    assert (found.status, found.folds, found.planned_folds, found.fold_reason) == ("ok", 10, 10, "")
    assert found.names == tuple(FEATURES[kept[place]] for place in chosen)
    assert {FEATURES[place] for place in TELLING} <= set(found.names)
    assert found.penalty == pytest.approx(expected.alpha_, rel=1e-9)
    coefficients = [feature.coefficient for feature in found.features]
    assert coefficients == pytest.approx(expected.coef_[chosen].tolist(), abs=1e-8)
    losses = [point.loss for point in found.path]
    assert losses == pytest.approx(expected.mse_path_.mean(axis=1).tolist(), rel=1e-9)


def test_over_sites_the_binomial_selection_is_optimal_for_pooled_rows(exchange):
    """By the conditions of Karush, Kuhn and Tucker; glmnet's own numbers are in tests/common/stats."""
    far = 1e9
    line = exchange((70, 80, 90), far=far, radiomics={"family": "binomial", "folds": 5})

    found = select_over_sites(line, arm_of(line))

    x, labels, folds = pool(line, 5)
    z = standardise(x)
    kept = np.sort(np.argsort(-np.abs(z.T @ labels), kind="stable")[: np.bincount(folds).min() // 2])
    chosen = np.array([FEATURES.index(name) for name in found.names])
    beta = np.array([feature.coefficient for feature in found.features])
    # The intercept is free: the one with which the residuals add up to 0.
    intercept = find_root(lambda constant: (labels - risk(constant, z[:, chosen], beta)).sum())
    pull = (labels - risk(intercept, z[:, chosen], beta)) @ z / len(labels)
    assert (found.family, found.folds, found.prescreened) == ("binomial", 5, len(kept))
    assert set(TELLING) <= set(chosen.tolist()) <= set(kept.tolist())
    np.testing.assert_allclose(pull[chosen], found.penalty * np.sign(beta), atol=1e-7)
    assert (np.abs(pull[np.setdiff1d(kept, chosen)]) <= found.penalty + 1e-7).all()


def risk(intercept, z, beta):
    return 1 / (1 + np.exp(-intercept - z @ beta))


def find_root(falling):
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return low


@pytest.mark.parametrize(("family", "asked"), [("gaussian", Operation.GRAM), ("binomial", Operation.PATH)])
def test_the_rounds_of_messages_are_those_that_were_sent(exchange, family, asked):
    line = exchange((70, 80, 90), radiomics={"family": family, "folds": 3})

    found = record_selection(arm_of(line), select_over_sites(line, arm_of(line)))

    assert (found.family, found.rounds) == (family, line.rounds)
    operations = {operation for operation, *_ in line.asked}
    assert operations == {
        Operation.GUARD,
        Operation.MAGNITUDES,
        Operation.SCALING,
        Operation.PRESCREEN,
        asked,
    }
    assert (found.rounds == 5) is (family == "gaussian")


def test_a_site_answers_for_the_plan_s_family_alone(exchange):
    line = exchange((70, 80, 90), radiomics={"family": "binomial"})

    with pytest.raises(ProtocolError, match="a gaussian LASSO was asked for"):
        line.sum(Operation.GRAM, ("a", "b", "c"), {}, arm="federated")
    with pytest.raises(ProtocolError, match="a binomial LASSO was asked for"):
        exchange((70, 80, 90)).sum(Operation.PATH, ("a", "b", "c"), {}, arm="federated")


def test_all_sites_use_the_largest_number_of_folds_that_is_carried(exchange):
    line = exchange((40, 50, 60))

    found = select_over_sites(line, arm_of(line))

    _, labels, folds = pool(line, found.folds)
    classes = [np.bincount(folds[labels == label]) for label in (False, True)]
    assert min(np.add(*classes)) >= 20
    assert min(classes[0].min(), classes[1].min()) >= 5
    _, labels, folds = pool(line, found.folds + 1)
    assert min(np.bincount(folds)) < 20 or np.bincount(folds[labels]).min() < 5
    assert 3 <= found.folds < 10
    assert found.fold_reason.startswith(f"of {found.folds + 1} or more, one would have fewer than 20")
    sent = {int(asked["folds"][0]) for _, _, asked in line.asked if "folds" in asked}
    assert sent == {found.folds}
    record = record_selection(arm_of(line), found)
    assert (record.folds, record.planned_folds, record.fold_reason) == (found.folds, 10, found.fold_reason)


WITHHELD = (
    "without radiomics: withheld because a fold would have fewer than 20 patients or 5 of a class, even with "
    "3 folds"
)


def test_a_model_without_its_radiomics_is_not_fitted_under_its_name(exchange, tmp_path):
    line = exchange((18, 19, 20), CLINICAL, COMBINED, MACHINE)
    run = StudyRun(line.plan, tmp_path / "out", derive_simulated_key(line.plan))

    fitting = fit_models(line, run, None, {})
    (machine,) = fit_svms(line, run, fitting.selections, {})

    clinical, combined = fitting.models
    assert clinical.standing.ok
    assert (combined.standing.kind, combined.standing.reason) == ("suppressed", WITHHELD)
    assert combined.fitted.effects == ()
    assert (machine.standing.kind, machine.standing.reason) == ("suppressed", WITHHELD)
    # In the model's file and in the results too.
    kept = json.loads((run.models / "Combined" / "federated.json").read_text())
    assert (kept["effects"], kept["reason"]) == ([], WITHHELD)
    assert record_fitted_model(line.plan, combined).standing.reason == WITHHELD


def test_a_lasso_that_keeps_no_feature_leaves_the_plan_s_model(exchange):
    line = exchange((70, 80, 90))
    predictors = carry_out(
        line, "predictors", selections.find_predictors(line.plan, arm_of(line), None)
    ).predictors
    (_, combined) = line.plan.regressions

    assert replace(predictors, radiomics=()).judge(combined).ok
    assert replace(predictors, radiomics=()).of(combined) == ("age",)


def test_the_models_on_features_far_from_0_are_those_on_near_ones(exchange, tmp_path):
    """Their setup sums products of the features: about 0, those of 10^9 keep no digit of an SD of 1."""
    far = 1e9
    line = exchange((70, 80, 90), COMBINED, MACHINE, far=far)
    run = StudyRun(line.plan, tmp_path / "out", derive_simulated_key(line.plan))

    fitting = fit_models(line, run, None, {})
    (combined,), (machine,) = fitting.models, fit_svms(line, run, fitting.selections, {})

    assert combined.standing.ok
    assert machine.standing.ok
    x, labels, _ = pool(line, 10)
    chosen = [FEATURES.index(name) for name in fitting.selections[0].predictors.radiomics]
    cases = [case for site in line.sites.values() for case in site.cases]
    age = np.array([case.patient.number("age") for case in cases])
    design = np.column_stack([np.ones(len(age)), age - 60, x[:, chosen] - far])
    beta = fit_logistic(design, labels)
    effects = [effect.log_odds for effect in combined.fitted.effects]
    assert effects == pytest.approx(beta[1:].tolist(), abs=1e-6)
    linear = combined.fitted.intercept + 60 * effects[0] + far * sum(effects[1:])
    assert linear == pytest.approx(beta[0], abs=1e-5)
    means = {column.variable: column.mean for column in machine.fitted.columns}
    for place in chosen:
        assert means[FEATURES[place]] - far == pytest.approx((x[:, place] - far).mean(), abs=3e-7)


def fit_logistic(design, labels):
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        risks = 1 / (1 + np.exp(-design @ beta))
        information = (design.T * (risks * (1 - risks))) @ design
        beta += np.linalg.solve(information, design.T @ (labels - risks))
    return beta
