"""How networks and support vector machines were trained, and where the networks look."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from common.cards.contributors import describe_absence, describe_trainers
from common.plan.models import AnyTrainedModel, TableModel
from common.plan.study import Arm
from common.stats.estimate import OK, Status
from server.results.records import STAYED, Count, Record

if TYPE_CHECKING:
    from server.phases.explanation import AttentionMap
    from server.phases.preparation import Preparation
    from server.phases.svm import TrainedSvm
    from server.phases.training import TrainedModel
    from server.training.early_end import EarlyEnd


class CurvePoint(Record):
    """One line of a learning curve."""

    number: int
    """Round, or epoch of a local model."""
    loss: float
    """Mean training loss."""
    validation_auc: float | None
    """None where there is none or it may not be shown."""
    contributors: tuple[str, ...] | None = None
    """Centres whose patients trained in the round; None for an epoch of a local model, or not recorded."""
    patients: Count | None = None
    """Their training patients, by whose number the round's average is weighted unless the plan weighs all
    centres alike; None where a centre's number may not be shown, or it was not recorded."""


class CentreContribution(Record):
    """What one centre of a federated arm gave to a network."""

    site: str
    """As in the plan."""
    rounds: Count
    """In how many of the rounds up to the chosen one its patients trained; 0: it took no part."""
    patients: Count | None = None
    """Its training patients; None where the number may not be shown."""


class EarlyStop(Record):
    """Why a federated training ended before the plan's last round."""

    planned: Count
    """Rounds of the plan."""
    gained: Count
    """The last round whose validation AUC rose enough above that of the last such round before it."""
    waited: Count
    """The round with which the plan's patience was through; one more was trained until that was known."""
    minimum_gain: float
    """By more than this the AUC had to rise."""

    def describe(self, last: int) -> str:
        """Why it ended with the round `last`, in words."""
        gain = f"by more than {self.minimum_gain:g} " if self.minimum_gain else ""
        return (
            f"ended early, with round {last} of {self.planned}: up to round {self.waited} the validation AUC "
            f"did not rise {gain}above that of round {self.gained}"
        )


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
    standing: Status = OK
    """Whether there is a network that scores; if not, why, and `chosen` is 0."""
    partial: bool = False
    """Whether a centre of the arm missed one of the rounds that made the model."""
    contributions: tuple[CentreContribution, ...] = ()
    """Of each centre of a federated arm, also of those that took no part; empty where not recorded."""
    early_stop: EarlyStop | None = Field(default=None, exclude_if=lambda early: early is None)
    """Why the training ended before the plan's last round; left out where it did not."""

    def describe_end(self) -> str:
        """Why the training ended early, in words; empty if it did not."""
        return "" if self.early_stop is None else self.early_stop.describe(self.points[-1].number)

    def describe_trainers(self) -> str:
        """Who trained a federated network, in words; empty where that was not recorded."""
        if not self.contributions:
            return ""
        return describe_trainers(self._rounds, self.chosen)

    def describe_absence(self) -> str:
        """Which centres missed rounds that made a federated network, in words; empty if none is known to."""
        return describe_absence(self._rounds, self.chosen)

    @property
    def _rounds(self) -> dict[str, int]:
        return {part.site: part.rounds for part in self.contributions}


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
    folds: Count | None = None
    """Folds of that cross-validation; None where it did not come to one, or that was not recorded."""
    fold_reason: str = ""
    """Why there are fewer folds than planned; empty if there are as many, or that was not recorded."""
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
    positive: bool | None = None
    """Whether the model called the patient positive: the map shows what spoke for that decision. None: not
    recorded, the map shows what spoke for expansion."""
    picture: str | None = Field(None, pattern=r"^pictures/[0-9a-f]{32}\.png$")
    """Its file beside the results file, named by its SHA-256; None in memory and where it is inside."""
    png_base64: str | None = Field(None, pattern=r"^[A-Za-z0-9+/]+={0,2}$")
    """The picture itself, in memory and in files until November 2026; None where it lies beside the file."""

    @model_validator(mode="after")
    def _check_picture(self) -> Self:
        if (self.picture is None) == (self.png_base64 is None):
            raise ValueError("an attention map has either picture or png_base64")
        return self


def record_curve(trained: TrainedModel, preparation: Preparation) -> LearningCurve:
    """The learning curve of one network and who trained it, without numbers that may not be shown."""
    taking_part, sites = trained.trainers, trained.arm.sites
    return LearningCurve(
        model=trained.model.name,
        arm=trained.arm.name,
        kind=trained.arm.kind,
        sites=sites if taking_part is None else tuple(site for site in sites if site in taking_part.trained),
        chosen=trained.chosen,
        points=tuple(
            CurvePoint(
                number=line.number,
                loss=line.loss,
                validation_auc=line.validation_auc if line.released else None,
                contributors=line.contributors,
                patients=None if line.contributors is None else preparation.show_training(line.contributors),
            )
            for line in trained.curve
        ),
        standing=trained.standing,
        partial=taking_part is not None and taking_part.partial,
        contributions=tuple(
            CentreContribution(site=site, rounds=rounds, patients=preparation.show_training([site]))
            for site, rounds in (trained.rounds_by_site or {}).items()
        ),
        early_stop=_record_early_end(trained.early_end),
    )


def _record_early_end(end: EarlyEnd | None) -> EarlyStop | None:
    if end is None:
        return None
    return EarlyStop(planned=end.planned, gained=end.gained, waited=end.last, minimum_gain=end.minimum_gain)


def list_partial_scores(curves: Iterable[LearningCurve], model: AnyTrainedModel, arm: Arm) -> tuple[str, ...]:
    """Networks of the arm whose scores a model of the table takes, and that not all centres trained."""
    partial = {curve.model for curve in curves if curve.arm == arm.name and curve.partial}
    networks = model.networks if isinstance(model, TableModel) else ()
    return tuple(name for name in networks if name in partial)


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
        return SupportVectorMachine(**shared, standing=STAYED if machine.standing.ok else machine.standing)
    return SupportVectorMachine(
        **shared,
        covariates=fitted.covariates,
        c=fitted.c,
        gamma=fitted.gamma,
        features=len(fitted.weights),
        criterion=fitted.criterion,
        folds=fitted.folds,
        fold_reason=fitted.fold_reason,
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
        positive=attention.caption.positive,
        png_base64=base64.b64encode(attention.png).decode(),
    )
