"""A training that failed, kept on disk: a study that is resumed goes on without its model, as before."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from common.errors import ResumeError
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.settings_file import Section
from common.runtime.storage import write_atomically
from common.stats.estimate import Status, StatusKind
from server.training.federated import Round


class FailedTraining(Section):
    """Why a network was not trained in an arm, or could not score, and how far its training came."""

    plan: str
    """Hash of the plan."""
    status: StatusKind
    """Always other than "ok"."""
    reason: str
    """For results and report."""
    curve: tuple[Round, ...] = ()
    """Of the rounds or epochs before it failed."""

    @property
    def standing(self) -> Status:
        """Why there is no model."""
        return Status(self.status, self.reason)


def find_failure(folder: Path, plan: StudyPlan, model: CnnModel, arm: Arm) -> FailedTraining | None:
    """What was kept of a training that failed; None if it did not fail.

    Parameters
    ----------
    folder : Path
        Of the run's checkpoints.
    plan : StudyPlan
    model : CnnModel
    arm : Arm

    Raises
    ------
    ResumeError
        If the file is damaged, or belongs to another plan.
    """
    path = _name_file(folder, model, arm)
    try:
        kept = FailedTraining.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise ResumeError(f"{path} is damaged -> choose another --out") from None
    if kept.plan != plan.digest():
        raise ResumeError(f"{path} belongs to another plan -> choose another --out")
    return kept


def keep_failure(folder: Path, model: CnnModel, arm: Arm, failed: FailedTraining) -> None:
    """Remember that a training failed: it is not tried again in this study.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    write_atomically(_name_file(folder, model, arm), failed.model_dump_json(indent=1).encode())


def _name_file(folder: Path, model: CnnModel, arm: Arm) -> Path:
    return folder / model.name / f"{arm.name}.failed.json"
