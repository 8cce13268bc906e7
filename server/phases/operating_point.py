"""Step of the evaluation: the score from which a patient is called positive, fixed or chosen in training."""

from __future__ import annotations

import numpy as np

from common.headers import Operation
from common.matrix import PARTS, Scorer, compared_cohorts, scorers_of
from common.stats.minima import minima_of
from common.stats.youden import finish_youden
from common.study import ScoresModel, StudyPlan
from common.types import Flags, Reals
from server.exchange import Exchange

_TRAIN = PARTS.index("train")


def operating_points(exchange: Exchange, permitted: Flags, scored: Flags) -> tuple[Reals, tuple[Scorer, ...]]:
    """One threshold a score, on the scale of [0, 1], before any test patient is looked at.

    Parameters
    ----------
    permitted : bool array, shape (sites, parts, scorers)
        What each site may be asked for.
    scored : bool array, shape (scorers,)
        Whose model exists.

    Returns
    -------
    float array, shape (scorers,)
        The plan's, or by Youden's index on the training patients.
    tuple of Scorer
        Whose could not be chosen, for want of training patients: the plan's threshold stands.
    """
    plan = exchange.plan
    scorers = scorers_of(plan)
    fixed = np.array([fixed_threshold(plan, scorer) for scorer in scorers])
    if plan.evaluation.operating_point == "fixed":
        return fixed, ()
    if not plan.training_sites or not permitted[:, _TRAIN].any():
        return fixed, scorers
    asked = np.zeros_like(permitted)
    asked[:, _TRAIN] = permitted[:, _TRAIN]
    nothing = np.zeros(len(compared_cohorts(plan, scored.tolist())), dtype=np.bool_)
    answers = exchange.gather(
        Operation.EVALUATE,
        {"asked": asked, "paired": nothing, "thresholds": fixed, "scored": scored},
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


def fixed_threshold(plan: StudyPlan, scorer: Scorer) -> float:
    """The plan's operating point; of a score of the table, its own on the scale of [0, 1]."""
    model = scorer.model
    if isinstance(model, ScoresModel) and model.threshold is not None:
        return model.scaled(model.threshold)
    return plan.evaluation.threshold
