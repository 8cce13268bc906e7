"""What a study lacks, in notes: outcomes at centres, models that failed, and what depended on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from common.plan.study import StudyPlan
from common.stats.estimate import Status

if TYPE_CHECKING:
    from server.phases.explanation import ExplainedModels
    from server.phases.preparation import Preparation
    from server.phases.training import TrainedModel


def note_centres_without_outcome(plan: StudyPlan, preparation: Preparation) -> Iterator[str]:
    """Which centres have patients of one outcome only, or none; a number of 0 may be told of any centre."""
    for site in plan.site_names:
        negative, positive = preparation.counted[site].sum(axis=0).tolist()
        if negative + positive == 0:
            yield f"{site} has no patient who could be used: nothing is reported of it."
        elif 0 in {negative, positive}:
            missing = f"{'with' if positive == 0 else 'without'} {plan.cohort.outcome.noun}"
            yield (
                f"{site} has no patient {missing}: it is left out of what needs both outcomes, as "
                "its own AUC, a model of its patients alone, and the mean over centres. Its patients count in"
                " cohorts of several centres."
            )


def note_untrained(trained: Sequence[TrainedModel]) -> Iterator[str]:
    """Which networks there are not, and why."""
    for network in trained:
        if not network.standing.ok:
            yield f"{network.model.name} ({network.arm.name}) was {network.standing.reason}."


def note_missing_reference(
    plan: StudyPlan, reference: str | None, missing: Mapping[tuple[str, str], Status]
) -> Iterator[str]:
    """That nothing is compared with the reference model, where it is missing in every arm."""
    if reference is None:
        return
    model = next(model for model in plan.models if model.name == reference)
    reasons = [missing.get((reference, arm.name)) for arm in plan.arms_of(model)]
    known = [status.reason for status in reasons if status is not None]
    if len(known) == len(reasons):
        yield f"No model is compared with {reference}, the reference model: it was {known[0]}."


def note_unexplained(explanation: ExplainedModels) -> Iterator[str]:
    """Which networks have no attention maps because these could not be drawn."""
    for (model, arm), status in explanation.failed.items():
        yield f"The attention of {model} ({arm}) is not shown: {status.reason}."
