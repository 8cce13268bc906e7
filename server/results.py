"""The results file: everything that the report shows, versioned, as canonical JSON.

The same plan on the same patients gives the same bytes, but for `provenance`: when, where and how fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from common.errors import ResumeError
from common.storage import write_atomically
from server.analyses import (
    Calibration,
    Comparisons,
    FeatureSelection,
    FittedModel,
    Heterogeneity,
    NetBenefitPoint,
    Part,
    Regression,
    Subgroup,
)
from server.masking import Masking
from server.provenance import Provenance
from server.reading_records import Reproducibility
from server.records import CohortRow, Count, Measure, Record, Standing, SupportVectorMachine

SCHEMA_VERSION = 1


class SiteSummary(Record):
    """One centre."""

    name: str
    """As in the plan."""
    role: Literal["train", "external"]
    """What it does in the study."""
    synthetic: bool
    """Whether it declared its data simulated."""
    model_release: bool
    """Whether a model trained on its patients alone was released: hidden by no sum."""


class Excluded(Record):
    """Patients left out for one reason, or for several that were merged because they are rare."""

    reasons: tuple[str, ...]
    """In the order of application."""
    patients: Count | None
    """None where it may not be shown."""


class FlowChart(Record):
    """From screened to studied, at one centre or at all together."""

    site: str | None
    """None for all sites together."""
    screened: Count | None
    """Everybody in the table."""
    excluded: tuple[Excluded, ...]
    """By the first reason that applied."""
    included: Count | None
    """Everybody studied."""
    positive: Count | None
    """Of these, with expansion."""
    negative: Count | None
    """Of these, without."""
    standing: Standing = Standing()
    """Suppressed if any number is."""


class PartOfCohort(Record):
    """How many patients of a centre train, choose the round, or test."""

    site: str
    """Whose."""
    part: Literal["train", "validation", "test"]
    """Which."""
    positive: Count | None
    """With expansion."""
    negative: Count | None
    """Without."""


class CurvePoint(Record):
    """One line of a learning curve."""

    number: int
    """Round, or epoch of a local model."""
    loss: float
    """Mean training loss."""
    validation_auc: float | None
    """None where there is none or it may not be shown."""


class LearningCurve(Record):
    """How one model was trained in one arm."""

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


class RocPoint(Record):
    """One step of a ROC curve that holds enough patients to be shown."""

    threshold: float
    """Called positive from here on, in the score's own unit; the first lies beyond every score."""
    false_positive_rate: float
    """1 - specificity."""
    true_positive_rate: float
    """Sensitivity."""
    low: float | None = None
    """Lower 95 % bound of the sensitivity (Wilson)."""
    high: float | None = None
    """Upper 95 % bound of the sensitivity."""


class ConfusionMatrix(Record):
    """Calls at the plan's threshold; None where a count may not be shown."""

    true_positive: Count | None
    false_negative: Count | None
    false_positive: Count | None
    true_negative: Count | None


class Cell(Record):
    """One cell of the evaluation matrix: one model on one cohort."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local", "pooled", "given"]
    """How the arm trains; "given" is a score of the table."""
    training_sites: tuple[str, ...]
    """Whose patients trained the model."""
    cohort_sites: tuple[str, ...]
    """Whose patients it is judged on."""
    part: Part
    """Which of them."""
    relation: Literal["apparent", "selection", "internal", "seen centre", "external", "given"]
    """What the model had seen of them."""
    positive: Count | None
    """Patients with expansion."""
    negative: Count | None
    """Patients without."""
    missing: Count | None = 0
    """Patients without a score."""
    auc: Measure
    """Area under the ROC curve."""
    auc_error_bound: float | None
    """The AUC of the raw scores lies within this of the value."""
    roc: tuple[RocPoint, ...]
    """The curve, empty where it may not be shown."""
    confusion: ConfusionMatrix
    """At the threshold."""
    accuracy: Measure
    sensitivity: Measure
    specificity: Measure
    ppv: Measure
    npv: Measure
    f1: Measure
    threshold: float | None = None
    """Scores of at least this were called positive; in the column's unit for a score of the table."""
    falling: bool = False
    """Whether a smaller score means more risk: then those up to the threshold are called positive."""
    calibration: Calibration | None = None
    """None for scores that are no predicted risks, and for patients who trained the model."""
    decision: tuple[NetBenefitPoint, ...] = ()
    """The decision curve, of the same."""


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


class Study(Record):
    """What was done."""

    name: str
    plan_hash: str
    profile: Literal["standard", "replication", "simulation"]
    endpoint: Literal["rHE", "cHE"]
    """Which expansion is predicted: revised or conventional."""
    seed: int
    local_epochs: int = Field(ge=1)
    """Passes over a centre's training patients in one federated round."""
    threshold: float
    """Operating point."""
    interval: str
    """Kind of the AUC's interval."""
    two_site_ack: bool
    hiding: Masking | None = None
    """None: the coordinator saw every centre's own numbers, or there is one centre."""
    reference_model: str | None
    """Named in the plan, or chosen by validation AUC."""
    plan: dict[str, Any]
    """Every setting, defaults included."""


class Results(Record):
    """One finished study."""

    schema_version: Literal[1] = 1
    study: Study
    sites: tuple[SiteSummary, ...]
    flow: tuple[FlowChart, ...]
    """Of each site, then of all together."""
    parts: tuple[PartOfCohort, ...]
    cohort: tuple[CohortRow, ...] = ()
    """Who the patients are: the paper's cohorts, each site, and all together; empty if not asked."""
    regression: Regression | None = None
    """What predicts expansion; None if the study did not ask."""
    training: tuple[LearningCurve, ...]
    reproducibility: Reproducibility | None = None
    """How far readings agree; None if the study did not ask."""
    selections: tuple[FeatureSelection, ...] = ()
    """Radiomics features of each federated arm, and of each local one whose models were released."""
    fitted: tuple[FittedModel, ...] = ()
    """The logistic models."""
    machines: tuple[SupportVectorMachine, ...] = ()
    """The support vector machines."""
    evaluation: tuple[Cell, ...]
    comparisons: tuple[Comparisons, ...] = ()
    """Of models on the same patients, cohort by cohort."""
    subgroups: tuple[Subgroup, ...] = ()
    heterogeneity: tuple[Heterogeneity, ...] = ()
    overlays: tuple[Overlay, ...]
    notes: tuple[str, ...]
    """What a reader must know: profile, two sites, releases."""
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = {site.name for site in self.sites}
        named = {site for cell in self.evaluation for site in (*cell.cohort_sites, *cell.training_sites)}
        named |= {overlay.site for overlay in self.overlays} | {part.site for part in self.parts}
        if named - known:
            raise ValueError(f"the study has no site {', '.join(sorted(named - known))}")
        trained = {(curve.model, curve.arm) for curve in self.training}
        strangers = {(drawn.model, drawn.arm) for drawn in self.overlays} - trained
        if strangers:
            raise ValueError(f"attention maps of models that were not trained: {sorted(strangers)}")
        return self


def save_results(results: Results, path: Path) -> None:
    """Writes the file, whole or not at all."""
    write_atomically(path, results.model_dump_json(indent=1).encode() + b"\n")


def load_results(path: Path) -> Results:
    """The results in a file.

    Raises
    ------
    ResumeError
        If it is missing, damaged or of another version.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ResumeError(f"{path}: no such file -> a finished study writes results.json") from None
    except OSError as failure:
        raise ResumeError(f"{path}: cannot be read ({failure.strerror})") from None
    except ValidationError as failure:
        first = failure.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ResumeError(
            f"{path}: no results of schema version {SCHEMA_VERSION}: {where}: {first['msg']} "
            "-> run the study again, or use the rhe that wrote it"
        ) from None
