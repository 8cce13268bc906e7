"""One run of a study: what it needs, and the folder in which it can be interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ResumeError
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.storage import write_atomically
from common.secagg.wire.roster import Roster
from server.watch.study_watch import StudyWatch


@dataclass(frozen=True)
class StudyRun:
    """What the coordinator has to do in one run.

    Attributes
    ----------
    plan : StudyPlan
        Which phases, models and sites.
    out : Path
        Folder for checkpoints, models, results and report.
    key : Ed25519PrivateKey
        The coordinator's, which signs every request.
    roster : Roster or None
        Who takes part, as the authority signed it; needed where the plan hides sums.
    absent : mapping of str to frozenset of int
        By phase, numbers of the sites whose absence from its sums the authority waived.
    backend : str
        For the report: "in-process" or "flower".
    patience_s : float
        How long to wait for a site that is not connected, or whose engine stands still, seconds.
    stall_s : float or None
        How long an engine may show no progress, seconds; None: as the plan's `federation.timeout_s` says.
    pretrained : Path or None
        Folder with torchvision's weight files, where the plan asks for them.
    resume : bool
        Whether to continue the study that `out` holds.
    watch : StudyWatch
        Is told what happens; whoever shows the study asks it.
    cards : Path or None
        Folder with the files of earlier studies' models, where the plan names any.
    """

    plan: StudyPlan
    out: Path
    key: Ed25519PrivateKey
    roster: Roster | None = None
    absent: Mapping[str, frozenset[int]] = field(default_factory=dict)
    backend: str = "in-process"
    patience_s: float = 120.0
    stall_s: float | None = None
    pretrained: Path | None = None
    resume: bool = False
    cards: Path | None = None
    watch: StudyWatch = field(default_factory=StudyWatch)

    @property
    def checkpoints(self) -> Path:
        """Folder of the federated trainings' checkpoints."""
        return self.out / "checkpoints"

    @property
    def models(self) -> Path:
        """Folder of the models that the coordinator holds: global, released, and in simulations pooled."""
        return self.out / "models"

    @property
    def results(self) -> Path:
        """The results file."""
        return self.out / "results.json"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.out / "report.html"

    @property
    def tables(self) -> Path:
        """Folder of the report's tables as CSV files."""
        return self.out / "tables"

    @property
    def journal(self) -> Path:
        """What every run of the study cost, line by line."""
        return self.out / "journal.jsonl"

    @property
    def protocol(self) -> Path:
        """Folder of the sums and rounds that a resumed study with hidden sums needs."""
        return self.out / "sa1"

    def claim(self) -> None:
        """Mark the folder as this plan's, or check that it is.

        Raises
        ------
        ResumeError
            If it holds a study of another plan, or holds this one and `resume` is False.
        """
        mark = self.out / "study.json"
        if mark.exists():
            self._check(mark)
        else:
            text = json.dumps({"plan_hash": self.plan.digest(), "name": self.plan.name}, indent=2)
            write_atomically(mark, text.encode())

    def _check(self, mark: Path) -> None:
        try:
            plan_hash = str(json.loads(mark.read_text(encoding="utf-8"))["plan_hash"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ResumeError(f"{mark} is damaged -> choose another --out, or empty this one") from None
        if plan_hash != self.plan.digest():
            raise ResumeError(
                f"{self.out} holds a study of plan {plan_hash[:12]}, this plan is {self.plan.digest()[:12]} "
                "-> restore the plan, or choose another --out"
            )
        if not self.resume:
            raise ResumeError(
                f"{self.out} already holds this study -> --resume goes on with it; {self._anew}"
            )

    @property
    def _anew(self) -> str:
        """How the study is begun anew; simulated sites, which are in no roster yet, live in the folder."""
        if self.roster is None:
            return "another --out starts anew"
        return (
            "to start anew, a plan with another name, approved anew: hospitals answer hidden sums once "
            "(another --out ends with E_ROUND_OLD)"
        )


def name_checkpoint(folder: Path, model: CnnModel, arm: Arm) -> Path:
    """The file of a federated training in the folder of all checkpoints; none before its first round."""
    return folder / model.name / f"{arm.name}.safetensors"
