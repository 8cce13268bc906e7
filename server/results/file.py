"""The results file: everything that the report shows, versioned, as canonical JSON.

The same plan on the same patients gives the same bytes, but for `provenance`: when, where and how fast.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from common.errors import ResumeError
from common.messages.headers import SiteFacts
from common.plan.study import StudyPlan
from common.runtime.storage import write_atomically
from server.results.cohort import CohortRow, FlowChart, PartOfCohort
from server.results.comparison import CentreHeterogeneity, Comparisons
from server.results.earlier_cards import EarlierModel
from server.results.evaluation import Cell, Subgroup
from server.results.hiding import Masking
from server.results.mean_attention import MeanAttention
from server.results.pictures import put_beside, take_from_beside
from server.results.provenance import Provenance
from server.results.readings import Reproducibility
from server.results.records import Count, Record
from server.results.regression import FittedModel, RegressionTable
from server.results.seed_spread import SeedSpread
from server.results.selection import FeatureSelection
from server.results.training import LearningCurve, Overlay, SupportVectorMachine
from server.results.version_one import upgrade

if TYPE_CHECKING:
    from server.phases.preparation import Preparation
    from server.phases.reference import ReferenceOrigin, ValidatedNetwork

SCHEMA_VERSION = 2


class SiteSummary(Record):
    """One centre."""

    name: str
    """As in the plan."""
    role: Literal["train", "external"]
    """What it does in the study."""
    synthetic: bool
    """Whether it declared its data simulated."""
    model_release: bool
    """Whether a model trained on its patients alone was released; no sum hides it."""


class ValidationResult(Record):
    """What decided whether a network became the reference."""

    model: str
    """Name in the plan."""
    arm: str
    """Of its arms the one with the highest validation AUC."""
    auc: float | None
    """On the validation patients, of the kept round; None where it may not be shown."""
    positive: Count | None
    """Validation patients with expansion; None where the number may not be shown, or was not recorded."""
    negative: Count | None
    """Validation patients without."""


class StudySummary(Record):
    """What was done."""

    name: str
    """As in the plan."""
    plan_hash: str
    """SHA-256 of the plan, 64 hexadecimal digits."""
    profile: Literal["standard", "replication", "simulation"]
    """How strict the plan is with small numbers."""
    endpoint: str = Field(min_length=1, max_length=40)
    """What is predicted: "rHE" or "cHE", revised or conventional expansion; or the label of a column."""
    outcome_meaning: str = ""
    """What a 1 in that column means, as the plan says; empty where volumes decide."""
    seed: int
    """From which every random stream of the study derives."""
    local_epochs: int = Field(ge=1)
    """Passes over a centre's training patients in one federated round."""
    threshold: float
    """Operating point."""
    interval: str
    """Kind of the AUC's interval."""
    two_site_ack: bool
    """Whether the plan acknowledges that each of two centres can compute the other's sums."""
    hiding: Masking | None = None
    """None: the coordinator saw every centre's own numbers, or there is one centre."""
    reference_model: str | None
    """With which the others are compared; None if nothing was evaluated."""
    reference_origin: Literal["plan", "validation AUC", "first model"] | None = None
    """Named in the plan; the network with the best validation AUC; or the plan's first model, because no
    network was validated. None: nothing was evaluated, or not recorded."""
    reference_equals: tuple[str, ...] = ()
    """Networks with the same validation AUC; the first name in the alphabet was taken."""
    validated: tuple[ValidationResult, ...] = ()
    """The networks by validation AUC, if that chose the reference; empty: it did not, or not recorded."""
    plan: dict[str, Any]
    """Every setting, defaults included."""


class Results(Record):
    """One finished study."""

    schema_version: Literal[2] = 2
    """Of this file's format."""
    study: StudySummary
    """What was done."""
    sites: tuple[SiteSummary, ...]
    """By name."""
    flow: tuple[FlowChart, ...]
    """Of each site, then of all together."""
    parts: tuple[PartOfCohort, ...]
    """Of each site, those that have patients."""
    cohort: tuple[CohortRow, ...] = ()
    """Who the patients are: the paper's cohorts, each site, and all together; empty if not asked."""
    regression: RegressionTable | None = None
    """What predicts expansion; None if the study did not ask."""
    training: tuple[LearningCurve, ...]
    """Of each network in each arm."""
    reproducibility: Reproducibility | None = None
    """How far readings agree; None if the study did not ask."""
    selections: tuple[FeatureSelection, ...] = ()
    """Radiomics features of each federated arm, and of each local one whose models were released."""
    fitted: tuple[FittedModel, ...] = ()
    """The logistic models."""
    machines: tuple[SupportVectorMachine, ...] = ()
    """The support vector machines."""
    earlier_models: tuple[EarlierModel, ...] = ()
    """Models of earlier studies, which this one validates as they are."""
    evaluation: tuple[Cell, ...]
    """Every model on every cohort."""
    comparisons: tuple[Comparisons, ...] = ()
    """Of models on the same patients, cohort by cohort."""
    seed_spreads: tuple[SeedSpread, ...] = ()
    """How far AUCs of a network spread between trainings from several seeds; empty: each was trained once."""
    subgroups: tuple[Subgroup, ...] = ()
    """Every model within the levels of the variables that the plan names."""
    heterogeneity: tuple[CentreHeterogeneity, ...] = ()
    """Of every model, between centres; empty if the study has one centre."""
    overlays: tuple[Overlay, ...]
    """Attention maps of synthetic patients."""
    mean_attention: tuple[MeanAttention, ...] = ()
    """Means of attention maps; empty if not asked."""
    notes: tuple[str, ...]
    """What a reader must know: profile, two sites, releases."""
    provenance: Provenance
    """When, where and how fast."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = {site.name for site in self.sites}
        named = {site for cell in self.evaluation for site in (*cell.cohort_sites, *cell.training_sites)}
        named |= {overlay.site for overlay in self.overlays} | {part.site for part in self.parts}
        named |= {site for mean in self.mean_attention for site in mean.cohort_sites}
        if named - known:
            raise ValueError(f"the study has no site {', '.join(sorted(named - known))}")
        trained = {(curve.model, curve.arm) for curve in self.training}
        drawn = {(overlay.model, overlay.arm) for overlay in self.overlays}
        strangers = (drawn | {(mean.model, mean.arm) for mean in self.mean_attention}) - trained
        if strangers:
            raise ValueError(f"attention maps of models that were not trained: {sorted(strangers)}")
        return self


def record_study(
    plan: StudyPlan,
    reference: str | None,
    hiding: Masking | None,
    origin: ReferenceOrigin | None = None,
    validated: tuple[ValidationResult, ...] = (),
) -> StudySummary:
    """What was done, with the model that the others were compared with and how sums were hidden."""
    return StudySummary(
        name=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        endpoint=plan.cohort.outcome.event,
        outcome_meaning=plan.cohort.outcome.meaning,
        seed=plan.seed,
        local_epochs=plan.federation.local_epochs,
        threshold=plan.evaluation.threshold,
        interval=plan.interval,
        two_site_ack=plan.two_site_ack,
        hiding=hiding,
        reference_model=reference,
        reference_origin=None if origin is None else origin.kind,
        reference_equals=() if origin is None else origin.equals,
        validated=validated,
        plan=plan.model_dump(mode="json"),
    )


def record_validated(network: ValidatedNetwork, preparation: Preparation) -> ValidationResult:
    """A network's validation AUC and patients, as far as they may be shown."""
    size = None if network.sites is None else preparation.show_validation(network.sites)
    return ValidationResult(
        model=network.trained.model.name,
        arm=network.trained.arm.name,
        auc=network.auc if network.released else None,
        positive=None if size is None else size.positive,
        negative=None if size is None else size.negative,
    )


def record_site(plan: StudyPlan, name: str, facts: SiteFacts) -> SiteSummary:
    """One centre, by its name in the plan and by what it stated about itself."""
    site = plan.site(name)
    return SiteSummary(name=name, role=site.role, synthetic=facts.synthetic, model_release=site.model_release)


def save_results(results: Results, path: Path) -> None:
    """Write the file atomically, and the attention maps into the folder pictures beside it.

    Raises
    ------
    StorageError
        If the disk is full or the file cannot be written.
    """
    filed = results.model_copy(update={"overlays": put_beside(results.overlays, path.parent)})
    content = filed.model_dump_json(indent=1, exclude={"overlays": {"__all__": {"png_base64"}}})
    write_atomically(path, content.encode() + b"\n")


def load_results(path: Path) -> Results:
    """The results in a file of this version or of version 1.

    Raises
    ------
    ResumeError
        If it is missing, damaged or of another version, or a picture beside it is missing or another one.
    """
    try:
        results = _read(path.read_bytes())
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
    return results.model_copy(update={"overlays": take_from_beside(results.overlays, path.parent)})


def _read(content: bytes) -> Results:
    try:
        return Results.model_validate_json(content)
    except ValidationError:
        # Only a file that is not of this version is parsed a second time.
        document = _parse_version_one(content)
        if document is None:
            raise
    return Results.model_validate_json(json.dumps(upgrade(document)))


def _parse_version_one(content: bytes) -> dict[str, Any] | None:
    """The parsed file if it says that it is of version 1, else None."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    is_first = isinstance(document, dict) and document.get("schema_version") == 1
    return document if is_first else None
