"""Support vector machines over sites in this process: in how many folds they are chosen."""

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.patients import a_case
from sites.plans import plan_of

from client.answers.patient_arrays import labels_of
from common.messages.catalogue import Operation
from common.program.machines import fit_machine
from common.stats.folds import deal_folds
from server.procedures import carry_out

MODEL = {
    "kind": "svm",
    "name": "Machine",
    "covariates": ["age", "inr"],
    "c_grid": [0.1, 10.0],
    "gamma_grid": [0.03, 0.3],
    "folds": 8,
    "fourier_features": 12,
}


def make_cases(seed, patients):
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        age, inr = 60 + 9 * random.normal(), 1 + 0.2 * random.random()
        grows = bool(abs(age - 60) / 9 + 0.3 * random.logistic() > 1)
        known = {"age": age} if number % 11 == 0 else {"age": age, "inr": inr}
        cases.append(a_case(f"P{number:03d}", grows=grows, **known))
    return tuple(cases)


@pytest.fixture
def exchange(tmp_path):
    def make(sizes):
        names = tuple("abc"[: len(sizes)])
        plan = plan_of(dict.fromkeys(names, "train"), MODEL, profile="standard", two_site_ack=False)
        cases = {
            name: make_cases(seed, size) for seed, (name, size) in enumerate(zip(names, sizes, strict=True))
        }
        sites = {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        return NearExchange(plan, sites)

    return make


def fit(line):
    (model,) = line.plan.table_models
    program = fit_machine(line.plan, line.plan.arm("federated"), model, model.covariates)
    return carry_out(line, "fit", program)


def count_pooled(line, folds):
    """Patients with all covariates by fold and outcome, over all sites."""
    counted = np.zeros((folds, 2), dtype=int)
    for name, site in line.sites.items():
        own = [case for case in site.cases if case.patient.number("inr") is not None]
        dealt = deal_folds(
            line.plan.seed, name, [case.patient.identifier for case in own], labels_of(own), folds
        )
        np.add.at(counted, (dealt, labels_of(own).astype(int)), 1)
    return counted


@pytest.mark.parametrize(("sizes", "planned"), [((90, 100, 110), True), ((40, 45, 50), False)])
def test_it_is_chosen_in_as_many_folds_as_the_patients_carry(exchange, sizes, planned):
    line = exchange(sizes)

    found = fit(line)

    classes = count_pooled(line, found.folds)
    assert found.status == "ok"
    assert classes.sum(axis=1).min() >= 20
    assert classes.min() >= 5
    assert classes.sum() == found.used
    assert (found.folds == 8, found.fold_reason == "") == (planned, planned)
    if not planned:
        more = count_pooled(line, found.folds + 1)
        assert more.sum(axis=1).min() < 20 or more.min() < 5
        assert found.fold_reason.startswith(f"of {found.folds + 1} or more, one would have fewer than 20")
    asked = [parameters for operation, _, parameters in line.asked if operation is Operation.HELD_OUT]
    assert {int(parameters["folds"][0]) for parameters in asked} == {found.folds}
    assert {int(fold) for parameters in asked for fold in parameters["left_out"]} == set(range(found.folds))


def test_patients_who_carry_no_two_folds_are_asked_nothing_more(exchange):
    line = exchange((14, 13, 14))

    found = fit(line)

    assert (found.status, found.weights) == ("suppressed", ())
    assert "even with 2 folds" in found.reason
    assert {operation for operation, *_ in line.asked} == {Operation.GUARD}


def test_a_machine_asks_for_classes_columns_ridge_steps_held_out_patients_and_again_ridge_steps(exchange):
    line = exchange((90, 100, 110))

    fit(line)

    asked = [operation for operation, site, _ in line.asked if site == "a"]
    kinds = [kind for kind, before in zip(asked, [None, *asked], strict=False) if kind is not before]
    ridge, held_out = Operation.RIDGE, Operation.HELD_OUT
    assert kinds == [Operation.GUARD, Operation.SETUP, ridge, held_out, ridge]
