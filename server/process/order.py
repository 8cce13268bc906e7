"""One order of `rhe-server run`, carried out in this process over the SuperLink that `start` keeps."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import ExchangeError
from common.runtime.log_lines import LogFile
from common.runtime.storage import is_taken, lock_folder, make_private_folder
from server.process.flower_run import open_run
from server.process.restarts import outlast_superlink
from server.process.superlink import is_listening
from server.provision.office import Office
from server.watch.study_views import Views, show_study
from server.watch.study_watch import StudyWatch

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
        How long to wait for a site that is not connected, or whose engine stands still, seconds.
    stall_s : float or None
        How long an engine may show no progress, seconds; None: as the plan's `federation.timeout_s` says.
    cards : Path or None
        Folder with the files of earlier studies' models, where the plan names any.
    views : Views
        How the study is shown beside the terminal.
    """

    out: Path
    resume: bool = False
    pretrained: Path | None = None
    patience_s: float = 180.0
    stall_s: float | None = None
    cards: Path | None = None
    views: Views = field(default_factory=Views)


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
    watch = StudyWatch()
    with (
        lock_folder(office.work),
        show_study(watch, order.views) as handler,
        _log_to(handler, office.logs / "study.log"),
    ):
        _await_superlink(office)
        _conduct_study(office, order, watch)


def _await_superlink(office: Office) -> None:
    deadline = time.monotonic() + _BEGIN_S
    while is_taken(office.state) and not is_listening(office) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if not is_listening(office):
        raise ExchangeError(f"no SuperLink is at work -> rhe-server start {office.folder} in another window")


def _conduct_study(office: Office, order: Order, watch: StudyWatch) -> None:
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
        stall_s=order.stall_s,
        pretrained=order.pretrained,
        resume=order.resume,
        cards=order.cards,
        watch=watch,
    )
    if not run.out.exists():
        # Tables of single centres and released models are for whom the coordinator shows them to
        make_private_folder(run.out)
    with lock_folder(run.out):
        run.claim()

        def conduct_once(begun: int) -> None:
            with open_run(office) as grid:
                conduct(grid, replace(run, resume=run.resume or begun > 0), Progress(disable=True))

        outlast_superlink(conduct_once, lambda: is_listening(office), run.patience_s)


@contextmanager
def _log_to(shown: logging.Handler, path: Path) -> Iterator[None]:
    """A context that shows the study's log lines by a handler, and keeps them in a file.

    Raises
    ------
    RheError
        Whatever the work inside raises.
    """
    handlers = (shown, LogFile(path))
    loggers = [logging.getLogger(name) for name in ("server", "common")]
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
