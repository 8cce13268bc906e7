"""What the results make of the phases."""

from dataclasses import replace

import numpy as np
from sites.plans import plan_of

from common.messages.headers import Effect, Fitted, FittedSvm, LassoSelection
from common.plan.matrix import Cohort, Scorer, relation_of
from common.radiomics.features import FEATURES
from common.stats.estimate import OK, Status
from server.phases.fitting import FittedRegression
from server.phases.preparation import Preparation
from server.phases.svm import TrainedSvm
from server.results.assembly import StudyOutcome, _list_selections
from server.results.regression import record_fitted_model
from server.results.selection import note_models_without_radiomics
from server.results.training import record_machine

MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["radiomics"]}
COMBINED = {"kind": "logistic", "name": "Combined", "covariates": ["radiomics"]}
CLINICAL = {"kind": "logistic", "name": "Clinical", "covariates": ["age"]}
SELECTION = LassoSelection(candidates=851, prescreened=0, status="suppressed", reason="too few")


def test_a_local_selection_is_told_once_by_whichever_released_model_has_it():
    """The paper's design has no federated arm; a machine alone may take radiomics there."""
    plan = plan_of({"a": "train+", "b": "external"}, MACHINE, COMBINED, CLINICAL)
    combined, clinical = plan.regressions
    (machine,) = (model for model in plan.table_models if model.name == "Machine")
    (arm,) = plan.all_arms()
    fitted = (FittedRegression(clinical, arm, None), FittedRegression(combined, arm, None, SELECTION))
    by_machine = (TrainedSvm(machine, arm, None, SELECTION),)

    for told in ({"machines": by_machine}, {"fitted": fitted}, {"fitted": fitted, "machines": by_machine}):
        (found,) = _list_selections(StudyOutcome({}, None, **told))
        assert (found.arm, found.kind, found.standing.reason) == ("local-a", "local", "too few")
    assert not list(_list_selections(StudyOutcome({}, None, fitted=fitted[:1])))


def test_a_model_that_stays_at_its_site_and_was_not_fitted_says_why():
    plan = plan_of({"a": "train", "b": "external"}, MACHINE, COMBINED)
    (combined,) = plan.regressions
    (machine,) = (model for model in plan.table_models if model.name == "Machine")
    (arm,) = plan.all_arms()
    withheld = Status("suppressed", "without radiomics: withheld because fewer than 20 patients")
    fitted = FittedRegression(combined, arm, None, at_site=withheld)
    trained = TrainedSvm(machine, arm, None, at_site=withheld)

    outcome = StudyOutcome({}, None, fitted=(fitted,), machines=(trained,))

    assert record_fitted_model(plan, fitted).standing == withheld
    assert record_machine(trained).standing == withheld
    reasons = {name: status.reason for name, status in outcome.unfitted.items()}
    assert reasons.keys() == {("Combined", "local-a"), ("Machine", "local-a")}
    assert all(withheld.reason in reason for reason in reasons.values())
    # One that was fitted stays, too.
    stayed = replace(fitted, at_site=OK)
    assert record_fitted_model(plan, stayed).standing.reason == "the model stayed at its centre"
    assert not StudyOutcome({}, None, fitted=(stayed,)).unfitted


def test_a_site_without_a_patient_to_train_is_no_trainer_and_leaves_no_cohort_less_fair():
    plan = plan_of({"a": "train", "b": "train", "e": "train"}, CLINICAL)
    (model,), arm = plan.regressions, plan.arm("federated")
    counted = {"a": [[9, 9]] * 3, "b": [[9, 9]] * 3, "e": [[0, 0]] * 3}
    preparation = Preparation({}, None, {}, {site: np.array(table) for site, table in counted.items()})
    outcome = StudyOutcome({}, preparation, fitted=(FittedRegression(model, arm, Fitted()),))

    trainers = outcome.trainers[model.name, "federated"]

    assert (trainers.trained, trainers.partial) == ({"a", "b"}, True)
    assert record_fitted_model(plan, outcome.fitted[0], trainers).sites == ("a", "b")
    for part, relation in (("train", "apparent"), ("test", "internal")):
        for sites in (("a", "b", "e"), ("a",)):
            assert relation_of(Scorer(model, arm), Cohort(sites, part), trainers) == relation


def test_models_whose_radiomics_are_missing_are_noted():
    plan = plan_of({"a": "train", "b": "external"}, MACHINE, COMBINED, CLINICAL)
    combined, clinical = plan.regressions
    (machine,) = (model for model in plan.table_models if model.name == "Machine")
    (arm,) = plan.all_arms()
    age, feature = (
        Fitted(effects=(Effect(variable=name, log_odds=1, standard_error=1, p=0.5, p_likelihood_ratio=0.5),))
        for name in ("age", FEATURES[0])
    )
    withheld = Status("suppressed", "without radiomics: withheld because no feature varies")

    notes = list(
        note_models_without_radiomics(
            [
                FittedRegression(clinical, arm, age),
                FittedRegression(combined, arm, feature),
                FittedRegression(combined, arm, None),
                FittedRegression(combined, arm, age),
                FittedRegression(combined, arm, None, at_site=withheld),
                TrainedSvm(machine, arm, FittedSvm(covariates=("age",))),
            ]
        )
    )

    assert notes == [
        "Combined (local-a) has no radiomics feature: the LASSO kept none.",
        "Combined (local-a) is not fitted: without radiomics: withheld because no feature varies.",
        "Machine (local-a) has no radiomics feature: the LASSO kept none.",
    ]
