"""How a study's sums were hidden, for whoever reads its results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.records import Record


class AddedNoise(Record):
    """The noise on the federated trainings, and what all of them together tell of one centre (site)."""

    multiplier: float
    """Its standard deviation, in norms."""
    norm: float
    """Bound of a centre's change in a round."""
    norm_buffers: float
    """The same of BatchNorm's statistics."""
    releases: int
    """Rounds of all trainings in which the busiest centre takes part."""
    delta: float
    epsilon: float
    """Towards the coordinator, the colluders and whoever gets the models."""
    epsilon_among: float
    """Towards one more centre, which knows its own noise."""


class Masking(Record):
    """What several centres added up to was masked (protocol SA1)."""

    minimum: int = Field(ge=2)
    """Fewest centres in a sum that was opened."""
    colluders: int = Field(ge=0)
    """How many centres may collude with the coordinator without learning another's numbers."""
    weights: Literal["frozen", "per-round", "equal"]
    """How centres weigh in a federated training."""
    noise: AddedNoise | None = None
    """If the plan asks for noise and models were trained over several centres."""
