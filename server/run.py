"""One run of a study: what it needs, and the folder in which it can be interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ResumeError
from common.secagg.roster import Roster
from common.storage import write_atomically
from common.study import StudyPlan


@dataclass(frozen=True)
class StudyRun:
    """What the coordinator was told to do.

    Attributes
    ----------
    plan : StudyPlan
    out : Path
        Where checkpoints, models, results and report go.
    key : Ed25519PrivateKey
        The coordinator's; signs every request.
    roster : Roster or None
        Who takes part, as the authority signed it; needed where the plan hides sums.
    absent : mapping of str to frozenset of int
        By phase, numbers of the sites whose absence from its sums the authority waived.
    backend : str
        For the report: "in-process" or "flower".
    patience_s : float
        How long to wait for sites to connect.
    pretrained : Path or None
        Torchvision's weight files, where the plan asks for them.
    resume : bool
        Whether to go on with what lies in `out`.
    """

    plan: StudyPlan
    out: Path
    key: Ed25519PrivateKey
    roster: Roster | None = None
    absent: Mapping[str, frozenset[int]] = field(default_factory=dict)
    backend: str = "in-process"
    patience_s: float = 120.0
    pretrained: Path | None = None
    resume: bool = False

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
    def protocol(self) -> Path:
        """Folder of what hidden sums need to be resumed."""
        return self.out / "sa1"

    def claim(self) -> None:
        """Makes the folder this plan's, or finds it so.

        Raises
        ------
        ResumeError
            If it holds a study and `resume` was not asked for, or a study of another plan.
        """
        mark = self.out / "study.json"
        if mark.exists():
            self._check(mark)
        else:
            text = json.dumps({"plan_hash": self.plan.digest(), "name": self.plan.name}, indent=2)
            write_atomically(mark, text.encode())

    def _check(self, mark: Path) -> None:
        try:
            found = str(json.loads(mark.read_text(encoding="utf-8"))["plan_hash"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ResumeError(f"{mark} is damaged -> choose another --out, or empty this one") from None
        if found != self.plan.digest():
            raise ResumeError(
                f"{self.out} holds a study of plan {found[:12]}, this plan is {self.plan.digest()[:12]} -> "
                "restore the plan, or choose another --out"
            )
        if not self.resume:
            raise ResumeError(
                f"{self.out} already holds this study -> --resume goes on with it; another --out starts anew"
            )
