"""What no single setting of a plan tells: sites, phases and models that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.cohort.score_columns import score_columns
from common.noise import noise_of

if TYPE_CHECKING:
    from common.study import StudyPlan


def check_design(plan: StudyPlan) -> None:
    """Sites, arms and phases.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    names = [site.name.lower() for site in plan.sites]
    if len(set(names)) < len(names):
        raise ValueError(f"two sites have one name: {sorted(names)} -> rename one")
    training = plan.training_sites
    if not training and (plan.trained_models or "regression" in plan.phases):
        raise ValueError('no site has role = "train" -> give at least one site that role')
    if plan.arms.design == "leave-one-centre-out" and len(training) < 2:
        raise ValueError("leave-one-centre-out needs at least two training sites")
    if plan.arms.pooled_model and plan.profile != "simulation":
        raise ValueError('pooled_model moves patients and exists only with profile = "simulation"')
    if len(plan.sites) == 2 and not plan.two_site_ack:
        raise ValueError(
            "with two sites each learns the other's sums by subtraction -> two_site_ack = true says that "
            "all know"
        )
    if len(set(plan.phases)) < len(plan.phases):
        raise ValueError(f"phases has one twice: {list(plan.phases)} -> name each once")
    needs_training = {"evaluation", "explanation"} & set(plan.phases) and plan.trained_models
    if needs_training and "training" not in plan.phases:
        raise ValueError('evaluation and explanation need the models of training -> add "training" to phases')


def check_privacy(plan: StudyPlan) -> None:
    """What hides sums, and the noise on them.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    if plan.privacy.noise is not None:
        if not plan.hides_sums:
            raise ValueError(
                "noise is added under masks -> privacy.secure = true and at least two sites, or no "
                "privacy.noise"
            )
        for part in ("weights", "buffers"):
            noise_of(plan, part)
    starts_alike = any(model.initialisation == "imagenet" for model in plan.networks)
    if plan.hides_sums and plan.arms.design == "leave-one-centre-out" and starts_alike:
        raise ValueError(
            "leave-one-centre-out arms that all start from ImageNet weights tell each centre's first update "
            '-> initialisation = "random", or privacy.secure = false'
        )


def check_models(plan: StudyPlan) -> None:
    """Names, scores and covariates.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    lowered = [model.name.lower() for model in plan.models]
    if len(set(lowered)) < len(lowered):
        raise ValueError(f"two models have one name: {sorted(lowered)} -> rename one")
    score_columns((model.column, model.low, model.high) for model in plan.scores)
    networks = {model.name for model in plan.networks}
    strangers = {name for model in plan.table_models for name in model.networks} - networks
    if strangers:
        raise ValueError(
            f"a model takes the score of {', '.join(sorted(strangers))}: no network of the plan -> "
            f"choose among {', '.join(sorted(networks)) or 'none'}"
        )
    reference, names = plan.evaluation.reference_model, [model.name for model in plan.models]
    if reference is not None and reference not in names:
        raise ValueError(
            f"evaluation.reference_model {reference!r} is none of the models -> choose among "
            f"{', '.join(names)}"
        )
    # Ties of a score of few values are exact only if no two of its values share a bin.
    for model in plan.scores:
        if model.values is not None and model.values > plan.evaluation.bins:
            raise ValueError(
                f"the score {model.name!r} can take {model.values} values, more than evaluation.bins = "
                f"{plan.evaluation.bins} -> more bins, or no step"
            )
