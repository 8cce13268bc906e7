"""What a plan's sections refuse of statistics: variables, thresholds, candidates."""

import math

import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.cohort.schema import TABLE_ONE


def refuses(said, *models, sites=None, **changes):
    with pytest.raises(ValueError, match=said):
        plan_of(sites or {"a": "train"}, *models, **changes)


@pytest.mark.parametrize(
    "name", ["sex", "ivh", "brain_score", "recurrent_ich", "followup_ich_volume_ml", "bp"]
)
def test_only_continuous_variables_of_table_1_have_a_test_of_their_own(name):
    refuses(f"no tests of {name} -> choose among age, onset", cohort={"tests": {name: "welch"}})


def test_tests_are_named_by_variable_and_from_a_closed_list():
    tests = {"age": "student", "inr": "mann-whitney"}

    assert plan_of({"a": "train"}, cohort={"tests": tests}).cohort.tests == tests
    refuses("cohort.tests.age", cohort={"tests": {"age": "anova"}})


@pytest.mark.parametrize("name", ["age", "ich_volume_ml", "brain_score", "warfarin", "split", "centre"])
def test_only_variables_of_table_1_with_levels_make_subgroups(name):
    refuses(f"no subgroups by .*'{name}'.* -> choose among sex, ", evaluation={"subgroups": [name]})


def test_subgroups_by_binary_and_categorical_variables():
    plan = plan_of({"a": "train"}, evaluation={"subgroups": ["location", "ivh"]})

    assert plan.evaluation.subgroups == ("location", "ivh")


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ([0.2, 0.1], "ascending by at least 0.01"),
        ([0.1, 0.1], "ascending by at least 0.01"),
        ([0.1, 0.105], "ascending by at least 0.01"),
        ([0.001 * step for step in range(1, 52)], "at most 50 thresholds"),
        ([step / 100 for step in range(1, 52)], "at most 50 thresholds"),
        ([0, 0.5], "not all between 0 and 1"),
        ([0.5, 1], "not all between 0 and 1"),
        ([math.nan], "not all between 0 and 1"),
    ],
)
def test_decision_thresholds_are_few_and_apart(thresholds, said):
    refuses(said, evaluation={"decision_thresholds": thresholds})


def test_fifty_decision_thresholds_a_hundredth_apart_are_allowed():
    thresholds = tuple(step / 100 for step in range(1, 51))

    plan = plan_of({"a": "train"}, evaluation={"decision_thresholds": thresholds})

    assert plan.evaluation.decision_thresholds == thresholds


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (["age", "weight"], "weight: no such covariate -> choose among sex, age, .*, brain_score"),
        (["warfarin"], "warfarin: no such covariate"),
        (["Age"], "Age: no such covariate"),
        (["age", "ivh", "age"], "has a covariate twice -> name each once"),
    ],
)
def test_candidates_are_known_covariates(candidates, said):
    refuses(said, regression={"candidates": candidates})
    refuses(said, LOGISTIC | {"covariates": candidates})


def test_all_of_table_1_and_the_brain_score_are_covariates():
    names = (*(variable.name for variable in TABLE_ONE), "brain_score")

    plan = plan_of({"a": "train"}, LOGISTIC | {"covariates": names}, regression={"candidates": names})

    assert plan.regression.candidates == plan.regressions[0].covariates == names


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("evaluation", {"threshold": 1.0}),
        ("evaluation", {"bins": 9}),
        ("evaluation", {"operating_point": "best"}),
        ("evaluation", {"mcnemar": "approximate"}),
        ("evaluation", {"adjustment": "bonferroni"}),
        ("evaluation", {"interval": "bootstrap"}),
        ("regression", {"entry_p": 0}),
        ("regression", {"missing": "mean"}),
        ("cohort", {"maximum_releases": 0}),
    ],
)
def test_what_is_no_choice_is_refused_by_its_key(section, changes):
    (key,) = changes
    refuses(rf"{section}\.{key}", **{section: changes})


EXTERNAL = {"a": "external", "b": "external"}


def test_a_plan_of_scores_needs_no_training_site():
    plan = plan_of(EXTERNAL, SCALE, phases=["cohort", "evaluation"])

    assert (plan.training_sites, plan.all_arms()) == ((), ())
    assert [arm.name for arm in plan.arms_of(plan.models[0])] == ["given"]


@pytest.mark.parametrize(
    ("models", "phases"),
    [
        ([SCALE], ["cohort", "regression", "evaluation"]),
        ([SCALE, LOGISTIC], ["training", "evaluation"]),
        ([NETWORK], ["training"]),
        # Whoever only looks at the patients still names models that somebody must train.
        ([NETWORK], ["cohort"]),
    ],
)
def test_regressions_and_trained_models_need_a_training_site(models, phases):
    refuses('no site has role = "train"', *models, sites=EXTERNAL, phases=phases)


@pytest.mark.parametrize(
    ("models", "phases", "valid"),
    [
        ([SCALE], ["evaluation"], True),
        ([SCALE], ["evaluation", "explanation"], True),
        ([SCALE, LOGISTIC], ["evaluation"], False),
        ([LOGISTIC], ["explanation"], False),
        ([LOGISTIC], ["cohort", "regression"], True),
    ],
)
def test_only_scores_are_evaluated_without_training(models, phases, valid):
    if valid:
        assert plan_of({"a": "train"}, *models, phases=phases).phases == tuple(phases)
    else:
        refuses('add "training" to phases', *models, phases=phases)


@pytest.mark.parametrize("reference", ["Scale", "Clinical"])
def test_any_model_may_be_the_reference(reference):
    plan = plan_of({"a": "train"}, SCALE, LOGISTIC, evaluation={"reference_model": reference})

    assert plan.evaluation.reference_model == reference


@pytest.mark.parametrize(
    ("profile", "chosen", "interval"),
    [
        ("standard", None, "logit-delong"),
        ("replication", None, "mc_binomial"),
        ("simulation", None, "logit-delong"),
        ("replication", "delong", "delong"),
    ],
)
def test_the_interval_of_the_auc_is_the_profile_s_unless_the_plan_names_one(profile, chosen, interval):
    assert plan_of({"a": "train"}, profile=profile, evaluation={"interval": chosen}).interval == interval


def test_a_regression_has_no_pooled_arm_because_it_is_the_federated_one():
    plan = plan_of({"a": "train", "b": "train"}, NETWORK, LOGISTIC, arms={"pooled_model": True})
    arms = {model.name: [arm.kind for arm in plan.arms_of(model)] for model in plan.models}

    assert arms == {
        "Net": ["federated", "local", "local", "pooled"],
        "Clinical": ["federated", "local", "local"],
    }


RADIOMICS = LOGISTIC | {"name": "Combined", "covariates": ["radiomics"]}


def test_no_feature_must_be_reproducible_unless_the_plan_says_so():
    plan = plan_of({"a": "train"}, RADIOMICS)

    assert (plan.radiomics.readings, plan.readings, plan.agreement.same_readers) == ((), (), False)
    assert (plan.radiomics.icc_threshold, plan.radiomics.icc_form) == (0.80, "ICC(2,1)")
    assert "agreement" not in plan.phases


@pytest.mark.parametrize(
    ("models", "changes", "read"),
    [
        ([RADIOMICS], {"radiomics": {"readings": ["inter"]}}, ("inter",)),
        ([LOGISTIC], {"radiomics": {"readings": ["inter"]}}, ()),
        ([LOGISTIC], {"phases": ["agreement"]}, ("intra", "inter")),
        ([RADIOMICS], {"phases": ["agreement"], "radiomics": {"readings": ["inter"]}}, ("intra", "inter")),
    ],
)
def test_masks_are_read_again_for_agreement_or_for_the_features_of_a_model(models, changes, read):
    assert plan_of({"a": "train"}, *models, **changes).readings == read


@pytest.mark.parametrize(
    ("criteria", "read"),
    [
        (["reader3-session1"], ("reader3-session1",)),
        (["all-readers", "intra"], ("intra", "inter", "reader3-session1")),
        (["all-sessions"], ("intra", "reader1-session3")),
    ],
)
def test_radiomics_are_extracted_in_the_readings_behind_each_criterion(criteria, read):
    agreement = {"readers": [{"name": "A", "sessions": 3}, {"name": "B"}, {}]}

    plan = plan_of({"a": "train"}, RADIOMICS, agreement=agreement, radiomics={"readings": criteria})

    assert plan.readings == plan.feature_readings == read
    asked = plan_of({"a": "train"}, LOGISTIC, agreement=agreement, phases=["agreement"])
    assert asked.readings == ("intra", "reader1-session3", "inter", "reader3-session1")
    assert asked.feature_readings == ()


def test_readers_and_sessions_are_declared_before_features_are_judged_by_them():
    third = {"readings": ["reader3-session1"]}
    refuses("do not make -> choose among intra, inter, or name further agreement.readers", radiomics=third)
    refuses("all-readers, which", radiomics={"readings": ["all-readers"]})
    refuses("all-sessions, which", radiomics={"readings": ["all-sessions"]}, agreement={"readers": [{}, {}]})
    refuses("nobody reads twice", agreement={"readers": [{"name": "A"}]})
    refuses("two readers have the same name", agreement={"readers": [{"name": "A"}, {"name": "a"}]})
    refuses("agreement.readers", agreement={"readers": []})
    refuses("agreement.readers.0.sessions", agreement={"readers": [{"sessions": 0}]})


def test_readings_and_thresholds_are_from_closed_lists():
    refuses("readings lists a reading twice", radiomics={"readings": ["inter", "inter"]})
    refuses("radiomics.readings", radiomics={"readings": ["third"]})
    refuses("radiomics.icc_threshold", radiomics={"icc_threshold": 1.0})
    refuses("radiomics.icc_form", radiomics={"icc_form": "ICC(2,k)"})
    refuses("radiomics.voi", radiomics={"voi": "IVH"})
