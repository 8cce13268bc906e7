"""Radiomics features at one site alone: only those on which its own readings agree may be selected."""

import numpy as np
import pytest
from sites.plans import LOGISTIC, plan_of
from sites.readings import NOISY, cases_read_twice

from client.answers.selection import select_alone
from common.radiomics.features import FEATURES

PAPERS = ({"sessions": 2}, {})


def a_plan(profile="standard", readers=PAPERS, **radiomics):
    model = LOGISTIC | {"name": "Combined", "covariates": ["radiomics"]}
    settings = {"folds": 3, **radiomics}
    roles, agreement = {"a": "train", "b": "train"}, {"readers": readers}
    return plan_of(roles, model, profile=profile, radiomics=settings, agreement=agreement)


@pytest.fixture(scope="module")
def cases():
    """Enough for folds of 20, 30 of them read twice."""
    return cases_read_twice("a", 120, 3, read=30)


def test_no_reading_is_needed_where_the_plan_asks_for_none(cases):
    found = select_alone(a_plan(), "a", cases)

    assert found.status == "ok"
    assert found.reproducible is None
    assert any(NOISY[FEATURES.index(name)] for name in found.names)


def test_the_lasso_sees_reproducible_features_alone(cases):
    found = select_alone(a_plan(readings=["intra", "inter"]), "a", cases)

    assert found.status == "ok"
    assert found.candidates == 851
    assert found.reproducible == np.count_nonzero(~NOISY)
    # The outcome is the sign of the second feature
    assert FEATURES[1] in found.names
    assert not any(NOISY[FEATURES.index(name)] for name in found.names)


def test_the_lasso_sees_what_all_of_three_readers_reproduce():
    cases = cases_read_twice("a", 120, 3, read=30, readings=("inter", "reader3-session1"))

    found = select_alone(a_plan(readers=[{}, {}, {}], readings=["all-readers"]), "a", cases)

    assert (found.status, found.reproducible) == ("ok", np.count_nonzero(~NOISY))


def test_of_too_few_readings_no_feature_is_taken_and_it_is_said_why():
    few = cases_read_twice("a", 120, 3, read=19)

    found = select_alone(a_plan(readings=["inter"]), "a", few)

    assert (found.names, found.status) == ((), "suppressed")
    assert found.reason == "repeated readings: fewer than 20 patients"


def test_without_a_reproducible_feature_none_is_taken(cases):
    found = select_alone(a_plan(readings=["inter"], icc_threshold=0.9999), "a", cases)

    assert (found.names, found.reproducible) == ((), 0)
    assert found.reason == "no feature is reproducible"
