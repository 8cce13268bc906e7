"""How far Adam can move a weight in a round of the paper's plan: never to the bound at which masks clip."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from common.plan.study import load_plan

PAPER = load_plan(Path(__file__).parents[3] / "deploy" / "plans" / "paper.toml")
FIRST, SECOND = 0.9, 0.999
"""Adam's decay rates: torch's own, which training does not change."""


def longest_step(number: int) -> float:
    """The longest step of this number in learning rates, whatever the gradients were: Cauchy and Schwarz."""
    shares = sum((FIRST**2 / SECOND) ** back for back in range(number))
    first = (1 - FIRST) / (1 - FIRST**number)
    second = (1 - SECOND) / (1 - SECOND**number)
    return first * math.sqrt(shares / second)


@pytest.mark.parametrize("number", [1, 2, 10, 63])
def test_torch_takes_the_longest_step_and_no_longer_one(number):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser = torch.optim.Adam([weight], lr=0.01, eps=0.0)
    for back in reversed(range(number)):
        weight.grad = torch.full_like(weight, -((FIRST / SECOND) ** back))
        before = weight.item()
        optimiser.step()

    assert weight.item() - before == pytest.approx(0.01 * longest_step(number), rel=1e-9)


@pytest.mark.parametrize("model", PAPER.networks, ids=lambda model: model.name)
def test_no_gradient_moves_a_weight_of_the_paper_s_eight_to_the_bound_in_a_round(model):
    patients, epochs = PAPER.privacy.largest_site, PAPER.federation.local_epochs
    steps = epochs * math.ceil(patients / model.settings.batch_size)

    farthest = model.settings.learning_rate * sum(map(longest_step, range(1, steps + 1)))

    assert len(PAPER.networks) == 8
    assert farthest < PAPER.privacy.clip / 4
