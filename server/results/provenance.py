"""When, where and how fast a study ran: all of the results that may differ between two runs of one plan."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from common.messages.headers import SiteFacts, StatedPolicy
from common.runtime.machine import name_processor
from server.results.clock import PhaseClock
from server.results.records import Record

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.run import StudyRun

_PACKAGES = ("rhe", "flwr", "torch", "monai", "numpy", "scipy")


class PhaseTime(Record):
    """How long one phase took."""

    phase: str
    """Its name, e.g. "training"."""
    seconds: float
    """By the coordinator's clock."""
    rounds: int = 0
    """Of messages to the sites."""


class SiteProvenance(Record):
    """What one site computed with."""

    name: str
    """As in the plan."""
    device: str
    """What torch computes on, with the hardware's name."""
    versions: dict[str, str]
    """Of python and the packages that decide the bits, by name."""
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
    """The coordinator's version of Python."""
    versions: dict[str, str]
    """Of the coordinator's packages, by name."""
    processor: str
    """Of the coordinator."""
    sites: tuple[SiteProvenance, ...]
    """By name."""
    phases: tuple[PhaseTime, ...]
    """In the order of the study."""
    roster: str = ""
    """Fingerprint of the list of centres that the authority signed, where sums were hidden."""
    message_rounds: int
    """Rounds of messages to the sites."""
    messages: int
    """Messages sent to the sites."""
    bytes_sent: int
    """Of the bodies of the messages to the sites."""
    bytes_received: int
    """Of the bodies of the sites' replies."""

    def describe_rounds(self) -> str:
        """How many rounds of messages the study took, in one line."""
        phases = ", ".join(f"{phase.phase} {phase.rounds}" for phase in self.phases if phase.rounds)
        return f"{self.message_rounds} rounds of messages: {phases}"


def record_provenance(
    run: StudyRun, exchange: Exchange, clock: PhaseClock, facts: Mapping[str, SiteFacts]
) -> Provenance:
    """When, where and how fast the study ran; it ends now.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If a package of the coordinator is not installed.
    """
    traffic = exchange.traffic
    return Provenance(
        started=clock.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        backend=run.backend,
        python=platform.python_version(),
        versions={package: version(package) for package in _PACKAGES},
        processor=f"{name_processor()}, {os.cpu_count()} logical processors",
        sites=tuple(
            SiteProvenance(name=site, device=stated.device, versions=stated.versions, policy=stated.policy)
            for site, stated in sorted(facts.items())
        ),
        phases=tuple(
            PhaseTime(phase=name, seconds=round(cost.seconds, 3), rounds=cost.rounds)
            for name, cost in clock.costs.items()
        ),
        roster="" if run.roster is None or not run.plan.hides_sums else run.roster.fingerprint,
        message_rounds=traffic.rounds,
        messages=traffic.messages,
        bytes_sent=traffic.bytes_sent,
        bytes_received=traffic.bytes_received,
    )
