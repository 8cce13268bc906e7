"""The three kinds of models in a plan, and what a TOML file says wrongly about them."""

import math

import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.errors import PlanError
from common.plan.study import CnnModel, LogisticModel, ScoresModel, load_plan

PLAN = """\
name = "Three kinds"
seed = 1
two_site_ack = true

[[sites]]
name = "a"
role = "train"

[[sites]]
name = "b"
role = "external"

[[models]]
name = "Net"
family = "resnet18"

[models.training]
learning_rate = 0.01

[[models]]
kind = "logistic"
name = "Clinical"
covariates = ["age", "brain_score"]

[[models]]
kind = "scores"
name = "Vendor"
column = "vendor"
low = 0
high = 100

[[models]]
kind = "cnn"
name = "Net-3D"
dimensions = 3
family = "resnet18"

[models.training]
batch_size = 4
""".replace("Net-3D", "Net-3D")


def refusal(folder, old, new):
    if PLAN.count(old) != 1:
        raise ValueError(old)
    path = folder / "study.toml"
    path.write_text(PLAN.replace(old, new), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load_plan(path)
    return str(caught.value).replace(f"{folder}/", "")


def test_one_plan_may_have_models_of_all_kinds(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(PLAN, encoding="utf-8")
    plan = load_plan(path)

    assert [type(model) for model in plan.models] == [CnnModel, LogisticModel, ScoresModel, CnnModel]
    assert [model.name for model in plan.networks] == ["Net", "Net-3D"]
    assert [model.name for model in plan.regressions] == ["Clinical"]
    assert [model.name for model in plan.scores] == ["Vendor"]
    assert [model.name for model in plan.trained_models] == ["Net", "Net-3D", "Clinical"]
    assert plan.networks[1].settings.batch_size == 4


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            "learning_rate = 0.01",
            "learning_rate = -1",
            17,
            "models.0.training: learning_rate must be positive",
        ),
        (
            'kind = "logistic"',
            'kind = "logisitc"',
            20,
            'models.1: kind must be "cnn", "logistic", "svm", "scores" or "card"',
        ),
        ('name = "Clinical"', 'name = "Cli/nical"', 22, "models.1.name: "),
        (
            '"age", "brain_score"',
            '"agee"',
            23,
            'models.1.covariates: agee: no such covariate -> did you mean "age"? Choose among',
        ),
        ('"age", "brain_score"', '"age", "age"', 23, "has a covariate twice"),
        ('["age", "brain_score"]', "[]", 23, "models.1.covariates: "),
        ('covariates = ["age", "brain_score"]', 'family = "resnet18"', 23, "models.1.family: unknown key"),
        ('column = "vendor"', 'column = "7 days"', 28, "models.2.column: "),
        ('column = "vendor"', 'columns = "vendor"', 28, "models.2.columns: unknown key"),
        ("low = 0", 'low = "0 %"', 29, "models.2.low: "),
        ("low = 0", "step = 0", 29, "models.2.step: "),
        ("high = 100", "high = nan", 30, "models.2.high: "),
        ("dimensions = 3", "dimensions = 4", 35, "models.3.dimensions: "),
        ("batch_size = 4", "batch_size = 0", 38, "models.3.training: batch_size must be"),
        ("batch_size = 4", "batchsize = 4", 39, "models.3.training.batchsize: unknown key"),
    ],
)
def test_a_violation_is_told_with_its_line_and_key_and_never_with_the_union_s_tag(
    tmp_path, old, new, line, said
):
    message = refusal(tmp_path, old, new)

    assert any(told.startswith(f"study.toml:{line}: ") and said in told for told in message.splitlines())
    assert "kind=" not in message


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("high = 100", "high = 0", 25, "models.2"),
        ("high = 100", "high = 100\nprobability = true", 25, "models.2"),
        ("dimensions = 3", 'dimensions = 3\ninitialisation = "imagenet"', 32, "models.3"),
    ],
)
def test_a_model_that_contradicts_itself_is_told_at_its_heading(tmp_path, old, new, line, key):
    message = refusal(tmp_path, old, new)

    assert message.startswith(f"study.toml:{line}: {key}: ")
    assert "kind=" not in message


def test_violations_of_several_models_are_told_at_once(tmp_path):
    broken = PLAN.replace('"age", ', '"agee", ').replace("dimensions = 3", "dimensions = 1")
    path = tmp_path / "study.toml"
    path.write_text(broken, encoding="utf-8")

    with pytest.raises(PlanError) as caught:
        load_plan(path)

    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["23", "35"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"low": 1, "high": 1}, "low = 1 is not below high = 1"),
        ({"low": 5, "high": 1}, "low = 5 is not below high = 1"),
        ({"low": math.inf}, "finite"),
        ({"high": math.nan}, "finite"),
        ({"threshold": math.nan}, "finite"),
        ({"threshold": 1.01}, "threshold = 1.01 lies outside 0 to 1"),
        ({"threshold": 0}, "threshold = 0 lies outside 0 to 1"),
        ({"low": 10, "high": 20, "threshold": 0.5}, "threshold = 0.5 lies outside 10 to 20"),
        ({"high": 100, "probability": True}, "a probability runs from 0 to 1 and rises"),
        ({"risk": "falls", "probability": True}, "a probability runs from 0 to 1 and rises"),
        ({"risk": "up"}, "risk"),
        ({"step": -1}, "step"),
        ({"column": "ivh"}, "column 'ivh' is binary, no number"),
        ({"column": "location"}, "column 'location' is categorical, no number"),
        ({"column": "patient"}, "column 'patient' is text, no number"),
        ({"column": "vendor score"}, "column"),
        ({"column": ""}, "column"),
    ],
)
def test_a_score_s_range_threshold_and_kind_belong_together(changes, said):
    with pytest.raises(ValueError, match=said):
        plan_of({"a": "external"}, SCALE | changes)


@pytest.mark.parametrize("threshold", [0.001, 1])
def test_a_threshold_may_be_the_largest_value_of_the_range(threshold):
    (model,) = plan_of({"a": "external"}, SCALE | {"threshold": threshold}).scores

    assert model.threshold == threshold


@pytest.mark.parametrize(
    ("changes", "value", "score"),
    [
        ({"low": 0, "high": 24}, 6, 0.25),
        ({"low": 0, "high": 24, "risk": "falls"}, 6, 0.75),
        ({"low": -10, "high": 30}, -10, 0),
        ({"low": 3, "high": 15, "risk": "falls"}, 15, 0),
    ],
)
def test_a_value_is_scaled_to_rise_with_the_risk_and_back(changes, value, score):
    (model,) = plan_of({"a": "external"}, SCALE | changes).scores

    assert model.scale(value) == score
    assert model.unscale(score) == value


@pytest.mark.parametrize(("name", "network"), [("Net", True), ("Clinical", False), ("Scale", False)])
def test_a_model_is_found_by_its_name_and_a_network_by_its_kind(name, network):
    plan = plan_of({"a": "train"}, NETWORK, LOGISTIC, SCALE)

    assert plan.model(name).name == name
    if network:
        assert plan.network(name).name == name
    else:
        with pytest.raises(PlanError, match=f"the plan's model '{name}' is no"):
            plan.network(name)


def test_a_kind_that_is_no_word_is_refused():
    with pytest.raises(ValueError, match='kind must be "cnn", "logistic", "svm", "scores" or "card"'):
        plan_of({"a": "train"}, NETWORK | {"kind": 3})
