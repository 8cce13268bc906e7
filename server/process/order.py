"""One order of `rhe-server run`, carried out in this process over the SuperLink that `start` keeps."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import ExchangeError
from common.runtime.log_lines import LogFile
from common.runtime.storage import is_taken, lock_folder, make_private_folder
from server.process.flower_run import open_run
from server.process.superlink import is_listening
from server.provision.office import Office

_POLL_S = 0.2
_BEGIN_S = 90.0


@dataclass(frozen=True)
class Order:
    """What the coordinator asks for.

    Attributes
    ----------
    out : Path
        Folder for checkpoints, results and report.
    resume : bool
        Whether to continue the study that the folder holds.
    pretrained : Path or None
        Folder with torchvision's weight files, where the plan asks for them.
    patience_s : float
        How long to wait for sites that are not connected, seconds.
    """

    out: Path
    resume: bool = False
    pretrained: Path | None = None
    patience_s: float = 180.0


def perform_order(office: Office, order: Order) -> None:
    """Run the study to its end.

    Raises
    ------
    ExchangeError
        If no SuperLink answers.
    StorageError
        If another process is working on this study.
    RheError
        Whatever stops the study.
    """
    office.insist_own()
    with lock_folder(office.work), _log_to(office.logs / "study.log"):
        _await_superlink(office)
        _conduct_study(office, order)


def _await_superlink(office: Office) -> None:
    deadline = time.monotonic() + _BEGIN_S
    while is_taken(office.state) and not is_listening(office) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if not is_listening(office):
        raise ExchangeError(f"no SuperLink is at work -> rhe-server start {office.folder} in another window")


def _conduct_study(office: Office, order: Order) -> None:
    from rich.progress import Progress

    from server.conduct import conduct
    from server.provision.rosters import load_roster, load_waived_absences
    from server.run import StudyRun

    run = StudyRun(
        plan=office.plan,
        out=order.out,
        key=office.load_key(),
        roster=load_roster(office) if office.plan.hides_sums else None,
        absent=load_waived_absences(office),
        backend="flower",
        patience_s=order.patience_s,
        pretrained=order.pretrained,
        resume=order.resume,
    )
    if not run.out.exists():
        # Tables of single centres and released models are for whom the coordinator shows them to
        make_private_folder(run.out)
    with lock_folder(run.out):
        run.claim()
        with open_run(office) as grid:
            conduct(grid, run, Progress(disable=True))


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """A context that shows the study's log lines and keeps them in a file.

    Raises
    ------
    RheError
        Whatever the work inside raises.
    """
    handlers = (logging.StreamHandler(sys.stdout), LogFile(path))
    loggers = [logging.getLogger(name) for name in ("server", "common")]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.propagate = True
            for handler in handlers:
                logger.removeHandler(handler)
        handlers[1].close()
