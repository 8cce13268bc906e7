"""The end of a study: sites whose sums were hidden erase their keys, the others are told that it is over."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from common.errors import ExchangeError
from common.messages.catalogue import LAST_STAGE, Operation
from server.attendance import Attendance
from server.exchange import Exchange
from server.hidden import HiddenSums

_log = logging.getLogger(__name__)

_STALL_S = 60.0
"""How long an engine may show no progress that is told the end, seconds: it computes nothing for it."""


def close_study(exchange: Exchange) -> None:
    """Tell the sites that nothing more is asked; who does not hear it costs the study nothing.

    By the closing of their sessions, where sums are hidden; otherwise each is asked once more who it is.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites, which have answered everything.

    Raises
    ------
    ExchangeError
        If a site with an open session refuses outside the protocol.
    """
    if exchange.hidden is not None:
        _close_sessions(exchange, exchange.hidden)
    else:
        _tell_sites(exchange)


def _close_sessions(exchange: Exchange, hidden: HiddenSums) -> None:
    """Let the sites erase the keys of hidden statistics."""
    lanes = exchange.open_lanes(lambda _: None)
    for number, close in enumerate(hidden.list_closings()):
        lanes.add(f"closing {number}", "closing", close)
    lanes.run()


def _tell_sites(exchange: Exchange) -> None:
    """Ask every site at the last stage, all at once; nobody is waited for who is away."""
    hasty = replace(exchange, attendance=Attendance(), stall_s=_STALL_S)
    lanes = hasty.open_lanes(lambda _: None)
    for site in hasty.plan.site_names:
        lanes.add(f"closing {site}", "closing", partial(_tell_site, hasty, site))
    try:
        lanes.run()
    except ExchangeError as failure:
        _note_untold("the sites", failure)


def _tell_site(exchange: Exchange, site: str) -> None:
    try:
        exchange.ask(Operation.DESCRIBE, [site], stage=LAST_STAGE)
    except ExchangeError as failure:
        _note_untold(site, failure)


def _note_untold(who: str, failure: ExchangeError) -> None:
    reason = str(failure).partition(" -> ")[0]
    _log.warning("the end of the study was not told to %s (%s) -> tell them: nothing is lost", who, reason)
