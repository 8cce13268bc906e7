"""What `rhe-server start` does: keep the SuperLink and its gateway alive, and admit whoever is enrolled."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from common.errors import ExchangeError, StorageError
from common.runtime.processes import Child, ShowLine, adopt_descendants, stop_child
from common.runtime.storage import is_taken, lock_folder
from server.process.superlink import register_site, start_superlink
from server.provision.office import Office

_POLL_S = 0.5
_RESTARTS = 5
_RESTART_WINDOW_S = 300.0

OpenGateway = Callable[[Office], AbstractContextManager[Callable[[], None]]]
"""A context in which hospitals reach the SuperLink; yields what looks after the gateway."""


def keep_superlink(office: Office, say: ShowLine, open_gateway: OpenGateway, *, on_loopback: bool) -> None:
    """Run the SuperLink until the user ends it, and start it again whenever it dies.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    say : callable
        Shows a line to the user.
    open_gateway : callable
        Opens what hospitals reach.
    on_loopback : bool
        Whether the SuperLink's Fleet API listens on 127.0.0.1 instead of the gateway's Unix socket.

    Raises
    ------
    ExchangeError
        If it does not start, or dies again and again.
    StorageError
        If the folder is another user's, or this command is at work for it already.
    """
    deaths: list[float] = []
    office.insist_own()
    if is_taken(office.state):
        raise StorageError(f"rhe-server start is at work for {office.folder} already -> end it first")
    with lock_folder(office.state), adopt_descendants():
        child = start_superlink(office, on_loopback=on_loopback)
        try:
            with open_gateway(office) as look_after_gateway:
                office.keep_settings()
                while True:
                    _register_sites(office, say)
                    say(_describe_reach(office, on_loopback=on_loopback))
                    _watch(child, office, say, look_after_gateway)
                    deaths = [at for at in deaths if time.monotonic() - at < _RESTART_WINDOW_S]
                    deaths.append(time.monotonic())
                    if len(deaths) > _RESTARTS:
                        raise ExchangeError(
                            f"the SuperLink died {len(deaths)} times in a row -> see {child.log}"
                        )
                    say(
                        "the SuperLink died and is started again; a study that is running goes on by itself, "
                        "one that has ended with rhe-server run --resume"
                    )
                    child = start_superlink(office, on_loopback=on_loopback)
        finally:
            stop_child(child)


def _describe_reach(office: Office, *, on_loopback: bool) -> str:
    if on_loopback:
        return (
            f"this machine's programs reach the SuperLink at {office.address}; hospitals reach it through a "
            "proxy of yours alone; Ctrl-C ends it"
        )
    return f"hospitals reach the SuperLink as {office.public_address}; Ctrl-C ends it"


def _watch(child: Child, office: Office, say: ShowLine, look_after_gateway: Callable[[], None]) -> None:
    """Until the SuperLink ends, register every site that is enrolled meanwhile."""
    enrolled = office.enrolled
    while child.running:
        time.sleep(_POLL_S)
        look_after_gateway()
        if office.enrolled != enrolled:
            enrolled = office.enrolled
            _register_sites(office, say)


def _register_sites(office: Office, say: ShowLine) -> None:
    for card in office.load_cards():
        register_site(office, card)
    names = office.enrolled
    missing = sorted(set(office.plan.site_names) - names)
    say(
        f"enrolled: {', '.join(sorted(names)) or 'nobody'}"
        + (f"; not yet: {', '.join(missing)}" if missing else "")
    )
