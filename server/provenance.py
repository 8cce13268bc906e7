"""When, where and how fast a study ran: all of the results that may differ between two runs of one plan."""

from __future__ import annotations

from common.headers import StatedPolicy
from server.records import Record


class PhaseTime(Record):
    """How long one phase took."""

    phase: str
    seconds: float
    rounds: int = 0
    """Of messages to the sites."""


class SiteProvenance(Record):
    """What one site computed with."""

    name: str
    device: str
    versions: dict[str, str]
    policy: StatedPolicy | None = None
    """What it asked of the plan."""


class Provenance(Record):
    """When, where and how fast: all that may differ between two runs of one plan."""

    started: str
    """UTC, ISO 8601."""
    finished: str
    """UTC, ISO 8601."""
    backend: str
    """How the sites were reached."""
    python: str
    versions: dict[str, str]
    """Of the coordinator's packages."""
    processor: str
    """Of the coordinator."""
    sites: tuple[SiteProvenance, ...]
    phases: tuple[PhaseTime, ...]
    roster: str = ""
    """Fingerprint of the list of centres that the authority signed, where sums were hidden."""
    message_rounds: int
    messages: int
    bytes_sent: int
    bytes_received: int

    def rounds(self) -> str:
        """How many rounds of messages the study took, in one line."""
        phases = ", ".join(f"{phase.phase} {phase.rounds}" for phase in self.phases if phase.rounds)
        return f"{self.message_rounds} rounds of messages: {phases}"
