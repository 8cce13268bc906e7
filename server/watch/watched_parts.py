"""What a watch needs to know of a study's parts, whatever they are otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from server.watch.time_left import Reckoning

PauseStage: TypeAlias = Literal["none", "goes on", "is over"]
"""Whether the study waits for a site: not at all, still, or no more because it has waited long enough."""
PauseEnding: TypeAlias = Literal["back", "given up", "run ended"]
"""The site answered; the study had waited long enough; or the run ended, by itself or by somebody's hand."""


class Missed(Protocol):
    """A site that cannot be reached, or does not get on."""

    @property
    def since(self) -> float:
        """Since when, in seconds since 1970."""
        ...

    @property
    def pause(self) -> PauseStage:
        """Whether the study waits for it."""
        ...


class CurveLine(Protocol):
    """A round of a training, or an epoch of a local one."""

    @property
    def number(self) -> int:
        """From 1."""
        ...

    @property
    def loss(self) -> float:
        """Mean training loss."""
        ...

    @property
    def validation_auc(self) -> float | None:
        """None where it is not known yet, or there are not both outcomes."""
        ...

    @property
    def released(self) -> bool:
        """Whether that rests on enough patients to be shown."""
        ...


class CountedTraffic(Protocol):
    """What was exchanged with the sites so far.

    Attributes
    ----------
    rounds, messages, bytes_sent, bytes_received : int
        As in `server.exchange.Traffic`.
    """

    rounds: int
    messages: int
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True)
class StudyOutline:
    """What is known of a study before anything is asked.

    Attributes
    ----------
    name, plan_hash : str
        As in the plan.
    sites : tuple of str
        Every site.
    phases : tuple of str
        In the order of the report.
    procedures : mapping of str to str
        The phase of each procedure of the program, by its name.
    reckoning : Reckoning
        What the plan tells of its time.
    """

    name: str
    plan_hash: str
    sites: tuple[str, ...]
    phases: tuple[str, ...]
    procedures: Mapping[str, str]
    reckoning: Reckoning
