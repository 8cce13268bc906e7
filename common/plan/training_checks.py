"""Contradictions between how a plan's networks are trained and how long."""

from __future__ import annotations

from collections.abc import Sequence

from common.plan.early_stopping import find_earliest_end
from common.plan.models import CnnModel
from common.plan.sections import CohortSettings, Federation, Privacy
from common.training.learning_rate import list_rates

_LOWEST_RATE = 1e-30
"""Of a step with control variates: what is divided by it stays within float32."""


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


def check_control_variates(federation: Federation, privacy: Privacy, networks: Sequence[CnnModel]) -> None:
    """Refuse SCAFFOLD together with what its algorithm does not have.

    Raises
    ------
    ValueError
        With each contradiction and what to change.
    """
    if not federation.control_variates:
        return
    others = [model.title for model in networks if model.settings.optimiser != "sgd"]
    vanishing = [model.title for model in networks if _find_lowest_rate(model, federation) < _LOWEST_RATE]
    contradictions = {
        f'{", ".join(others)}: training.optimiser is "adam", which rescales what corrects a gradient -> '
        'optimiser = "sgd", with a learning rate for it': bool(others),
        f"{', '.join(vanishing)}: the learning rate of training.schedule falls below {_LOWEST_RATE:g}, by "
        "which no mean gradient can be read from steps -> a larger factor": bool(vanishing),
        "federation.local_steps is not given: with other numbers of steps at each site, sums by step would "
        "tell the sites' updates apart -> e.g. local_steps = 4": federation.local_steps is None,
        "federation.proximal_mu is FedProx -> one of the two": federation.proximal_mu > 0,
        f'federation.server_optimiser is "{federation.server_optimiser}", from whose steps the mean gradient '
        'cannot be read -> "none" or "sgd"': federation.server_optimiser not in {"none", "sgd"},
        'federation.batch_norm = "local" trains weights that no other site has -> "averaged"': (
            federation.batch_norm == "local"
        ),
        "privacy.clip_fraction lets changes be cut, of which the control variates do not know -> 0": (
            privacy.clip_fraction > 0
        ),
        "privacy.noise would go into every later step of every site -> leave noise out": (
            privacy.noise is not None
        ),
    }
    if found := [words for words, holds in contradictions.items() if holds]:
        raise ValueError("; ".join(f"federation.control_variates (SCAFFOLD): {words}" for words in found))


def _find_lowest_rate(model: CnnModel, federation: Federation) -> float:
    """The lowest learning rate of a training: it rises to a warm-up's end, and never afterwards."""
    epochs, settings = federation.rounds * federation.local_epochs, model.settings
    rates = list_rates(
        settings.schedule, settings.learning_rate, range(1, epochs + 1, max(1, epochs - 1)), epochs
    )
    return min(rates, default=settings.learning_rate)


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
