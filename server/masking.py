"""How a study's sums were hidden, for whoever reads its results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.records import Record


class Masking(Record):
    """What several centres added up to was masked (protocol SA1)."""

    minimum: int = Field(ge=2)
    """Fewest centres in a sum that was opened."""
    colluders: int = Field(ge=0)
    """How many centres may collude with the coordinator without learning another's numbers."""
    weights: Literal["frozen", "per-round", "equal"]
    """How centres weigh in a federated training."""
