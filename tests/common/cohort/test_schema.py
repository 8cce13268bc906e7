from __future__ import annotations

from pathlib import Path

import pytest

from common.cohort.dictionary import BEGIN, DOCUMENT, END, update_dictionary
from common.cohort.schema import BY_NAME, TABLE_ONE, VARIABLES, Range, Variable

PROJECT = Path(__file__).parents[3]

# The paper's Table 1, row by row (Ning et al. 2025), copied by hand.
PRINTED = """Sex|Age|Alcohol consumption|Smoking|Diabetes mellitus|Hypertension
Onset to baseline CT time interval|Admission SBP|Admission DBP|INR|Antithrombotic|Anticoagulation
ICH volume|IVH volume|Location|IVH|SAH|Irregular shape|Satellite sign|Island sign|Black hole sign
Blend sign|Fluid level|Swirl sign|Hypodensity|Heterogeneous density"""

# What stroke units see every month; none of it may be called impossible.
ORDINARY = {
    "age": (18, 100),
    "onset_to_ct_h": (0, 24),
    "sbp_mmhg": (80, 280),
    "dbp_mmhg": (35, 180),
    "inr": (0.7, 9),
    "ich_volume_ml": (0.1, 200),
    "ivh_volume_ml": (0, 150),
    "ct_to_followup_h": (0.5, 96),
}


def test_table_one_is_the_papers_in_its_order():
    assert [variable.label for variable in TABLE_ONE] == PRINTED.replace("\n", "|").split("|")


def test_names_are_unique():
    assert len(BY_NAME) == len(VARIABLES) == 60


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_values_are_possible(name):
    low, high = ORDINARY[name]

    assert low in BY_NAME[name].possible
    assert high in BY_NAME[name].possible


@pytest.mark.parametrize(
    ("name", "value"), [("age", -1), ("age", 121), ("sbp_mmhg", 22), ("inr", 0.1), ("ich_volume_ml", 1245)]
)
def test_typical_mistakes_are_impossible(name, value):
    assert value not in BY_NAME[name].possible


def test_a_variable_is_consistent():
    with pytest.raises(ValueError, match="range"):
        Variable("x", "continuous", "clinical", "X", "x")
    with pytest.raises(ValueError, match="levels"):
        Variable("x", "binary", "clinical", "X", "x", levels=("a",))
    with pytest.raises(ValueError, match="empty range"):
        Range(2, 1)


def test_the_data_dictionary_is_in_step_with_the_schema():
    document = (PROJECT / DOCUMENT).read_text(encoding="utf-8")

    assert document == update_dictionary(document), "run: python -m common.cohort.dictionary"
    assert all(f"`{variable.name}`" in document for variable in VARIABLES)


def test_the_data_dictionary_names_every_criterion_and_rule():
    from common.cohort.contradictions import _BOTH_OR_NEITHER, _RULES
    from common.cohort.eligibility import CRITERIA

    document = (PROJECT / DOCUMENT).read_text(encoding="utf-8")
    rules = document.split("## What cannot be true together")[1].split("##")[0]
    criteria = document.split("## Who is excluded")[1].split("##")[0]

    assert rules.count("\n| ") == 1 + len(_RULES) + len(_BOTH_OR_NEITHER)
    assert all(f"`{column}`" in rules for rule in _RULES for column in rule.columns)
    assert [f"{i}. `{c.variable}`" in criteria for i, c in enumerate(CRITERIA, 1)] == [True] * 6


def test_a_document_without_markers_is_refused():
    with pytest.raises(ValueError, match="lacks"):
        update_dictionary(f"text {BEGIN} no end")
    assert update_dictionary(f"a\n{BEGIN}old{END}b\n").endswith(f"{END}b\n")


def test_the_example_site_file_in_the_documentation_is_valid():
    import tomllib

    from client.membership.site import SiteSettings

    document = (PROJECT / DOCUMENT).read_text(encoding="utf-8")
    example = document.split("```toml\n")[1].split("```")[0]

    settings = SiteSettings.model_validate(tomllib.loads(example))

    assert (settings.min_patients, settings.min_per_class) == (20, 10)
