"""How a study extracts radiomics, and what a card remembers of it."""

import pytest
from sites.plans import plan_of

from common.cards.card import describe_svm
from common.imaging import preprocess
from common.messages.headers import FittedSvm, Standardised
from common.plan import extraction
from common.plan.extraction import extraction_of, feature_version

MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["age", "radiomics"]}
SPHERICITY = "original_shape_Sphericity"


def test_a_plan_s_own_settings_are_taken():
    plan = plan_of(
        {"a": "train"}, MACHINE, radiomics={"voi": "ICH+IVH"}, preprocessing={"spacing_mm": [2.0, 2.0, 4.0]}
    )

    assert extraction_of(plan).voi == "ICH+IVH"
    assert extraction_of(plan).spacing_mm == (2.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("module", "name"),
    [(extraction, "EXTRACTION_ALGORITHM"), (preprocess, "PREPROCESSING_ALGORITHM")],
)
def test_whatever_changes_the_numbers_changes_the_version(module, name, monkeypatch):
    before = feature_version()

    monkeypatch.setattr(module, name, getattr(module, name) + 1)

    assert "PyRadiomics 3.0.1" in before
    assert feature_version() != before


@pytest.mark.parametrize(("variable", "recipe"), [(SPHERICITY, True), ("age", False)])
def test_a_machine_s_card_has_a_recipe_only_for_features(variable, recipe):
    plan = plan_of({"a": "train"}, MACHINE)
    column = Standardised(variable=variable, mean=0.5, sd=0.1)

    content = describe_svm(plan, FittedSvm(covariates=(variable, "sah"), columns=(column,)))

    assert (content.radiomics is not None) is recipe
    assert [(one.name, one.mean) for one in content.covariates] == [
        (variable, 0.5 if recipe else None),
        ("sah", None),
    ]
    assert content.seed == plan.seed
