"""A round, or an iteration, from its first message to its sum, over any transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from common.secagg.coordinator import SiteRefusedError
from common.secagg.errors import SecAggError
from common.secagg.server import ServerRound, Stage
from common.secagg.server_files import Sums
from common.secagg.server_session import ServerSession, SessionStage
from common.secagg.wire import Bytes

Exchange: TypeAlias = Callable[[Mapping[str, bytes]], Mapping[str, Bytes]]
"""Sends each site its message; returns the answers of those that gave one in time."""


class Asking(Protocol):
    """A round or a session."""

    def requests(self) -> dict[str, bytes]:
        """What to send to each site that has not answered."""

    def receive(self, site: str, message: Bytes, /) -> None:
        """Takes a site's answer."""

    def missing(self) -> tuple[str, ...]:
        """Sites that have not answered."""


def gather(machine: Asking, exchange: Exchange, patience: int = 3) -> None:
    """Asks whoever has not answered, up to `patience` times; a site that is busy is asked again.

    Raises
    ------
    SiteRefusedError
        If a site refuses for another reason.
    SecAggError, ProtocolError
        If an answer is not what it should be.
    """
    for _ in range(patience):
        refusals = []
        for site, answer in exchange(machine.requests()).items():
            try:
                machine.receive(site, answer)
            except SiteRefusedError as refusal:
                if refusal.code != "E_BUSY":
                    refusals.append(refusal)
        if refusals:
            # The others' answers count; whoever gives the refusing site up can go on with them
            raise refusals[0]
        if not machine.missing():
            return


def run_round(server: ServerRound, exchange: Exchange, patience: int = 3) -> Sums:
    """The round's sums, from wherever it had come to; `finish` it when they are used.

    Raises
    ------
    SecAggError
        E_MIN or E_SET_CHANGE if too few sites answer, E_SET_INCOMPLETE if the seeds of some are out of
        reach: whoever calls may wait and call again, or give the round up with `lose`.
    """
    if server.stage is Stage.JOINING:
        gather(server, exchange, patience)
        server.proceed()
    while server.stage is Stage.COLLECTING:
        gather(server, exchange, patience)
        if server.missing():
            server.retry()
        else:
            server.proceed()
    if server.stage is Stage.REVEALING:
        gather(server, exchange, patience)
    return server.open()


def open_session(server: ServerSession, exchange: Exchange, patience: int = 3) -> None:
    """Agrees on the session's set, from wherever it had come to.

    Raises
    ------
    SecAggError
        E_MIN or E_SET_CHANGE if there is no set; E_SET_INCOMPLETE if a member has not agreed.
    """
    while server.stage in {SessionStage.JOINING, SessionStage.ADMITTING}:
        gather(server, exchange, patience)
        server.proceed()


def run_step(server: ServerSession, exchange: Exchange, parameters: bytes, patience: int = 3) -> Sums:
    """The sums at these parameters.

    Raises
    ------
    SecAggError
        E_SET_INCOMPLETE if a member has not answered: whoever calls may wait and call again.
    """
    opened = server.ask(parameters)
    if opened is not None:
        return opened
    gather(server, exchange, patience)
    return server.open()


def finish(server: ServerRound | ServerSession, exchange: Exchange, patience: int = 3) -> bool:
    """Tells the sites to forget what was closed or lost; returns whether all have."""
    try:
        gather(server, exchange, patience)
    except SecAggError:
        # Nothing depends on it: a site erases by itself at the deadline
        return False
    return not server.missing()
