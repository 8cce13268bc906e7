"""How networks and support vector machines were trained, and where the networks look."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from common.stats.estimate import OK, Status
from server.results.records import STAYED, Count, Record

if TYPE_CHECKING:
    from server.phases.explanation import AttentionMap
    from server.phases.svm import TrainedSvm
    from server.phases.training import TrainedModel


class CurvePoint(Record):
    """One line of a learning curve."""

    number: int
    """Round, or epoch of a local model."""
    loss: float
    """Mean training loss."""
    validation_auc: float | None
    """None where there is none or it may not be shown."""


class LearningCurve(Record):
    """How one network was trained in one arm."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local", "pooled"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose patients trained it."""
    chosen: int
    """Round or epoch that was kept."""
    points: tuple[CurvePoint, ...]
    """In order."""


class SupportVectorMachine(Record):
    """One support vector machine that the study trained."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose patients trained it."""
    covariates: tuple[str, ...] = ()
    """By their own names."""
    c: float | None = None
    """Chosen by cross-validation; None if it was not fitted, or stays at its site."""
    gamma: float | None = None
    """Chosen by cross-validation; of z-scores."""
    features: int = 0
    """Random Fourier features of its linear form."""
    criterion: float | None = None
    """Of the chosen in cross-validation: AUC at a site, mean log-likelihood over sites."""
    deviation: float | None = None
    """Root mean square difference of its risks and the exact machine's, where a site compared them."""
    used: Count | None = None
    """Patients who trained it."""
    missing: Count | None = None
    """Patients without a value of any of its covariates."""
    method: str = ""
    """How it was fitted."""
    standing: Status = OK
    """Whether there is a machine."""


class Overlay(Record):
    """An attention map of a synthetic patient."""

    model: str
    """Whose attention."""
    arm: str
    """In which arm."""
    site: str
    """Whose patient."""
    outcome: bool
    """Whether the hematoma expanded."""
    score: float
    """The model's probability."""
    png_base64: str = Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")
    """The picture."""


def record_curve(trained: TrainedModel) -> LearningCurve:
    """The learning curve of one network, without validation AUCs that may not be shown."""
    return LearningCurve(
        model=trained.model.name,
        arm=trained.arm.name,
        kind=trained.arm.kind,
        sites=trained.arm.sites,
        chosen=trained.chosen,
        points=tuple(
            CurvePoint(
                number=line.number,
                loss=line.loss,
                validation_auc=line.validation_auc if line.released else None,
            )
            for line in trained.curve
        ),
    )


def record_machine(machine: TrainedSvm) -> SupportVectorMachine:
    """One support vector machine of the plan in one arm."""
    fitted, arm = machine.fitted, machine.arm
    shared = {
        "model": machine.model.name,
        "arm": arm.name,
        "kind": "local" if arm.kind == "local" else "federated",
        "sites": arm.sites,
    }
    if fitted is None:
        return SupportVectorMachine(**shared, standing=STAYED)
    return SupportVectorMachine(
        **shared,
        covariates=fitted.covariates,
        c=fitted.c,
        gamma=fitted.gamma,
        features=len(fitted.weights),
        criterion=fitted.criterion,
        deviation=fitted.deviation,
        used=fitted.used,
        missing=fitted.missing,
        method=fitted.method,
        standing=fitted.standing,
    )


def record_overlay(attention: AttentionMap) -> Overlay:
    """One attention map with its picture."""
    return Overlay(
        model=attention.trained.model.name,
        arm=attention.trained.arm.name,
        site=attention.site,
        outcome=attention.caption.outcome,
        score=attention.caption.score,
        png_base64=base64.b64encode(attention.png).decode(),
    )
