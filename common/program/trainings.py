"""The steps of a model's training: rounds over several sites, or at one site alone."""

from __future__ import annotations

from dataclasses import replace

from common.messages.catalogue import Operation
from common.plan.models import AnyTrainedModel
from common.plan.study import Arm, CnnModel, StudyPlan
from common.program.steps import Answered, Program, Step, ask
from common.types import FlatWeights


def list_rounds(plan: StudyPlan, model: CnnModel, arm: Arm) -> tuple[Step, ...]:
    """The questions of a federated training, in their order; the sites' weight is summed once.

    A site may miss a round, so none of them has to be asked of it.
    """
    first = Step(
        Operation.TRAIN, model=model.name, arm=arm.name, round=1, carries_weights=True, is_optional=True
    )
    rounds = [replace(first, round=number) for number in range(1, plan.federation.rounds + 1)]
    weighing = [Step(Operation.WEIGHT, arm=arm.name, is_optional=True)]
    validating = replace(first, operation=Operation.VALIDATE, round=plan.federation.rounds)
    return (*rounds[:1], *weighing, *rounds[1:], validating)


def number_round(plan: StudyPlan, model: CnnModel, arm: Arm, operation: Operation, number: int = 0) -> int:
    """The number of a training's step, from 1."""
    steps = list_rounds(plan, model, arm)
    if operation is Operation.VALIDATE:
        # Of the last round, whichever that is
        return len(steps)
    places = [(step.operation, step.round) for step in steps]
    return 1 + places.index((operation, number))


def train_over_sites(plan: StudyPlan, model: CnnModel, arm: Arm) -> Program[None]:
    """A federated training as a site follows it: its weights are proved in the rounds themselves.

    Where the plan lets it end early, the coordinator says with which round: it is judged once, none follows.
    """
    *rounds, validating = list_rounds(plan, model, arm)
    may_end_early, last = plan.federation.early_stopping is not None, plan.federation.rounds
    first = 1 if may_end_early else last
    for step in rounds:
        is_asked = (yield step) is not None
        if may_end_early and is_asked and step.round:
            first = step.round
    # A site may have missed the last round, but took part in no later one
    for number in range(first, last + 1):
        if (yield replace(validating, round=number)) is not None:
            return


def train_at_site(
    plan: StudyPlan, model: AnyTrainedModel, arm: Arm, weights: FlatWeights | None = None
) -> Program[tuple[Answered, Answered | None]]:
    """A model of one site, and its release where the plan declares one: both answers.

    Parameters
    ----------
    plan : StudyPlan
    model : AnyTrainedModel
    arm : Arm
        The site's own.
    weights : float32 vector or None
        With which a network starts; at a site that does not know them, and for other models, None.
    """
    (site,) = arm.sites
    is_network = isinstance(model, CnnModel)
    step = Step(Operation.TRAIN_LOCAL, model=model.name, arm=arm.name, sites=arm.sites)
    trained = yield from ask(replace(step, weights=weights, carries_weights=is_network))
    if not plan.site(site).model_release:
        return trained, None
    return trained, (yield from ask(replace(step, operation=Operation.RELEASE)))
