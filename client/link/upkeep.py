"""The engine tidies up by itself, at its start and every ten minutes, never while it answers a question."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from client.link.connection import EngineLink
from client.membership.membership import Membership
from client.release.ledger import Ledger
from common.errors import RheError, SiteError
from common.secagg.site.erasure import sweep
from common.secagg.site.files import SiteFiles
from common.secagg.site.rules import Clock, wall_clock

_log = logging.getLogger(__name__)

PERIOD_S = 600.0
"""Seconds between two times that the engine tidies up."""


def open_protocol(member: Membership) -> SiteFiles:
    """What the site keeps of the protocol that hides sums, for its operator.

    Raises
    ------
    SiteError
        If it has kept nothing.
    """
    if not member.protocol_files.is_dir():
        what = "this site has hidden no sum yet"
        raise SiteError(f"{member.protocol_files}: no such folder: {what} -> nothing is open or to be erased")
    return SiteFiles(member.protocol_files, audit=Ledger(member.ledger))


def sweep_site(member: Membership, ledger: Ledger, clock: Clock = wall_clock) -> None:
    """Erase the keys and vectors of rounds and sessions whose deadline is past; failures go to the log.

    It needs neither plan nor roster: what a study left is erased, too, that the site no longer approves.
    """
    if not member.protocol_files.is_dir():
        return
    try:
        erased = sweep(SiteFiles(member.protocol_files, audit=ledger), clock)
    except RheError as failure:
        _log.error("swept incompletely code=%s reason=%s", failure.code, failure)
    else:
        if erased:
            _log.info("erased past their deadline rounds_and_sessions=%d", erased)


@contextmanager
def keep_tidy(
    answer: EngineLink, tidy: Callable[[], None], period_s: float = PERIOD_S
) -> Iterator[EngineLink]:
    """Tidy up again and again while the context is open; yields what answers questions meanwhile.

    Parameters
    ----------
    answer : callable
        Takes a request's bytes and gives the reply's.
    tidy : callable
        Never runs while a question is answered; may raise nothing.
    period_s : float
        Seconds from one time to the next.
    """
    turn, is_over = threading.Lock(), threading.Event()

    def answer_alone(message: bytes) -> bytes:
        with turn:
            return answer(message)

    def tidy_again() -> None:
        while not is_over.wait(period_s):
            with turn:
                tidy()

    upkeep = threading.Thread(target=tidy_again, name="upkeep", daemon=True)
    upkeep.start()
    try:
        yield answer_alone
    finally:
        is_over.set()
        # A training may take hours: whoever ends the engine does not wait for its end to tidy up
        upkeep.join(timeout=0.1)
