"""The columns of the plan's regressions, written by hand."""

import pytest
from sites.plans import LOGISTIC, NETWORK, plan_of

from common.cohort.schema import TABLE_ONE
from common.plan.design import (
    MISSING_LEVEL,
    Column,
    covariate_label,
    covariate_unit,
    design_of,
    is_factor,
    reference_of,
)
from common.plan.models import BRAIN
from common.stats.covariates import Term


def a_plan(*candidates, missing="complete-case", **changes):
    regression = {"candidates": candidates, "missing": missing}
    return plan_of({"a": "train"}, changes.pop("model", NETWORK), regression=regression, **changes)


def columns(plan):
    return [(column.variable, column.level) for column in design_of(plan).columns]


def test_factors_leave_their_first_level_out_in_the_order_of_table_1():
    plan = a_plan("location", "brain_score", "ivh", "sex", "age")

    assert columns(plan) == [
        ("sex", "female"),
        ("age", ""),
        ("location", "deep"),
        ("location", "infratentorial"),
        ("ivh", ""),
        ("brain_score", ""),
    ]


def test_a_missing_value_is_a_level_of_factors_alone_where_the_plan_makes_it_one():
    plan = a_plan("location", "brain_score", "ivh", "age", missing="level")

    assert columns(plan) == [
        ("age", ""),
        ("location", "deep"),
        ("location", "infratentorial"),
        ("location", MISSING_LEVEL),
        ("ivh", ""),
        ("ivh", MISSING_LEVEL),
        ("brain_score", ""),
    ]


def test_candidates_and_the_models_covariates_share_one_design():
    model = LOGISTIC | {"covariates": ["ivh", "inr"]}

    assert columns(a_plan("age", "ivh", model=model)) == [("age", ""), ("inr", ""), ("ivh", "")]


def test_without_the_phase_candidates_have_no_columns():
    plan = a_plan("sex", model=LOGISTIC, phases=["training", "evaluation"])

    assert columns(plan) == [("age", "")]


def test_a_term_is_a_covariate_with_its_columns():
    design = design_of(a_plan("location", "brain_score", "ivh", "age"))

    assert design.term("age") == Term("age", (0,), binary=False)
    assert design.term("location") == Term("location", (1, 2), binary=True)
    assert design.term("ivh") == Term("ivh", (3,), binary=True)
    assert design.term(BRAIN) == Term(BRAIN, (4,), binary=False)


def test_a_model_keeps_the_order_in_which_its_covariates_are_named():
    design = design_of(a_plan("location", "ivh", "age"))

    model = design.model(("ivh", "location"))

    assert [term.name for term in model.terms] == ["ivh", "location"]
    assert model.columns == (3, 1, 2)


@pytest.mark.parametrize("names", [("inr",), ("age", "inr"), ("",)])
def test_a_covariate_that_the_plan_does_not_have_is_named(names):
    design = design_of(a_plan("age"))

    with pytest.raises(ValueError, match=f"no covariate '{names[-1]}'"):
        design.model(names)


@pytest.mark.parametrize(
    ("name", "factor", "reference", "label", "unit"),
    [
        ("sex", True, "male", "Sex", ""),
        ("location", True, "lobar", "Location", ""),
        ("ivh", True, "", "IVH", ""),
        ("age", False, "", "Age", "year"),
        (BRAIN, False, "", "BRAIN score", "point"),
    ],
)
def test_what_a_covariate_is(name, factor, reference, label, unit):
    found = (is_factor(name), reference_of(name), covariate_label(name), covariate_unit(name))

    assert found == (factor, reference, label, unit)


def test_by_default_every_variable_of_table_1_is_a_candidate():
    design = design_of(plan_of({"a": "train"}, NETWORK))

    # 26 variables of one column each, and one more for location's third level
    assert len(design.columns) == len(TABLE_ONE) + 1
    assert Column("swirl_sign") in design.columns
    assert Column(BRAIN) not in design.columns
