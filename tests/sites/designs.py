"""One plan of each design, and short names of cohorts and scores in them."""

from __future__ import annotations

from collections.abc import Iterable

from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.matrix import PARTS, Cohort, scorers_of
from common.plan.study import StudyPlan

_MODELS = (NETWORK, LOGISTIC, SCALE)
DESIGNS = {
    "together": plan_of(
        {"a": "train+", "b": "train", "c": "external"}, *_MODELS, arms={"pooled_model": True}
    ),
    "leave-one-out": plan_of(
        {"a": "train", "b": "train", "c": "train"},
        *_MODELS,
        arms={"design": "leave-one-centre-out", "local_models": False, "subtraction_ack": True},
    ),
    "paper": plan_of({"a": "train", "b": "external"}, *_MODELS),
    "paper, released": plan_of({"a": "train+", "b": "external"}, *_MODELS),
    "scores alone": plan_of({"a": "external", "b": "external"}),
    "one site": plan_of({"a": "train"}, *_MODELS),
    "one external site": plan_of({"a": "external"}),
}


def cohort_of(written: str) -> Cohort:
    """The cohort that is written as "a+b:test"."""
    sites, _, named = written.partition(":")
    (part,) = (part for part in PARTS if part == named)
    return Cohort(tuple(sites.split("+")), part)


def write_cohort_name(cohort: Cohort) -> str:
    """The cohort as `cohort_of` reads it."""
    return f"{'+'.join(cohort.sites)}:{cohort.part}"


def name_scores(plan: StudyPlan, numbers: Iterable[int]) -> list[str]:
    """The scores of these numbers, as "Net@federated"."""
    scorers = scorers_of(plan)
    return [f"{scorers[number].model.name}@{scorers[number].arm.name}" for number in numbers]
