"""A card says which definition of the BRAIN score its model takes, and with how many threads it computes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sites.plans import LOGISTIC, plan_of

from common.cards.card import (
    LogisticContent,
    NetworkContent,
    describe_logistic,
    describe_network,
    design_of_card,
)
from common.messages.headers import Effect, Fitted

FITTED = Fitted(
    effects=tuple(
        Effect(variable=name, level="", log_odds=0.1, standard_error=0.1, p=0.3, p_likelihood_ratio=0.3)
        for name in ("age", "brain_score")
    ),
    intercept=-1.0,
    method="maximum likelihood",
    status="ok",
)


def described(**cohort):
    plan = plan_of({"a": "train"}, LOGISTIC | {"covariates": ["age", "brain_score"]}, cohort=cohort)
    return describe_logistic(plan, FITTED)


@pytest.mark.parametrize("brain_a", ["warfarin", "anticoagulation"])
def test_a_card_carries_the_plan_s_definition_of_the_brain_score(brain_a):
    content = described(brain_a=brain_a)

    assert [covariate.brain_a for covariate in content.covariates] == [None, brain_a]
    assert ("anticoagulation" in content.covariates[1].label) is (brain_a == "anticoagulation")
    assert design_of_card(LogisticContent.model_validate_json(content.model_dump_json())).brain_a == brain_a


def test_an_older_card_has_the_published_score():
    written = described(brain_a="anticoagulation").model_dump()
    for covariate in written["covariates"]:
        del covariate["brain_a"]

    assert design_of_card(LogisticContent.model_validate(written)).brain_a == "warfarin"


@pytest.mark.parametrize("threads", [0, 257, 100_000])
def test_a_card_asks_for_no_more_threads_than_a_plan_may(threads):
    """With a hundred thousand, torch ends the process that predicts."""
    plan = plan_of({"a": "train"}, {"name": "n", "family": "resnet18"})
    said = describe_network(plan, plan.networks[0], 1).model_dump() | {"threads": threads}

    with pytest.raises(ValidationError, match="threads"):
        NetworkContent.model_validate(said)
