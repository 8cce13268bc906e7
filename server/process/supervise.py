"""What `rhe-server start` and `run` do: keep the SuperLink alive, and follow a study to its end."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress

from common.errors import ExchangeError
from common.runtime.processes import Child, ShowLine, adopt_descendants, stop_child
from common.runtime.storage import is_taken, lock_folder
from server.process.bundle import write_bundle
from server.process.job import JobOutcome, Order, StudyJob, place_job
from server.process.superlink import (
    cancel_all_runs,
    cancel_run,
    is_listening,
    register_site,
    start_superlink,
    submit_run,
)
from server.provision.office import Office

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_BEGIN_S = 90.0
_RESTARTS = 5
_RESTART_WINDOW_S = 300.0


def keep_superlink(office: Office, say: ShowLine) -> None:
    """Run the SuperLink until the user ends it, and start it again whenever it dies.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    say : callable
        Shows a line to the user.

    Raises
    ------
    ExchangeError
        If it does not start, or dies again and again.
    """
    deaths: list[float] = []
    with lock_folder(office.state), adopt_descendants():
        while True:
            child = start_superlink(office)
            try:
                _register_sites(office, say)
                say(
                    f"the SuperLink listens on {office.address}, for hospitals as {office.settings.host}; "
                    "Ctrl-C ends it"
                )
                _watch(child, office, say)
            finally:
                stop_child(child)
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


def run_on_superlink(office: Office, order: Order, say: ShowLine) -> JobOutcome:
    """Run the study on the SuperLink to its end, and return how it ended.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    order : Order
        What the ServerApp has to do.
    say : callable
        Shows each line of the study's log.

    Raises
    ------
    ExchangeError
        If no SuperLink listens, or the ServerApp ends without an outcome.
    StorageError
        If another run of this study is in progress.
    """
    deadline = time.monotonic() + _BEGIN_S
    while is_taken(office.state) and not is_listening(office) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if not is_listening(office):
        raise ExchangeError(
            f"no SuperLink on {office.address} -> rhe-server start {office.folder} in another window"
        )
    with lock_folder(office.jobs):
        cancel_all_runs(office)
        job = place_job(office, order)
        number = submit_run(office, write_bundle(office.state / "bundle"), job.identifier)
        try:
            return _follow(office, job, say)
        except BaseException:
            _stop_run(office, job, number)
            raise


def _watch(child: Child, office: Office, say: ShowLine) -> None:
    """Until the SuperLink ends, register every site that is enrolled meanwhile."""
    enrolled = office.enrolled
    while child.running:
        time.sleep(_POLL_S)
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


def _follow(office: Office, job: StudyJob, say: ShowLine) -> JobOutcome:
    shown = 0
    deadline = time.monotonic() + _BEGIN_S
    while True:
        working = job.running
        shown = _show_log(job, shown, say)
        outcome = job.read_outcome()
        if outcome is not None and not working:
            return outcome
        if not working and job.process is not None:
            raise ExchangeError(
                f"the study's process ended without an outcome -> see in {office.logs} whether the SuperLink "
                "was killed, then run again with --resume"
            )
        if job.process is None and time.monotonic() > deadline:
            raise ExchangeError(
                f"the SuperLink has not begun the run in {_BEGIN_S:.0f} s -> see {office.logs}"
            )
        time.sleep(_POLL_S)


def _show_log(job: StudyJob, shown: int, say: ShowLine) -> int:
    """Show the log's new complete lines, and return how many bytes of the log are shown now."""
    if not job.log.exists():
        return shown
    with job.log.open("rb") as file:
        file.seek(shown)
        lines = file.read().rpartition(b"\n")[0]
    for line in lines.splitlines():
        say(line.decode("utf-8", errors="replace"))
    return shown + len(lines) + (1 if lines else 0)


def _stop_run(office: Office, job: StudyJob, number: str) -> None:
    with suppress(ExchangeError):
        cancel_run(office, number)
    process = job.process
    if job.running and process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
