"""What `rhe-server start` and `run` do: keep the SuperLink alive, and follow a study to its end."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from common.errors import ExchangeError
from common.processes import Child, household, stop
from common.storage import exclusive, is_taken
from server.bundle import write_bundle
from server.job import Job, Order, Outcome, place
from server.provision.office import Office
from server.superlink import answers, cancel, cancel_all, register, start_superlink, submit

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_BEGIN_S = 90.0
_RESTARTS = 5
_RESTART_WINDOW_S = 300.0

Say = Callable[[str], None]


def keep_superlink(office: Office, say: Say) -> None:
    """Runs the SuperLink until it is told to end, starting it again whenever it dies.

    Parameters
    ----------
    office : Office
    say : callable
        Shows a line to the user.

    Raises
    ------
    ExchangeError
        If it cannot come up, or dies again and again.
    """
    deaths: list[float] = []
    with exclusive(office.state), household():
        while True:
            child = start_superlink(office)
            try:
                _let_in(office, say)
                say(
                    f"the SuperLink listens on {office.address}, for hospitals as {office.settings.host}; "
                    "Ctrl-C ends it"
                )
                _watch(child, office, say)
            finally:
                stop(child)
            deaths = [
                *(death for death in deaths if time.monotonic() - death < _RESTART_WINDOW_S),
                time.monotonic(),
            ]
            if len(deaths) > _RESTARTS:
                raise ExchangeError(f"the SuperLink died {len(deaths)} times in a row -> see {child.log}")
            say(
                "the SuperLink died and is started again; a study that was running goes on with "
                "rhe-server run --resume"
            )


def run_study(office: Office, order: Order, say: Say) -> Outcome:
    """How the study ended, once it has.

    Parameters
    ----------
    office : Office
    order : Order
    say : callable
        Shows each line of the study's log.

    Raises
    ------
    ExchangeError
        If there is no SuperLink, or the ServerApp vanishes.
    StorageError
        If another run of this study is going on.
    """
    deadline = time.monotonic() + _BEGIN_S
    while is_taken(office.state) and not answers(office) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if not answers(office):
        raise ExchangeError(
            f"no SuperLink on {office.address} -> rhe-server start {office.folder} in another window"
        )
    with exclusive(office.jobs):
        cancel_all(office)
        job = place(office, order)
        number = submit(office, write_bundle(office.state / "bundle"), job.identifier)
        try:
            return _follow(office, job, say)
        except BaseException:
            _abandon(office, job, number)
            raise


def _watch(child: Child, office: Office, say: Say) -> None:
    """Until the child ends, lets in every site that is enrolled meanwhile."""
    enrolled = office.enrolled
    while child.running:
        time.sleep(_POLL_S)
        if office.enrolled != enrolled:
            enrolled = office.enrolled
            _let_in(office, say)


def _let_in(office: Office, say: Say) -> None:
    for card in office.cards():
        register(office, card)
    names = office.enrolled
    missing = sorted(set(office.plan.site_names) - names)
    say(
        f"enrolled: {', '.join(sorted(names)) or 'nobody'}"
        + (f"; not yet: {', '.join(missing)}" if missing else "")
    )


def _follow(office: Office, job: Job, say: Say) -> Outcome:
    seen = 0
    deadline = time.monotonic() + _BEGIN_S
    while True:
        working = job.running
        seen = _show(job, seen, say)
        outcome = job.outcome()
        if outcome is not None and not working:
            return outcome
        if not working and job.process is not None:
            raise ExchangeError(
                f"the study's process ended without a word; was the SuperLink killed? -> see {office.logs}, "
                "then run again with --resume"
            )
        if job.process is None and time.monotonic() > deadline:
            raise ExchangeError(
                f"the SuperLink has not begun the run in {_BEGIN_S:.0f} s -> see {office.logs}"
            )
        time.sleep(_POLL_S)


def _show(job: Job, seen: int, say: Say) -> int:
    """Number of the log's bytes shown so far; a line that is still being written waits."""
    if not job.log.exists():
        return seen
    with job.log.open("rb") as file:
        file.seek(seen)
        whole = file.read().rpartition(b"\n")[0]
    for line in whole.splitlines():
        say(line.decode("utf-8", errors="replace"))
    return seen + len(whole) + (1 if whole else 0)


def _abandon(office: Office, job: Job, number: str) -> None:
    with suppress(ExchangeError):
        cancel(office, number)
    process = job.process
    if job.running and process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
