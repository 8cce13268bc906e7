"""Carries out procedures of the study's program: each step goes to the sites, and their answers come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from common.messages.catalogue import Operation
from common.messages.protocol import Parameters, Reply
from common.plan.study import StudyPlan
from common.program.steps import Answered, GroupSums, Outcome, Program, Step
from common.types import FlatWeights


class Asker(Protocol):
    """Whoever carries questions to the sites."""

    @property
    def plan(self) -> StudyPlan:
        """The study's plan."""
        ...

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """The sum over each group of sites that the question is about."""
        ...

    def ask(
        self,
        operation: Operation,
        sites: Sequence[str],
        weights: FlatWeights | None = None,
        parameters: Parameters | None = None,
        **context: object,
    ) -> dict[str, Reply]:
        """The answers of all these sites."""
        ...


def carry_out(asker: Asker, procedure: str, program: Program[Outcome]) -> Outcome:
    """What a procedure comes to, once all its steps are answered.

    Parameters
    ----------
    asker : Asker
        The connection to the sites.
    procedure : str
        Its name in the study's program; every question carries it, with the number of its step.
    program : Program
        The procedure, from its beginning: on resuming, sums that are on the disk are not asked again.

    Raises
    ------
    RheError
        If a site stays away, refuses or fails.
    """
    answered: Answered | None = None
    number = 0
    try:
        while True:
            step = next(program) if answered is None else program.send(answered)
            number += 1
            answered = _ask(asker, step, {"procedure": procedure, "step": number})
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _ask(asker: Asker, step: Step, place: Mapping[str, object]) -> Answered:
    context = {**step.context, **place}
    asked = (step.parameters, step.regressions or ())
    if step.sites:
        replies = asker.ask(step.operation, step.sites, step.weights, step.parameters, **context)
        return Answered(GroupSums({}), *asked, replies)
    return Answered(asker.gather(step.operation, step.parameters, step.weights, **context), *asked)
