"""Which networks' trainings take turns, and which are too large to travel with anything else."""

from __future__ import annotations

from collections.abc import Iterator

from common.plan.message_size import MOST_TOGETHER, size_weights
from common.plan.study import CnnModel, StudyPlan
from common.program.names import name_training

_MOST_AT_ONCE = 4 * MOST_TOGETHER
"""Bytes of the weights of networks that are trained beside each other."""


def travels_alone(model: CnnModel) -> bool:
    """Whether a network is so large that its messages carry no other question: none is copied."""
    return size_weights(model) > MOST_TOGETHER


def list_turns(plan: StudyPlan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each training, and of those that end before it begins: few weights are there at once."""
    before: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    size = 0
    for model in plan.networks:
        for arm in plan.all_arms():
            name = name_training(model, arm)
            if arm.kind == "pooled":
                # It was trained before the study
                yield name, ()
                continue
            if group and size + size_weights(model) > _MOST_AT_ONCE:
                before, group, size = group, (), 0
            group, size = (*group, name), size + size_weights(model)
            yield name, before
