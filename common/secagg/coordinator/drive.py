"""Conducts a round or an iteration from its first message to its sum, over any transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from common.secagg.codes import SecAggError
from common.secagg.coordinator.asking import Asking
from common.secagg.coordinator.files import Sums
from common.secagg.coordinator.gathering import SiteRefusedError
from common.secagg.coordinator.round import ServerRound, Stage
from common.secagg.coordinator.session import ServerSession, SessionStage
from common.secagg.wire.frames import Bytes

MessageExchange: TypeAlias = Callable[[Mapping[str, bytes]], Mapping[str, Bytes]]
"""Sends each site its message, both by the site's name; returns the answers that came in time."""


def gather(machine: Asking, exchange: MessageExchange, patience: int = 3) -> None:
    """Ask the sites that have not answered, up to `patience` times; a busy site is asked again.

    Raises
    ------
    SiteRefusedError
        If a site refuses for another reason.
    SecAggError, ProtocolError
        If an answer is not what it should be.
    """
    for _ in range(patience):
        refusals = []
        for site, answer in exchange(machine.make_requests()).items():
            try:
                machine.receive(site, answer)
            except SiteRefusedError as refusal:
                if refusal.code != "E_BUSY":
                    refusals.append(refusal)
        if refusals:
            # The other answers count: a caller that gives up the refusing site can go on with them
            raise refusals[0]
        if not machine.list_missing():
            return


def run_round(server: ServerRound, exchange: MessageExchange, patience: int = 3) -> Sums:
    """The round's sums; continues from whatever stage it has reached. Call `finish` once they are used.

    Raises
    ------
    SecAggError
        E_MIN or E_SET_CHANGE if too few sites answer, E_SET_INCOMPLETE if seeds are missing: the caller may
        wait and call again, or give the round up with `lose`. Also as `gather`.
    """
    if server.stage is Stage.JOINING:
        gather(server, exchange, patience)
        server.proceed()
    while server.stage is Stage.COLLECTING:
        gather(server, exchange, patience)
        if server.list_missing():
            server.retry()
        else:
            server.proceed()
    if server.stage is Stage.REVEALING:
        gather(server, exchange, patience)
    return server.open()


def open_session(
    server: ServerSession, exchange: MessageExchange, patience: int = 3, *, is_complete: bool = False
) -> None:
    """Agree on the session's set; continues from whatever stage it has reached.

    Parameters
    ----------
    server : ServerSession
        The session.
    exchange : callable
        Takes the messages to the sites.
    patience : int
        How often a site that does not answer is asked.
    is_complete : bool
        Whether every site that is asked must join: the session then waits where it is for the missing ones.

    Raises
    ------
    SecAggError
        E_MIN or E_SET_CHANGE if no set is allowed; E_SET_INCOMPLETE if a member has not agreed, or a site
        has not joined that must.
    """
    while server.stage in {SessionStage.JOINING, SessionStage.ADMITTING}:
        gather(server, exchange, patience)
        if is_complete and server.list_missing():
            raise SecAggError(f"not joined: {', '.join(server.list_missing())}", code="E_SET_INCOMPLETE")
        server.proceed()


def run_step(server: ServerSession, exchange: MessageExchange, parameters: bytes, patience: int = 3) -> Sums:
    """The sums at these parameters.

    Raises
    ------
    SecAggError
        E_SET_INCOMPLETE if a member has not answered: the caller may wait and call again.
    """
    opened = server.ask(parameters)
    if opened is not None:
        return opened
    gather(server, exchange, patience)
    return server.open()


def finish(server: ServerRound | ServerSession, exchange: MessageExchange, patience: int = 3) -> bool:
    """Whether every site has confirmed that it erased what was closed or lost."""
    try:
        gather(server, exchange, patience)
    except SecAggError:
        # Nothing depends on it: a site erases by itself at the deadline
        return False
    return not server.list_missing()
