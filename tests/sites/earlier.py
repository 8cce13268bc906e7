"""Models of an earlier study, made by hand: their files, and plans that validate them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sites.plans import LOGISTIC, NETWORK, plan_of

from common.cards.card import (
    Content,
    ModelCard,
    TrainingCentre,
    describe_logistic,
    describe_network,
    list_excluded,
)
from common.cards.card_file import CARD_KEY, save_card, serialise_card
from common.cards.card_in_plan import describe_in_plan
from common.messages.headers import Effect, Fitted
from common.models.checkpoint import Checkpoint, save
from common.models.layout import Layout
from common.models.weights import flatten
from common.models.zoo import build
from common.plan.study import StudyPlan

FIRST = {"old1": "train", "old2": "train"}


def an_effect(variable: str, log_odds: float, level: str = "") -> Effect:
    """A coefficient of a logistic model."""
    return Effect(
        variable=variable, level=level, log_odds=log_odds, standard_error=0.1, p=0.1, p_likelihood_ratio=0.1
    )


EFFECTS = (an_effect("age", 0.0413), an_effect("ivh", 0.9), an_effect("location", -0.7, "deep"))


def first_plan(**changes: object) -> StudyPlan:
    """The plan of the study that trained the models."""
    return plan_of(FIRST, LOGISTIC | {"covariates": ["age", "ivh", "location"]}, NETWORK, **changes)


def make_card(plan: StudyPlan, content: Content, name: str) -> ModelCard:
    """The card of a federated model."""
    return ModelCard(
        study=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        model=name,
        arm="federated",
        training=tuple(TrainingCentre(site=site, patients=60) for site in plan.training_sites),
        outcome=plan.cohort.outcome,
        operating_point=0.4,
        operating_point_from="youden",
        excluded=list_excluded(plan),
        versions={"rhe": "1"},
        content=content,
    )


def write_logistic(folder: Path, plan: StudyPlan, effects: tuple[Effect, ...] = EFFECTS) -> Path:
    """The file of a logistic model."""
    fitted = Fitted(effects=effects, intercept=-3.0, used=100, missing=0, method="by hand")
    path = folder / "clinical.json"
    save_card(path, make_card(plan, describe_logistic(plan, fitted), "Clinical"))
    return path


def write_network(folder: Path, plan: StudyPlan) -> Path:
    """The file of a network with random weights."""
    network = build(plan.networks[0].network(plan.preprocessing), 3)
    card = make_card(plan, describe_network(plan, plan.networks[0], 2), "Net")
    path = folder / "net.safetensors"
    metadata = {"plan": plan.digest(), "model": "Net", CARD_KEY: serialise_card(card)}
    save(path, Checkpoint(np.array(flatten(network)), Layout.of(network), metadata))
    return path


def section_of(path: Path, **changes: object) -> dict[str, object]:
    """What a plan says of the model in a file."""
    return describe_in_plan(path).model_dump(mode="json") | changes
