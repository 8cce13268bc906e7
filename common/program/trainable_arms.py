"""Whether the training patients of an arm can train a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.cohort.split import FEWEST_TRAINING
from common.plan.matrix import SPLITS
from common.plan.study import Arm, StudyPlan
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import minima_of
from common.types import Counts


def judge_counted_training(plan: StudyPlan, counted: Mapping[str, Counts], arm: Arm) -> Status:
    """Whether the training patients of an arm can train a network: both outcomes, and sites enough.

    A site with one outcome trains with the others: its patients are part of the mean over all. A site with
    too few patients to train adds nothing, and may leave too few sites for what the plan promises of sums.

    Parameters
    ----------
    plan : StudyPlan
    counted : mapping of str to int array, shape (parts, 2)
        Each site's patients of each of `SPLITS`, without and with the outcome.
    arm : Arm
        Whose training patients.
    """
    tables = [counted[site][SPLITS.index("train")] for site in arm.sites]
    training = [table for table in tables if table.sum() >= FEWEST_TRAINING]
    if not training:
        return undefined("too few training patients")
    if not np.sum(training, axis=0).all():
        return undefined("training patients of one class only")
    minima = minima_of(plan.profile)
    needed = min(minima.sites, 2) if plan.two_site_ack else minima.sites
    needed = min(len(arm.sites), max(2, needed))
    if arm.kind == "federated" and len(training) < needed:
        return suppressed(f"fewer than {needed} sites with training patients")
    return OK
