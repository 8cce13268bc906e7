"""When, where and how fast a study ran: all of the results that may differ between two runs of one plan."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from common.messages.headers import LinkUsers, StatedPolicy
from common.runtime.machine import name_processor
from server.results.clock import tell_time
from server.results.journal import Journal, RunLine, add_up
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.admission import Admission
    from server.run import StudyRun

_PACKAGES = ("rhe", "flwr", "torch", "monai", "numpy", "scipy", "SimpleITK")


class PhaseTime(Record):
    """How long one phase took."""

    phase: str
    """Its name, e.g. "training"."""
    seconds: float
    """By the coordinator's clock."""
    rounds: int = 0
    """Of messages to the sites."""


class RunOfStudy(Record):
    """One run of the study: a study that was interrupted took several."""

    started: str
    """UTC, ISO 8601."""
    last_heard: str
    """When its last round of messages or phase was written down, UTC, ISO 8601."""
    seconds: float
    """In its phases, by the coordinator's clock."""
    rounds: Count
    """Of messages to the sites."""
    versions: dict[str, str]
    """Of the coordinator's Python and packages, by name."""


class PauseOfStudy(Record):
    """The study waited for a site that could not be reached or did not get on."""

    site: str
    """As in the plan."""
    since: str
    """When it was missed first, UTC, ISO 8601."""
    seconds: float
    """Until it answered again, was waited for no more, or the run ended."""


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
    users: LinkUsers | None = None
    """As how many users its engine and its link ran; None where there was no link, or not recorded."""


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
    runs: tuple[RunOfStudy, ...] = ()
    """Of the study, the last of which finished it; empty where not recorded."""
    earlier_runs: bool = False
    """Whether runs before these left no record: then times, rounds and messages lack theirs."""
    pauses: tuple[PauseOfStudy, ...] = ()
    """Each time that it waited for a site, in the order of their ends; empty where not recorded."""
    differences: tuple[str, ...] = ()
    """Versions of packages that are not the same everywhere, in words."""
    message_rounds: int
    """Rounds of messages to the sites."""
    messages: int
    """Messages sent to the sites."""
    bytes_sent: int
    """Of the bodies of the messages to the sites."""
    bytes_received: int
    """Of the bodies of the sites' replies."""

    def describe_users(self) -> str:
        """At which centres engine and link were one user, in one line; empty where no centre had a link."""
        joined = ", ".join(site.name for site in self.sites if site.users == "one user")
        parted = ", ".join(site.name for site in self.sites if site.users == "two users")
        if joined:
            rest = f"; two users at {parted}" if parted else ""
            return (
                f"one user at {joined}: whoever takes over the link there can read the centre's files{rest}"
            )
        return f"two users at {parted}: the link cannot read the centre's files" if parted else ""

    def describe_rounds(self) -> str:
        """How many rounds of messages the study took, in one line."""
        phases = ", ".join(f"{phase.phase} {phase.rounds}" for phase in self.phases if phase.rounds)
        runs = f" in {len(self.runs)} runs" if len(self.runs) > 1 else ""
        return f"{self.message_rounds} rounds of messages{runs}: {phases}"


def read_own_versions() -> dict[str, str]:
    """The coordinator's versions of Python and of the packages that decide numbers and messages, by name.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If a package of the coordinator is not installed.
    """
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}


def record_provenance(run: StudyRun, journal: Journal, admission: Admission) -> Provenance:
    """When, where and how fast the study ran, in all its runs; it ends now.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If a package of the coordinator is not installed.
    """
    phases = add_up(journal.phases).values()
    versions = read_own_versions()
    return Provenance(
        started=journal.runs[0].started,
        finished=tell_time(),
        backend=run.backend,
        python=versions.pop("python"),
        versions=versions,
        processor=f"{name_processor()}, {os.cpu_count()} logical processors",
        sites=tuple(
            SiteProvenance(
                name=site,
                device=stated.device,
                versions=stated.versions,
                policy=stated.policy,
                users=stated.users,
            )
            for site, stated in sorted(admission.facts.items())
        ),
        phases=tuple(
            PhaseTime(phase=cost.phase, seconds=round(cost.seconds, 3), rounds=cost.rounds) for cost in phases
        ),
        roster="" if run.roster is None or not run.plan.hides_sums else run.roster.fingerprint,
        message_rounds=sum(cost.rounds for cost in phases),
        messages=sum(cost.messages for cost in phases),
        bytes_sent=sum(cost.bytes_sent for cost in phases),
        bytes_received=sum(cost.bytes_received for cost in phases),
        runs=tuple(_record_run(journal, line) for line in journal.runs),
        earlier_runs=journal.runs[0].earlier,
        pauses=tuple(
            PauseOfStudy(site=line.site, since=line.since, seconds=line.seconds) for line in journal.pauses
        ),
        differences=admission.differences,
    )


def _record_run(journal: Journal, begun: RunLine) -> RunOfStudy:
    phases = [cost for cost in journal.phases if cost.run == begun.run]
    return RunOfStudy(
        started=begun.started,
        last_heard=max((cost.at for cost in phases), default=begun.started),
        seconds=round(sum(cost.seconds for cost in phases), 3),
        rounds=sum(cost.rounds for cost in phases),
        versions=begun.versions,
    )
