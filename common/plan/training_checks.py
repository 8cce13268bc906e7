"""Contradictions between how a plan's networks are trained and how long."""

from __future__ import annotations

from collections.abc import Sequence

from common.plan.early_stopping import find_earliest_end
from common.plan.models import CnnModel
from common.plan.sections import CohortSettings, Federation


def check_early_stopping(federation: Federation, cohort: CohortSettings) -> None:
    """Refuse an early end that nothing can bring about, or that saves no round.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    stopping = federation.early_stopping
    if stopping is None:
        return
    if cohort.validation_fraction == 0:
        raise ValueError(
            "federation.early_stopping follows the validation AUC, but cohort.validation_fraction is 0 -> "
            "give patients to validation, or leave early_stopping out"
        )
    earliest = find_earliest_end(stopping)
    if earliest >= federation.rounds:
        raise ValueError(
            f"federation.early_stopping: with patience = {stopping.patience} a training ends after round "
            f"{earliest} at the earliest, but has {federation.rounds} rounds -> less patience, or leave "
            "it out"
        )


def check_schedules(networks: Sequence[CnnModel], federation: Federation) -> None:
    """Refuse a learning rate that rises until the training is over.

    Raises
    ------
    ValueError
        With the network and what to change.
    """
    epochs = federation.rounds * federation.local_epochs
    for model in networks:
        schedule = model.settings.schedule
        if schedule is not None and schedule.warm_up_epochs >= epochs:
            raise ValueError(
                f"{model.title}: the learning rate rises for {schedule.warm_up_epochs} epochs "
                f"(training.schedule.warm_up_epochs), but the training has {epochs} "
                "(federation.rounds x local_epochs) -> a shorter warm-up"
            )
