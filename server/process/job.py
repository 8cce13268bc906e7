"""One run of the study as the coordinator orders it, and how its ServerApp reports the end.

The ServerApp is a process that Flower starts. Its order is a file in the coordinator's folder; the bundle's
run configuration, which every site can read, holds only the number of the job.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from common.errors import CohortError, ExchangeError, ResumeError, RheError
from common.runtime.processes import end_with_parent
from common.runtime.settings_file import Section
from common.runtime.storage import is_taken, lock_folder, write_atomically
from server.provision.office import Office, open_office

if TYPE_CHECKING:
    from flwr.serverapp import Grid

OFFICE_VARIABLE = "RHE_OFFICE"
"""Environment variable that tells the ServerApp the coordinator's folder."""

_INTERRUPTED = 130
_TERMINATED = 143
_UNEXPECTED = 70


class Order(Section):
    """What the ServerApp has to do."""

    out: Path
    """Folder for checkpoints, results and report."""
    resume: bool = False
    """Whether to continue the study that the folder holds."""
    pretrained: Path | None = None
    """Folder with torchvision's weight files, where the plan asks for them."""
    patience_s: float = Field(default=180.0, gt=0)
    """How long to wait for sites that are not connected, seconds."""


class JobOutcome(Section):
    """How a job ended."""

    exit_code: int = 0
    """Exit code of the ServerApp's process; 0 if the study was completed."""
    message: str = ""
    """What went wrong; empty if nothing did."""

    def raise_if_failed(self) -> None:
        """Raise, in this process, the error that ended the study in the ServerApp's process.

        Raises
        ------
        RheError
            The subclass that has this exit code.
        KeyboardInterrupt
            If the study was stopped.
        RuntimeError
            If an error of the program itself ended it.
        """
        if self.exit_code in (_INTERRUPTED, _TERMINATED):
            raise KeyboardInterrupt
        kinds = {kind.exit_code: kind for kind in RheError.__subclasses__() if kind is not CohortError}
        if self.exit_code in kinds:
            raise kinds[self.exit_code](self.message)
        if self.exit_code:
            raise RuntimeError(self.message)


@dataclass(frozen=True)
class StudyJob:
    """The folder of one order.

    Attributes
    ----------
    folder : Path
        Holds the order, the log and the outcome; its name is the job's number.
    """

    folder: Path

    @property
    def identifier(self) -> str:
        """Its number."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """The log that the ServerApp writes while it works."""
        return self.folder / "study.log"

    @property
    def process(self) -> int | None:
        """Identifier of the ServerApp's process; None before it has begun."""
        try:
            return int((self.folder / "process").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    @property
    def running(self) -> bool:
        """Whether its ServerApp is at work."""
        return is_taken(self.folder)

    def read_order(self) -> Order:
        """The order of this job.

        Raises
        ------
        ResumeError
            If there is no such order.
        """
        try:
            return Order.model_validate_json((self.folder / "order.json").read_bytes())
        except (OSError, ValidationError):
            raise ResumeError(f"{self.folder} holds no order -> use rhe-server run") from None

    def read_outcome(self) -> JobOutcome | None:
        """How the job ended; None before its end."""
        try:
            return JobOutcome.model_validate_json((self.folder / "outcome.json").read_bytes())
        except FileNotFoundError:
            return None

    def record_outcome(self, outcome: JobOutcome) -> None:
        """Write how the job ended."""
        write_atomically(self.folder / "outcome.json", outcome.model_dump_json().encode())


def place_job(office: Office, order: Order) -> StudyJob:
    """Write an order into a new job's folder.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    order : Order
        What the ServerApp has to do.

    Returns
    -------
    StudyJob
        The new job.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    job = StudyJob(office.jobs / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}", time.gmtime()))
    write_atomically(job.folder / "order.json", order.model_dump_json().encode())
    return job


def perform_job(grid: Grid, identifier: str) -> None:
    """Carry out the order of a job, inside the ServerApp.

    Parameters
    ----------
    grid : flwr.serverapp.Grid
        Flower's connection to the sites' nodes.
    identifier : str
        The job's number.

    Raises
    ------
    RheError
        Whatever stops the study; the job's outcome records it too.
    ExchangeError
        If `rhe-server start` did not start this SuperLink.
    """
    folder = os.environ.get(OFFICE_VARIABLE)
    if folder is None:
        raise ExchangeError("this SuperLink was not started by `rhe-server start` -> start it so")
    office = open_office(Path(folder))
    job = StudyJob(office.jobs / Path(identifier).name)
    end_with_parent()
    with lock_folder(job.folder), _report_end(job), _log_to(job.log):
        write_atomically(job.folder / "process", str(os.getpid()).encode())
        _conduct_study(grid, office, job.read_order())


def _conduct_study(grid: Grid, office: Office, order: Order) -> None:
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
    with lock_folder(run.out):
        run.claim()
        conduct(grid, run, Progress(disable=True))


@contextmanager
def _report_end(job: StudyJob) -> Iterator[None]:
    """A context whose end, however it comes, is written to the job's folder.

    Raises
    ------
    RheError
        Whatever ended the work inside, once it is written down.
    KeyboardInterrupt
        Whatever ended the work inside, once it is written down.
    SystemExit
        Whatever ended the work inside, once it is written down.
    """
    outcome = JobOutcome(exit_code=_UNEXPECTED, message=f"an error of the program itself -> see {job.log}")
    try:
        yield
        outcome = JobOutcome()
    except RheError as failure:
        outcome = JobOutcome(exit_code=failure.exit_code, message=str(failure))
        raise
    except (KeyboardInterrupt, SystemExit):
        outcome = JobOutcome(exit_code=_INTERRUPTED, message="the run was stopped -> go on with --resume")
        raise
    finally:
        job.record_outcome(outcome)


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """A context that writes the study's log lines, and the traceback of an unexpected failure, to a file.

    Raises
    ------
    RheError
        Whatever the work inside raises.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    loggers = [logging.getLogger(name) for name in ("server", "common")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    except RheError:
        raise
    except Exception:
        logging.getLogger(__name__).exception("the study stopped by an error of the program itself")
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
