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
_PATIENCE_S = 1800.0
"""For a SuperLink that is started again: a machine at its limit takes minutes, and a study waits for it."""
_STARTS = 5
_DYING_S = 2.0
_PAUSE_S = 10.0
"""Between two starts in vain; longer each time."""

_REMEDY = (
    ", mend what it names, and run `rhe-server start` again: nothing of the study is lost, a run that waits "
    "goes on by itself, one that has ended with `rhe-server run --resume`"
)

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
        If it does not start the first time, or dies or is started in vain again and again.
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
                    _serve(child, office, say, look_after_gateway, on_loopback=on_loopback)
                    deaths = [at for at in deaths if time.monotonic() - at < _RESTART_WINDOW_S]
                    deaths.append(time.monotonic())
                    if len(deaths) > _RESTARTS:
                        raise ExchangeError(
                            f"the SuperLink died {len(deaths)} times in a row -> see {child.log}{_REMEDY}"
                        )
                    say(
                        "the SuperLink died and is started again, up to "
                        f"{_PATIENCE_S / 60:.0f} min are waited for it; a study that is running goes on by "
                        "itself, one that has ended with rhe-server run --resume"
                    )
                    child = _start_again(office, say, look_after_gateway, on_loopback=on_loopback)
        finally:
            stop_child(child)


def _start_again(
    office: Office, say: ShowLine, look_after_gateway: Callable[[], None], *, on_loopback: bool
) -> Child:
    """The SuperLink that takes a dead one's place, started until it answers.

    Raises
    ------
    ExchangeError
        If it was started in vain again and again.
    """
    number = 1
    while True:
        try:
            return start_superlink(
                office, on_loopback=on_loopback, patience_s=_PATIENCE_S, meanwhile=look_after_gateway
            )
        except ExchangeError as failure:
            if number == _STARTS:
                raise ExchangeError(f"started {_STARTS} times in vain: {failure}{_REMEDY}") from None
            pause_s, number = number * _PAUSE_S, number + 1
            say(f"{failure}; start {number} of {_STARTS} follows in {pause_s:.0f} s, Ctrl-C ends it")
            time.sleep(pause_s)


def _describe_reach(office: Office, *, on_loopback: bool) -> str:
    if on_loopback:
        return (
            f"this machine's programs reach the SuperLink at {office.address}; hospitals reach it through a "
            "proxy of yours alone; Ctrl-C ends it"
        )
    return f"hospitals reach the SuperLink as {office.public_address}; Ctrl-C ends it"


def _serve(
    child: Child,
    office: Office,
    say: ShowLine,
    look_after_gateway: Callable[[], None],
    *,
    on_loopback: bool,
) -> None:
    """Until the SuperLink ends, admit every site that is enrolled, also meanwhile.

    Raises
    ------
    ExchangeError
        If a SuperLink that goes on running refuses a site.
    """
    try:
        _register_sites(office, say)
        say(_describe_reach(office, on_loopback=on_loopback))
        _watch(child, office, say, look_after_gateway)
    except ExchangeError:
        # One that dies refuses by its silence; its end may be seen a moment later
        if child.ends_within(_DYING_S):
            return
        raise


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
