"""Step of the evaluation: the score from which a patient is called positive, fixed or chosen in training."""

from __future__ import annotations

import numpy as np

from common.messages.headers import Operation
from common.plan.matrix import PARTS, Scorer, find_compared_cohorts, scorers_of
from common.plan.study import ScoresModel, StudyPlan
from common.stats.minima import minima_of
from common.stats.youden import finish_youden
from common.types import Flags, Reals
from server.exchange import Exchange

_TRAIN = PARTS.index("train")


def choose_thresholds(
    exchange: Exchange, permitted: Flags, scored: Flags
) -> tuple[Reals, tuple[Scorer, ...]]:
    """The threshold of each score, on the scale of [0, 1], before any test patient is used.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    permitted : bool array, shape (sites, parts, scorers)
        Which scores each site may be asked for, by part.
    scored : bool array, shape (scorers,)
        Whether the score's model exists.

    Returns
    -------
    float array, shape (scorers,)
        The plan's thresholds, or those with the largest Youden index on the training patients.
    tuple of Scorer
        Scores that keep the plan's threshold, because too few training patients have them.
    """
    plan = exchange.plan
    scorers = scorers_of(plan)
    fixed = np.array([fixed_threshold_of(plan, scorer) for scorer in scorers])
    if plan.evaluation.operating_point == "fixed":
        return fixed, ()
    if not plan.training_sites or not permitted[:, _TRAIN].any():
        return fixed, scorers
    asked = np.zeros_like(permitted)
    asked[:, _TRAIN] = permitted[:, _TRAIN]
    none_paired = np.zeros(len(find_compared_cohorts(plan, scored.tolist())), dtype=np.bool_)
    answers = exchange.gather(
        Operation.EVALUATE,
        {"asked": asked, "paired": none_paired, "thresholds": fixed, "scored": scored},
    )
    chosen, unchosen = fixed.copy(), []
    for index, scorer in enumerate(scorers):
        sites = scorer.arm.sites or plan.training_sites
        trained = answers.of(sites).part(f"train/{index}").part("roc")
        point = finish_youden(trained, minima_of(plan.profile))
        if point.threshold is None:
            unchosen.append(scorer)
        else:
            chosen[index] = point.threshold
    return chosen, tuple(unchosen)


def fixed_threshold_of(plan: StudyPlan, scorer: Scorer) -> float:
    """The threshold that the plan gives for a score, on the scale of [0, 1]."""
    model = scorer.model
    if isinstance(model, ScoresModel) and model.threshold is not None:
        return model.scale(model.threshold)
    return plan.evaluation.threshold
