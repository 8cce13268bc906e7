"""Variables, outcome and eligibility that a plan declares: refusals, consequences, and the hash."""

import pytest
from pydantic import ValidationError
from sites.plans import LOGISTIC, SCALE, plan_of

from common.cohort.schema import TABLE_ONE
from common.plan.design import (
    Column,
    covariate_label,
    covariate_unit,
    design_of,
    list_selectable,
    reference_of,
)
from common.plan.message_size import largest_message
from common.plan.own_variables import PlannedVariable
from common.plan.study import StudyPlan
from common.plan.variables import list_described, table_variables

GCS = {"name": "gcs", "kind": "count", "label": "Glasgow Coma Scale", "unit": "point", "range": [3, 15]}
CAUSE = {"name": "cause", "kind": "categorical", "levels": ["hypertensive", "CAA", "other"]}
SPOT = {"name": "spot", "kind": "binary"}
TEXTURE = {"name": "texture", "kind": "continuous", "range": [-5, 5], "role": "radiomics"}
OWN = [GCS, CAUSE, SPOT, TEXTURE]
POOR = {"endpoint": "column", "column": "poor", "label": "Poor outcome", "meaning": "mRS 3 to 6"}


def own_plan(*models, variables=OWN, **changes):
    return plan_of({"a": "train"}, *(models or (LOGISTIC, SCALE)), variables=variables, **changes)


def refuses(said, *models, **changes):
    with pytest.raises(ValueError, match=said):
        own_plan(*models, **changes)


def clinical(*names):
    return {"kind": "logistic", "name": "Clinical", "covariates": list(names)}


def test_a_plan_without_own_columns_has_the_settings_that_it_always_had():
    dumped = plan_of({"a": "train"}, LOGISTIC).model_dump(mode="json")

    assert not {"variables", "eligibility"} & dumped.keys()
    assert "described" not in dumped["cohort"]
    assert not {"column", "label", "meaning"} & dumped["cohort"]["outcome"].keys()
    assert "columns" not in dumped["radiomics"]


@pytest.mark.parametrize(
    "changes",
    [
        {"variables": [GCS]},
        {"cohort": {"described": ["age"]}},
        {"cohort": {"outcome": POOR}},
        {"eligibility": {"paper": ["age"]}},
        {"radiomics": {"columns": ["age"]}},
    ],
)
def test_each_declaration_changes_the_hash_and_survives_its_json(changes):
    plan = plan_of({"a": "train"}, LOGISTIC, **changes)

    assert plan.digest() != plan_of({"a": "train"}, LOGISTIC).digest()
    assert StudyPlan.model_validate(plan.model_dump(mode="json")) == plan


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ({**GCS, "range": None}, "needs range"),
        ({**GCS, "range": [15, 3]}, "is no range"),
        ({**GCS, "range": [3, 15.5]}, "whole numbers"),
        ({**SPOT, "range": [0, 1]}, "has no range"),
        ({**SPOT, "unit": "mm"}, "no unit"),
        ({**SPOT, "levels": ["a", "b"]}, "levels belong"),
        ({**CAUSE, "levels": ["one"]}, "no levels"),
        ({**CAUSE, "levels": ["CAA", "caa"]}, "no levels"),
        ({**CAUSE, "levels": ["CAA", "missing"]}, "no levels"),
        ({**TEXTURE, "resolution": 1e-9}, "at most 100,000"),
        ({**SPOT, "role": "radiomics"}, "LASSO takes counts and numbers alone"),
        ({**SPOT, "name": "a b"}, "pattern"),
    ],
)
def test_a_variable_that_contradicts_itself_is_refused(variable, said):
    refuses(said, variables=[variable])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variables": [{**SPOT, "name": "ivh"}]}, "'ivh' is one of the paper's columns"),
        ({"variables": [{**SPOT, "name": "Age"}]}, "differ in capitals only"),
        ({"variables": [{**SPOT, "name": "Vendor"}]}, "'Vendor' and 'vendor' differ in capitals only"),
        ({"variables": [SPOT, SPOT]}, "declared twice"),
        ({"cohort": {"described": ["weight"]}}, "weight: no variable of Table 1"),
        ({"cohort": {"described": ["gcs", "gcs"]}}, "twice"),
        ({"cohort": {"tests": {"spot": "welch"}}}, "no tests of spot"),
        ({"cohort": {"outcome": {**POOR, "label": ""}}}, "needs label"),
        ({"cohort": {"outcome": {**POOR, "endpoint": "rHE"}}}, "without endpoint"),
        ({"cohort": {"outcome": {**POOR, "column": "spot"}}}, "'spot' stands under variables"),
        ({"cohort": {"outcome": {**POOR, "column": "vendor"}}}, "'vendor' stands under models.column"),
        ({"cohort": {"outcome": {**POOR, "column": "sah"}}}, "Table 1 describes the outcome 'sah'"),
        ({"cohort": {"outcome": {**POOR, "column": "age"}}}, "is continuous"),
        ({"evaluation": {"subgroups": ["gcs"]}}, "no subgroups by 'gcs', which is a number"),
        ({"radiomics": {"columns": ["spot"]}}, "spot: no number of the table"),
        ({"radiomics": {"readings": ["intra"]}}, "repeated masks"),
        ({"regression": {"candidates": ["weight"]}}, "weight: no such covariate .*gcs"),
    ],
)
def test_what_contradicts_other_parts_of_the_plan_is_refused(changes, said):
    refuses(said, **changes)


@pytest.mark.parametrize(
    "faulty",
    [{**GCS, "range": "3-15"}, {**GCS, "range": [15, 3]}, {**GCS, "kind": "integer"}, {**GCS, "rang": 1}],
)
def test_a_variable_with_a_fault_is_the_only_one_that_is_told(faulty):
    changes = {
        "cohort": {"described": ["age", "gcs"], "tests": {"gcs": "welch"}},
        "evaluation": {"subgroups": ["gcs"]},
        "radiomics": {"columns": ["gcs"]},
        "eligibility": {"rules": [{"variable": "gcs", "label": "GCS below 5", "below": 5}]},
    }
    with pytest.raises(ValidationError) as caught:
        own_plan(clinical("gcs"), variables=[faulty], **changes)

    assert {fault["loc"][0] for fault in caught.value.errors()} == {"variables"}


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (["age", "weight"], "weight: no variable of Table 1"),
        (["age", "poor"], "'poor' is the outcome, which Table 1 divides by -> remove it here"),
    ],
)
def test_what_table_1_cannot_describe_is_told_once(described, said):
    with pytest.raises(ValidationError) as caught:
        own_plan(cohort={"outcome": POOR, "described": described})

    (fault,) = caught.value.errors()
    assert fault["loc"] == ("cohort", "described")
    assert said in fault["msg"]


def test_a_name_that_only_another_plan_declares_is_unknown():
    own_plan(clinical("gcs"))

    with pytest.raises(ValueError, match="gcs: no such covariate"):
        plan_of({"a": "train"}, clinical("gcs"))


def test_an_outcome_column_predicts_nothing():
    refuses("'poor' stands under models.covariates", clinical("poor"), cohort={"outcome": POOR}, variables=[
        {**SPOT, "name": "poor"}
    ])  # fmt: skip


def test_table_1_describes_the_paper_s_variables_then_own_ones_unless_the_plan_lists_some():
    everything = [variable.name for variable in list_described(own_plan())]
    listed = own_plan(cohort={"described": ["cause", "age"]})

    assert everything == [*(variable.name for variable in TABLE_ONE), "gcs", "cause", "spot"]
    assert [variable.name for variable in list_described(listed)] == ["cause", "age"]
    assert listed.regression.candidates == ("cause", "age")
    assert own_plan().regression.candidates == tuple(everything)
    assert own_plan(regression={"candidates": ["age"]}).regression.candidates == ("age",)


def test_numbers_are_counted_at_their_resolution():
    grids = {
        name: PlannedVariable(name=name, kind=kind, range=span, resolution=step).grid
        for name, kind, span, step in (
            ("gcs", "count", (3, 15), None),
            ("glucose", "continuous", (1, 60), None),
            ("wide", "continuous", (0, 1e6), None),
            ("coarse", "continuous", (0, 10), 0.5),
        )
    }

    assert {name: (grid.resolution, grid.bins, grid.high) for name, grid in grids.items()} == {
        "gcs": (1, 13, 15),
        "glucose": (0.01, 5901, 60),
        "wide": (100, 10_001, 1e6),
        "coarse": (0.5, 21, 10),
    }
    by_name = {variable.name: variable for variable in table_variables(own_plan())}
    assert by_name["gcs"].grid == grids["gcs"]
    assert by_name["cause"].levels == ("hypertensive", "CAA", "other")


def test_own_covariates_have_columns_labels_units_and_a_reference():
    plan = own_plan(clinical("gcs", "cause", "age", "radiomics"))
    design = design_of(plan)

    names = ("gcs", "cause", "spot")
    assert [column for column in design.columns if column.variable in {"age", *names}][:4] == [
        Column("age"),
        Column("gcs"),
        Column("cause", "CAA"),
        Column("cause", "other"),
    ]
    assert design.columns[-1] == Column("texture")
    assert design.term("spot").binary
    assert not design.term("gcs").binary
    labels = [covariate_label(name, "warfarin", plan.own_variables) for name in names]
    assert labels == ["Glasgow Coma Scale", "cause", "spot"]
    assert covariate_unit("gcs", plan.own_variables) == "point"
    assert reference_of("cause", plan.own_variables) == "hypertensive"


def test_a_lasso_over_columns_needs_no_image():
    own = own_plan(clinical("radiomics"))
    extracted = plan_of({"a": "train"}, clinical("radiomics"))

    assert (list_selectable(own), own.reads_images, own.extracts_features) == (("texture",), False, False)
    assert (len(list_selectable(extracted)), extracted.reads_images) == (851, True)
    assert list_selectable(own_plan(radiomics={"columns": ["gcs", "age"]})) == ("gcs", "age")


def test_a_score_of_an_own_variable_has_its_range():
    plan = own_plan(
        {"kind": "scores", "name": "GCS", "column": "gcs", "risk": "falls"},
        {"kind": "scores", "name": "Texture", "column": "texture"},
        {"kind": "scores", "name": "Vendor", "column": "vendor"},
    )

    assert [(model.low, model.high, model.step) for model in plan.scores] == [
        (3, 15, 1),
        (-5, 5, None),
        (0, 1, None),
    ]


def test_messages_have_room_for_own_columns():
    many = [{**TEXTURE, "name": f"t{number}", "role": "other"} for number in range(300)]

    assert largest_message(own_plan(variables=many)) > largest_message(own_plan())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"variable": "weight", "below": 1}, "no variable of the table"),
        ({"variable": "baseline_ct", "values": ["x"]}, "no variable of the table"),
        ({"variable": "gcs"}, "excludes nobody"),
        ({"variable": "cause", "below": 1}, "categorical"),
        ({"variable": "cause", "values": ["trauma"]}, "never is"),
        ({"variable": "spot", "values": [2]}, "never is"),
    ],
)
def test_a_rule_that_cannot_exclude_is_refused(rule, said):
    refuses(said, eligibility={"rules": [{"label": "A rule", **rule}]})


def test_reasons_are_those_of_the_plan_in_its_order():
    plan = own_plan(
        eligibility={
            "paper": ["onset", "age"],
            "youngest_years": 16,
            "rules": [
                {"variable": "cause", "label": "Secondary", "values": ["other"]},
                {"variable": "gcs", "label": "Deep coma", "below": 4},
                {"variable": "spot", "label": "Spot sign", "values": [1]},
            ],
        }
    )
    onset, age, secondary, coma, spot = plan.eligibility.criteria

    assert onset.label == "Baseline CT > 24 h after onset"
    assert age.label == "Age < 16 years"
    assert [age.excludes(15.9), age.excludes(16.0)] == [True, False]
    assert [secondary.excludes("other"), secondary.excludes("CAA")] == [True, False]
    assert [coma.excludes(3.0), coma.excludes(4.0)] == [True, False]
    assert [spot.excludes(1.0), spot.excludes(0.0)] == [True, False]


def test_two_reasons_of_one_label_are_refused():
    rule = {"variable": "gcs", "label": "Primary IVH", "below": 4}
    refuses("same label", eligibility={"rules": [rule]})
    refuses("twice", eligibility={"paper": ["age", "age"]})
