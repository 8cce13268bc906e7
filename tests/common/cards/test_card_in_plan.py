"""A model of an earlier study in a plan: what its section says, and what does not fit it."""

from __future__ import annotations

import hashlib
import json

import pytest
from sites.earlier import EFFECTS, an_effect, first_plan, section_of, write_logistic, write_network
from sites.plans import plan_of

from common.cards.card_in_plan import describe_in_plan, insist_planned, load_planned_card, read_card_file
from common.errors import ModelError, NotThePlanError

GCS = {"name": "gcs", "kind": "count", "range": [3, 15]}
NEW = {"new1": "external", "new2": "external"}


def validate(path, *, section=None, **changes):
    """Load the file as a plan names it."""
    plan = plan_of(NEW, section_of(path, **(section or {})), **changes)
    return load_planned_card(path, plan.cards[0], plan)


def test_the_section_says_what_the_card_says(tmp_path):
    path = write_network(tmp_path, first_plan())

    section = describe_in_plan(path)

    assert section.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (section.name, section.file, section.bytes) == ("Net", path.name, path.stat().st_size)
    assert (section.computes, section.dimensions, section.input_size) == ("cnn", 2, 16)
    assert (section.trained_by, section.threshold) == (("old1", "old2"), 0.4)


def test_a_section_of_a_model_of_the_table_names_its_covariates(tmp_path):
    section = describe_in_plan(write_logistic(tmp_path, first_plan()))

    assert (section.computes, section.shape) == ("logistic", None)
    assert section.covariates == ("age", "ivh", "location")


@pytest.mark.parametrize("write", [write_network, write_logistic])
def test_a_plan_that_prepares_what_it_takes_fits(tmp_path, write):
    assert validate(write(tmp_path, first_plan())).card.study == "A study"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"preprocessing": {"window_width_hu": 60.0}}, r'preprocessing = \{"window_width_hu": 80.0\}'),
        ({"preprocessing": {"spacing_mm": [1.0, 1.0, 3.0]}}, r'\{"spacing_mm": \[1.0, 1.0, 5.0\]\}'),
        ({"cohort": {"outcome": {"endpoint": "cHE"}}}, r'predicts rHE, not cHE -> .*\{"endpoint": "rHE"\}'),
        ({"cohort": {"outcome": {"ich_absolute_ml": 3.0}}}, r'rHE by another definition .*"ich_absolute_ml"'),
        ({"section": {"input_size": 32}}, "inputs are 2D of 16 pixels"),
        ({"section": {"threshold": 0.5}}, r"threshold is 0\.4, not 0\.5"),
        ({"section": {"trained_by": ["old1"]}}, "old2 trained it, too -> add to trained_by"),
    ],
)
def test_what_does_not_fit_a_network_is_named(tmp_path, changes, expected):
    path = write_network(tmp_path, first_plan())

    with pytest.raises(ModelError, match=expected):
        validate(path, **changes)


def test_everything_that_does_not_fit_is_told_at_once(tmp_path):
    path = write_network(tmp_path, first_plan())

    with pytest.raises(ModelError) as caught:
        validate(path, section={"threshold": 0.5}, preprocessing={"slices": 3})

    assert str(caught.value).count(";") == 1


def test_another_preprocessing_of_rhe_is_told(tmp_path, monkeypatch):
    path = write_network(tmp_path, first_plan())
    monkeypatch.setattr("common.cards.card_in_plan.PREPROCESSING_ALGORITHM", 99)

    with pytest.raises(ModelError, match="this rhe makes 99"):
        validate(path)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([], r"'gcs', which this plan lacks -> declare it under \[\[variables\]\]"),
        ([GCS | {"range": [0, 15]}], "takes 'gcs' as .*, this plan declares"),
    ],
)
def test_own_variables_are_those_of_the_first_plan(tmp_path, declared, expected):
    effects = (*EFFECTS, an_effect("gcs", -0.1))
    path = write_logistic(tmp_path, first_plan(variables=[GCS]), effects)
    section = section_of(path)
    good = plan_of(NEW, section, variables=[GCS])
    bad = plan_of(NEW, *([section] if declared else []), variables=declared)

    assert load_planned_card(path, good.cards[0], good).card.model == "Clinical"
    with pytest.raises(ModelError, match=expected):
        load_planned_card(path, good.cards[0], bad)


def test_a_plan_that_lacks_a_covariate_says_which(tmp_path):
    effects = (*EFFECTS, an_effect("gcs", -0.1))
    section = section_of(write_logistic(tmp_path, first_plan(variables=[GCS]), effects))

    with pytest.raises(ValueError, match="gcs: no such covariate"):
        plan_of(NEW, section)


def test_the_brain_score_is_the_one_of_the_card(tmp_path):
    effects = (an_effect("brain_score", 0.2),)
    path = write_logistic(tmp_path, first_plan(), effects)

    with pytest.raises(ModelError, match='A of its BRAIN score is "warfarin" -> cohort.brain_a'):
        validate(path, cohort={"brain_a": "anticoagulation"})


def test_a_model_of_another_models_score_is_no_part_of_a_plan(tmp_path):
    effects = (an_effect("score:Net", 0.2),)
    path = write_logistic(tmp_path, first_plan(), effects)

    with pytest.raises(ModelError, match="takes the score of score:Net, which another file computes"):
        describe_in_plan(path)


def test_another_file_is_refused_and_so_is_an_altered_one(tmp_path):
    path = write_logistic(tmp_path, first_plan())
    plan = plan_of(NEW, section_of(path))
    insist_planned(read_card_file(path), plan.cards[0])

    document = json.loads(path.read_text())
    document["card"]["content"]["fitted"]["intercept"] = 0.0
    path.write_text(json.dumps(document))

    with pytest.raises(NotThePlanError, match="from which the plan was made, unaltered"):
        insist_planned(read_card_file(path), plan.cards[0])
    with pytest.raises(ModelError, match="has been altered since it was written"):
        load_planned_card(path, plan.cards[0], plan)


def test_a_file_of_another_kind_is_not_what_the_plan_says(tmp_path):
    path = write_logistic(tmp_path, first_plan())

    with pytest.raises(ModelError, match="is a logistic model, the plan says svm"):
        validate(path, section={"computes": "svm"})


def test_who_has_no_file_is_told_where_to_put_it(tmp_path):
    with pytest.raises(ModelError, match="name its folder with --cards"):
        read_card_file(tmp_path / "model.json")
