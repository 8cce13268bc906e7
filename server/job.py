"""One run of the study as the coordinator orders it, and how its ServerApp reports the end.

The ServerApp is a process that Flower starts. What it shall do stands in a file of the coordinator's folder;
the bundle's run configuration, which every site can read, carries only that file's number.
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
from common.processes import end_with_parent
from common.settings import Section
from common.storage import exclusive, is_taken, write_atomically
from server.provision.office import Office, open_office

if TYPE_CHECKING:
    from flwr.serverapp import Grid

OFFICE_VARIABLE = "RHE_OFFICE"
"""Environment variable that tells the ServerApp the coordinator's folder."""

_INTERRUPTED = 130
_TERMINATED = 143
_UNEXPECTED = 70


class Order(Section):
    """What the ServerApp shall do."""

    out: Path
    """Where checkpoints, results and report go."""
    resume: bool = False
    """Whether to go on with what lies there."""
    pretrained: Path | None = None
    """Torchvision's weight files, where the plan asks for them."""
    patience_s: float = Field(default=180.0, gt=0)
    """How long to wait for sites that are not connected."""


class Outcome(Section):
    """How it ended."""

    exit_code: int = 0
    """The process'."""
    message: str = ""
    """What went wrong."""

    def insist(self) -> None:
        """Raises, in this process, what ended the study in the other.

        Raises
        ------
        RheError
            Of the class that has the exit code.
        KeyboardInterrupt
            If the study was stopped.
        RuntimeError
            If it ended by an error of the program itself.
        """
        if self.exit_code in (_INTERRUPTED, _TERMINATED):
            raise KeyboardInterrupt
        kinds = {kind.exit_code: kind for kind in RheError.__subclasses__() if kind is not CohortError}
        if self.exit_code in kinds:
            raise kinds[self.exit_code](self.message)
        if self.exit_code:
            raise RuntimeError(self.message)


@dataclass(frozen=True)
class Job:
    """An order's folder.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    @property
    def identifier(self) -> str:
        """Its number."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What the ServerApp writes while it works."""
        return self.folder / "study.log"

    @property
    def process(self) -> int | None:
        """The ServerApp's process, once it has begun."""
        try:
            return int((self.folder / "process").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    @property
    def running(self) -> bool:
        """Whether its ServerApp is at work."""
        return is_taken(self.folder)

    def order(self) -> Order:
        """What shall be done.

        Raises
        ------
        ResumeError
            If there is no such order.
        """
        try:
            return Order.model_validate_json((self.folder / "order.json").read_bytes())
        except (OSError, ValidationError):
            raise ResumeError(f"{self.folder} holds no order -> use rhe-server run") from None

    def outcome(self) -> Outcome | None:
        """How it ended; None before."""
        try:
            return Outcome.model_validate_json((self.folder / "outcome.json").read_bytes())
        except FileNotFoundError:
            return None

    def end(self, outcome: Outcome) -> None:
        """Tells how it ended."""
        write_atomically(self.folder / "outcome.json", outcome.model_dump_json().encode())


def place(office: Office, order: Order) -> Job:
    """A new job of the study.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    job = Job(office.jobs / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}", time.gmtime()))
    write_atomically(job.folder / "order.json", order.model_dump_json().encode())
    return job


def perform(grid: Grid, identifier: str) -> None:
    """Does what was ordered, inside the ServerApp.

    Parameters
    ----------
    grid : flwr.serverapp.Grid
    identifier : str
        The job's number.

    Raises
    ------
    RheError
        Whatever stops the study; it also stands in the job's outcome.
    """
    folder = os.environ.get(OFFICE_VARIABLE)
    if folder is None:
        raise ExchangeError("this SuperLink was not started by `rhe-server start` -> start it so")
    office = open_office(Path(folder))
    job = Job(office.jobs / Path(identifier).name)
    end_with_parent()
    with exclusive(job.folder), _reported(job), _logged(job.log):
        write_atomically(job.folder / "process", str(os.getpid()).encode())
        _conduct(grid, office, job.order())


def _conduct(grid: Grid, office: Office, order: Order) -> None:
    from rich.progress import Progress

    from server.conduct import conduct
    from server.provision.rosters import signed_roster, waived_absences
    from server.run import StudyRun

    run = StudyRun(
        plan=office.plan,
        out=order.out,
        key=office.key(),
        roster=signed_roster(office) if office.plan.hides_sums else None,
        absent=waived_absences(office),
        backend="flower",
        patience_s=order.patience_s,
        pretrained=order.pretrained,
        resume=order.resume,
    )
    with exclusive(run.out):
        run.claim()
        conduct(grid, run, Progress(disable=True))


@contextmanager
def _reported(job: Job) -> Iterator[None]:
    """Every way in which a run can end, told in the job's folder."""
    outcome = Outcome(exit_code=_UNEXPECTED, message=f"an error of the program itself -> see {job.log}")
    try:
        yield
        outcome = Outcome()
    except RheError as failure:
        outcome = Outcome(exit_code=failure.exit_code, message=str(failure))
        raise
    except (KeyboardInterrupt, SystemExit):
        outcome = Outcome(exit_code=_INTERRUPTED, message="the run was stopped -> go on with --resume")
        raise
    finally:
        job.end(outcome)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """The study's own log lines, and an unexpected failure's traceback, in a file."""
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
