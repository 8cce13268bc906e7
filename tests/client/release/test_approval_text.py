"""What a hospital is told before it approves a plan."""

import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from client.membership.site import SiteSettings
from client.release.approval_text import describe_plan

ROLES = {"a": "train", "b": "train", "c": "external"}
SITE = SiteSettings(name="a", table="cohort.csv")


def told(plan, name="a", settings=SITE):
    return describe_plan(plan, settings.model_copy(update={"name": name}))


def leaving(text):
    return text.split("What leaves this hospital:\n")[1].split("\n\n")[0]


def test_who_takes_part_in_what():
    plan = plan_of(ROLES, NETWORK)

    assert f"Study: A study\nPlan: {plan.digest()}" in told(plan)
    assert "You are: a (its patients train and test models)\nWith: b, c" in told(plan)
    assert "You are: c (its patients only test models)\nWith: a, b" in told(plan, "c")
    assert "With: nobody else" in told(plan_of({"a": "train"}))


@pytest.mark.parametrize("sites", [2, 3])
def test_two_sites_are_told_that_subtraction_tells(sites):
    plan = plan_of(dict(list(ROLES.items())[:sites]))

    assert ("by subtracting its own from the total" in told(plan)) is (sites == 2)


def test_networks_send_updates_each_round_and_it_is_said_what_they_can_hold():
    plan = plan_of(ROLES, NETWORK, NETWORK | {"name": "Deep"}, LOGISTIC, SCALE, federation={"rounds": 17})
    first = leaving(told(plan)).splitlines()[0]

    assert "model updates: the weights of Net, Deep after training" in first
    assert "in each of 17 rounds. Weights can hold traces of the patients" in first


@pytest.mark.parametrize(
    ("models", "name", "phases"),
    [
        ([NETWORK, SCALE], "c", ["cohort", "training", "evaluation"]),
        ([LOGISTIC, SCALE], "a", ["cohort", "regression", "training", "evaluation"]),
        ([SCALE], "a", ["cohort", "evaluation"]),
        ([NETWORK], "a", ["cohort"]),
    ],
)
def test_no_updates_of_an_external_site_nor_without_networks_or_training(models, name, phases):
    assert "model updates" not in told(plan_of(ROLES, *models, phases=phases), name)


def test_regressions_are_said_of_the_sites_that_train():
    plan = plan_of(ROLES, LOGISTIC, regression={"candidates": ["age", "ivh", "sex"]})

    assert "regressions of 3 variables: sums of the covariates' products" in leaving(told(plan))
    assert "regressions" not in leaving(told(plan, "c"))


def test_scores_are_named_by_their_columns_and_bins():
    plan = plan_of(
        ROLES,
        SCALE | {"name": "A", "column": "vendor_a"},
        SCALE | {"name": "B", "column": "vendor_b"},
        LOGISTIC,
        evaluation={"bins": 500},
    )

    for name in ROLES:
        text = leaving(told(plan, name))
        assert "each of 3 models (among them the table's columns vendor_a, vendor_b)" in text
        assert "counted in 500 bins" in text


@pytest.mark.parametrize(
    ("phases", "table", "regression", "evaluation"),
    [
        (["cohort"], True, False, False),
        (["regression"], False, True, False),
        (["training", "evaluation"], False, False, True),
        (["cohort", "regression", "training", "evaluation"], True, True, True),
    ],
)
def test_only_what_the_plan_s_phases_ask_is_named(phases, table, regression, evaluation):
    text = leaving(told(plan_of(ROLES, LOGISTIC, phases=phases)))

    assert ("Table 1: sums and histograms" in text) is table
    assert ("regressions of" in text) is regression
    assert ("calls at the operating point" in text) is evaluation
    # The guard round comes before whichever it is
    assert "before every table: how many patients stand behind each number" in text
    assert "counts: patients screened" in text


@pytest.mark.parametrize(
    ("models", "phases", "drawn"),
    [
        ([NETWORK], ["training", "evaluation", "explanation"], True),
        ([NETWORK], ["training", "evaluation"], False),
        ([LOGISTIC], ["training", "evaluation", "explanation"], False),
    ],
)
def test_maps_are_said_to_leave_only_where_the_plan_draws_some(models, phases, drawn):
    synthetic = SITE.model_copy(update={"synthetic": True})

    assert ("attention maps" in told(plan_of(ROLES, *models, phases=phases), settings=synthetic)) is drawn


@pytest.mark.parametrize(("model", "said"), [(NETWORK, True), (LOGISTIC, False)])
def test_a_network_s_change_comes_back_where_there_is_a_network(model, said):
    assert ("the summed change of a network in each round" in told(plan_of(ROLES, model))) is said


def test_table_1_is_said_by_the_variables_that_the_plan_lists():
    listed = leaving(told(plan_of(ROLES, LOGISTIC, cohort={"described": ["age", "sex"]})))

    assert "Table 1: sums and histograms of the variables age, sex with and without" in listed
    assert "of every variable with and without" in leaving(told(plan_of(ROLES, LOGISTIC)))


RADIOMICS = {"kind": "logistic", "name": "Combined", "covariates": ["age", "radiomics"]}
MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["age"], "fourier_features": 64}


@pytest.mark.parametrize(
    ("waived", "said"), [(False, "half the patients of the smallest fold"), (True, "ALL")]
)
def test_radiomics_are_said_with_how_many_products_leave(waived, said):
    radiomics = {"folds": 4, "wide_gram_accepted": waived}
    text = leaving(told(plan_of(ROLES, RADIOMICS, radiomics=radiomics)))

    assert "radiomics: sums of 851 features" in text
    assert said in text
    assert "in each of 4 folds" in text
    assert "logistic models (Combined)" in text
    assert "radiomics:" not in leaving(told(plan_of(ROLES, RADIOMICS, radiomics=radiomics), "c"))
    assert "radiomics:" not in leaving(told(plan_of(ROLES, LOGISTIC)))
    assert "the LASSO is binomial" not in text


def test_a_binomial_lasso_s_many_rounds_are_said():
    text = leaving(told(plan_of(ROLES, RADIOMICS, radiomics={"family": "binomial"})))

    assert "in each of some 300 to 400 rounds" in text
    assert "narrow down the patients' rows further" in text


def test_counts_of_folds_are_said():
    assert "each fold of a cross-validation" in leaving(told(plan_of(ROLES, RADIOMICS)))


def test_what_is_selected_and_fitted_at_one_hospital_alone_asks_for_no_sums():
    radiomics = {"readings": ["inter"], "wide_gram_accepted": True}
    roles = {"a": "train+", "b": "external"}

    text = leaving(told(plan_of(roles, NETWORK, RADIOMICS, MACHINE, radiomics=radiomics)))

    assert "851" not in text
    assert "model updates" not in text
    assert "support vector machine" not in text
    assert "RELEASE: the models trained on this hospital's patients alone (Net, Combined, Machine)" in text
    assert "how radiomics features were selected" in text


def test_of_a_machine_it_is_said_that_support_vectors_stay():
    text = leaving(told(plan_of(ROLES, MACHINE)))

    assert "support vector machine Machine" in text
    assert "up to 64 random features" in text
    assert "Support vectors, which are patients' rows, stay here" in text
    assert "support vector" not in leaving(told(plan_of(ROLES, MACHINE), "c"))


def test_a_release_names_every_model_that_leaves():
    plan = plan_of(ROLES | {"a": "train+"}, NETWORK, LOGISTIC, SCALE)

    assert "RELEASE: the models trained on this hospital's patients alone (Net, Clinical)" in told(plan)
    assert "RELEASE" not in told(plan, "b")
    assert "RELEASE" not in told(plan_of(ROLES | {"a": "train+"}, SCALE))


@pytest.mark.parametrize("synthetic", [True, False])
def test_attention_maps_leave_only_synthetic_sites(synthetic):
    settings = SITE.model_copy(update={"synthetic": synthetic})

    assert ("attention maps" in leaving(told(plan_of(ROLES, NETWORK), settings=settings))) is synthetic


@pytest.mark.parametrize(
    ("models", "explanation", "said"),
    [
        ([NETWORK], {"mean_maps": True}, True),
        ([NETWORK], {}, False),
        ([LOGISTIC], {"mean_maps": True}, False),
    ],
)
def test_means_of_maps_are_told_with_their_minima_where_the_plan_asks_for_them(models, explanation, said):
    text = told(plan_of(ROLES, *models, profile="standard", two_site_ack=False, explanation=explanation))

    assert ("sums of attention maps: where each network looks" in text) is said
    assert ("(at least 10 with the same outcome)" in text) is said
    assert ("of this hospital's alone (at least 20)" in text) is said
    assert ("fewer than 5 patients here have something in a cell, 0 is sent" in text) is said


def test_what_never_leaves_is_told_to_everybody():
    for name in ROLES:
        stays = told(plan_of(ROLES, NETWORK), name).split("What never leaves it:")[1]
        assert "any single patient's values or scores" in stays
        assert "patients' identifiers" in stays


RADIOMICS = LOGISTIC | {"name": "Combined", "covariates": ["radiomics"]}


def test_repeated_readings_are_said_where_they_are_asked_for():
    asked = leaving(told(plan_of(ROLES, RADIOMICS, phases=["agreement"])))
    silent = leaving(told(plan_of(ROLES, RADIOMICS)))

    assert "how often two readers, or a reader and a computed suggestion, see each of nine markers" in asked
    assert "2 readers, 2 + 1 sessions" in asked
    assert "three or more" not in asked
    assert "read" not in silent.replace("already", "")


def test_what_several_readers_tell_at_once_is_said():
    plan = plan_of(ROLES, RADIOMICS, phases=["agreement"], agreement={"readers": [{}, {}, {}]})

    asked = leaving(told(plan))

    assert "3 readers, 1 + 1 + 1 sessions" in asked
    assert "in how many patients how many of them see a marker" in asked


@pytest.mark.parametrize("same", [True, False])
def test_features_of_repeated_readings_are_said_of_the_sites_that_train(same):
    plan = plan_of(ROLES, RADIOMICS, radiomics={"readings": ["inter"]}, agreement={"same_readers": same})

    assert "sums and sums of squares in all readings (second reader)" in leaving(told(plan))
    assert ("those of this hospital are evaluated separately" in leaving(told(plan))) is not same
    assert "radiomics" not in leaving(told(plan, "c")).replace("Combined", "")


@pytest.mark.parametrize(
    ("delta", "warned"), [(1e-5, False), (1 / 121, False), (1 / 119, True), (1e-2, True)]
)
def test_a_delta_above_one_over_the_patients_is_warned_of(delta, warned):
    privacy = {"largest_site": 60, "noise": {"multiplier": 1.0, "delta": delta}}
    text = told(plan_of(ROLES, NETWORK, privacy=privacy))

    said = f"WARNING: privacy.noise.delta = {delta:g} is above one over the patients: up to 120 train"
    assert (said in text) is warned


def test_the_noise_that_follows_from_a_target_is_told():
    plan = plan_of(ROLES, NETWORK, privacy={"noise": {"epsilon": 2.0}})
    text = told(plan)

    assert "The plan's target is epsilon = 2 towards the coordinator" in text
    assert f"noise of {plan.noise_multiplier:g} times the largest change" in text
    assert "The plan's target" not in told(plan_of(ROLES, NETWORK, privacy={"noise": {"multiplier": 1.0}}))


IMAGENET = {"name": "Net", "family": "resnet18", "initialisation": "imagenet"}


def test_first_weights_of_the_coordinators_choice_are_named():
    known = IMAGENET | {"name": "Known", "first_weights": "5" * 64}
    text = told(plan_of(ROLES, IMAGENET, known))

    assert "FIRST WEIGHTS of Net: the coordinator's choice" in text
    assert f"weights of Known: this hospital trains from no others than those of SHA-256 {'5' * 64}." in text
    assert "FIRST WEIGHTS" not in told(plan_of(ROLES, known))
    # Random ones each hospital derives itself; elsewhere nobody trains
    assert "irst weights" not in told(plan_of(ROLES, NETWORK)).lower()
    assert "irst weights" not in told(plan_of(ROLES, IMAGENET), "c").lower()


@pytest.mark.parametrize("accepted", [True, False])
def test_few_patients_who_share_two_traits_are_told(accepted):
    text = leaving(told(plan_of(ROLES, LOGISTIC, regression={"rare_pairs_accepted": accepted})))

    assert text.count("WHO SHARE TWO TRAITS") == 2 * accepted


@pytest.mark.parametrize("seen", [True, False])
def test_a_model_of_an_earlier_study_is_told_with_its_owners_and_its_digest(seen):
    card = {
        "kind": "card",
        "name": "Old net",
        "file": "old.safetensors",
        "sha256": "5" * 64,
        "bytes": 170_541_234,
        "computes": "cnn",
        "trained_by": ["c", "elsewhere"] if seen else ["elsewhere"],
        "threshold": 0.3,
        "dimensions": 2,
        "input_size": 224,
    }
    text = told(plan_of({"a": "external", "b": "external", "c": "external"}, card))

    assert "Old net comes here as a file from the coordinator, to score this hospital's patients" in text
    assert f"file old.safetensors of 170,541,234 bytes, SHA-256 {'5' * 64}" in text
    assert f"a network, trained by {'c, elsewhere' if seen else 'elsewhere'} in an earlier study" in text
    assert "No other file is taken" in text
    # The plan tells nobody what the file computes: one was made whose risk is high for one patient of 200
    assert "could tell the outcome of a patient whose values somebody knows" in text
    assert ("patients of c may have trained it, so results that include them are no test" in text) is seen
    assert "model updates" not in text


@pytest.mark.parametrize("design", ["together", "leave-one-centre-out"])
@pytest.mark.parametrize("start", ["imagenet", "random"])
def test_arms_that_begin_alike_are_told_with_what_subtraction_tells(design, start):
    arms = {"design": design, "subtraction_ack": True, "shared_start_ack": True, "local_models": False}
    text = told(plan_of(ROLES, IMAGENET | {"initialisation": start}, arms=arms))

    is_told = "CAN NEARLY COMPUTE BY SUBTRACTION THE MEANS AND VARIANCES OF THE NETWORK'S FEATURES" in text
    assert is_told is (design != "together" and start == "imagenet")
