"""A study outlives its SuperLink: what `rhe-server start` has started again is asked to go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from common.errors import ExchangeError
from common.runtime.watch.plain_times import tell_clock, tell_length, write_moment

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_TRIES, _SOON_S = 5, 600.0
"""How often in a row a SuperLink may fail, each time so soon."""


class SuperLinkError(ExchangeError):
    """The SuperLink refuses, or does not answer: its run is over, the study is not."""


def outlast_superlink(work: Callable[[int], None], is_back: Callable[[], bool], patience_s: float) -> None:
    """Do work that needs the SuperLink, from its beginning again whenever the SuperLink was lost.

    Parameters
    ----------
    work : callable
        Gets how often it was begun before; goes on where it was.
    is_back : callable
        Whether a SuperLink listens.
    patience_s : float
        How long to wait for it, in seconds; 0: not at all.

    Raises
    ------
    SuperLinkError
        If it does not come back in time, or is lost again and again.
    """
    failures, begun = 0, 0
    while True:
        since = time.monotonic()
        try:
            work(begun)
        except SuperLinkError as failure:
            failures = failures + 1 if time.monotonic() - since < _SOON_S else 1
            if failures > _TRIES or not _await_return(is_back, patience_s, failure):
                raise
            begun += 1
        else:
            return


def _await_return(is_back: Callable[[], bool], patience_s: float, failure: SuperLinkError) -> bool:
    begun = time.monotonic()
    if patience_s <= 0:
        return False
    _log.warning(
        "paused, waiting for the SuperLink since %s (%s) -> see that rhe-server start runs; "
        "goes on by itself, waits %s, Ctrl-C ends it",
        tell_clock(write_moment()),
        str(failure).partition(" -> ")[0],
        tell_length(patience_s),
    )
    while not is_back():
        if time.monotonic() - begun > patience_s:
            return False
        time.sleep(_POLL_S)
    _log.info("the SuperLink is back after %s; goes on", tell_length(time.monotonic() - begun))
    return True
