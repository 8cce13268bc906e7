"""The study plan that everybody agreed on: read once, frozen, its hash in every message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from common.cohort.repeated_readings import FIRST, Reading
from common.cohort.schema import BY_NAME
from common.cohort.variable import Variable
from common.errors import PlanError
from common.imaging.recipe import InputShape, Recipe
from common.plan.checks import (
    check_arms,
    check_models,
    check_noise,
    check_phases,
    check_privacy,
    check_readings,
    check_sites,
    check_two_sites,
    refuse_together,
)
from common.plan.models import (
    RADIOMICS,
    AnyModel,
    AnyTableModel,
    AnyTrainedModel,
    CardModel,
    CnnModel,
    LogisticModel,
    ScoresModel,
)
from common.plan.named_section import Name
from common.plan.noise_target import find_multiplier
from common.plan.own_checks import check_outcome, check_own_variables, check_selection
from common.plan.own_eligibility import Eligibility
from common.plan.own_variables import PlannedVariable, declare_while_reading, fill_in
from common.plan.repeated_trainings import add_repeats
from common.plan.sections import (
    Agreement,
    Arms,
    CohortSettings,
    Evaluation,
    Explanation,
    Federation,
    Phase,
    PlannedSite,
    Privacy,
    Radiomics,
    RegressionSettings,
    ScanSettings,
)
from common.plan.training_checks import check_control_variates, check_early_stopping, check_schedules
from common.runtime.settings_file import Section, load_settings
from common.stats.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "EARLIER",
    "FEDERATED",
    "GIVEN_ARM",
    "POOLED",
    "AnyModel",
    "Arm",
    "CnnModel",
    "LogisticModel",
    "Name",
    "Profile",
    "ScoresModel",
    "StudyPlan",
    "load_plan",
]

POOLED, FEDERATED = "pooled", "federated"
"""Names of the arm of all training patients in one place, and of the joint federation."""
EARLIER = "earlier"
"""Name of the arm of every model that an earlier study trained."""


@dataclass(frozen=True)
class Arm:
    """One way of training every model: on which sites' patients; all other sites are external.

    Attributes
    ----------
    name : str
        "federated", "federated-without-NAME", "local-NAME", "pooled", "given" or "earlier".
    kind : {"federated", "local", "pooled", "given", "earlier"}
        "given": a score from the cohort table; its training is not known. "earlier": a model of an earlier
        study.
    sites : tuple of str
        Sites whose patients train it, or trained it in the earlier study, sorted; empty for "given".
    """

    name: str
    kind: Literal["federated", "local", "pooled", "given", "earlier"]
    sites: tuple[str, ...]


GIVEN_ARM = Arm("given", "given", ())
"""The arm of every score that this study does not train."""


class StudyPlan(Section):
    """Everything that determines a study's result, apart from the patients."""

    version: Literal[1] = 1
    """Version of the plan's format."""
    name: str = Field(min_length=1, max_length=120)
    """The study's title."""
    seed: int = Field(ge=0, lt=2**62)
    """Seed from which all randomness derives."""
    threads: int = Field(default=2, ge=1, le=256)
    """CPU threads of torch and of numpy's linear algebra, whatever a machine has: the same number gives the
    same bits on the same kind of processor."""
    profile: Profile = "standard"
    """Defaults and minima of the statistics. "standard": for patients; a number behind which stand too few is
    withheld, `rhe-server plan check` lists the minima. "replication": the paper's choices, minima of 1; a
    site takes part only if its `policy.profiles` says so. "simulation": minima of 1, for sites that
    rhe-simulate made."""
    phases: tuple[Phase, ...] = ("cohort", "regression", "training", "evaluation", "explanation")
    """Which phases run; e.g. ["cohort"] first asks whether there are enough patients."""
    two_site_ack: bool = False
    """Must be true for two sites: states that each can compute the other's sums by subtraction."""
    sites: tuple[PlannedSite, ...] = Field(min_length=1)
    """The hospitals and their roles."""
    cohort: CohortSettings = CohortSettings()
    """Definition of the outcome, and the division of patients."""
    variables: tuple[PlannedVariable, ...] = Field(default=(), max_length=1000)
    """Columns of the hospitals' tables beyond the paper's: what each may hold, and what it is for."""
    eligibility: Eligibility = Eligibility()
    """Who is left out; the paper's six criteria by default."""
    scans: ScanSettings = ScanSettings()
    """Which CTs the study takes."""
    preprocessing: Recipe = Recipe()
    """From CT to network input."""
    regression: RegressionSettings = RegressionSettings()
    """How predictors of expansion are screened."""
    agreement: Agreement = Agreement()
    """How repeated readings are judged."""
    radiomics: Radiomics = Radiomics()
    """Handcrafted features, where a model uses them."""
    models: tuple[AnyModel, ...] = Field(min_length=1)
    """The models that are trained and compared."""
    federation: Federation = Federation()
    """How sites train together."""
    arms: Arms = Arms()
    """Which models are trained on whose patients."""
    evaluation: Evaluation = Evaluation()
    """How models are judged."""
    privacy: Privacy = Privacy()
    """How sums over sites are hidden."""
    explanation: Explanation = Explanation()
    """Which attention maps are drawn."""

    @field_validator("models")
    @classmethod
    def _add_repeats(cls, models: tuple[AnyModel, ...]) -> tuple[AnyModel, ...]:
        return add_repeats(models)

    @model_validator(mode="wrap")
    @classmethod
    def _read_with_own_variables(cls, written: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """The plan, whose sections may name the variables that it declares."""
        if not isinstance(written, Mapping):
            return read(written)
        with declare_while_reading(written.get("variables")):
            return read(fill_in(written))

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The plan without sections that were not given: plans from before these existed keep their hash."""
        unset = {"variables"} if not self.variables else set()
        unset |= {"eligibility"} if self.eligibility == Eligibility() else set()
        return {name: value for name, value in write(self).items() if name not in unset}

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        trains = bool(self.trained_models)
        refuse_together(
            lambda: check_sites(self.sites, trains=trains or "regression" in self.phases),
            lambda: check_arms(self.arms, self.sites, self.profile),
            lambda: check_two_sites(self.sites, acknowledged=self.two_site_ack),
            lambda: check_phases(self.phases, trains=trains),
            lambda: check_privacy(self.privacy, self.sites, self.arms, self.networks),
            lambda: check_noise(self.privacy, len(self.sites), self.noise_multiplier),
            lambda: check_models(self.models, self.evaluation),
            lambda: check_schedules(self.networks, self.federation),
            lambda: check_early_stopping(self.federation, self.cohort),
            lambda: check_control_variates(self.federation, self.privacy, self.networks),
            lambda: check_readings(self.agreement, self.radiomics),
            lambda: check_own_variables(self.variables, self.models, self.cohort),
            lambda: check_outcome(self.cohort, self.models, self._named_columns),
            lambda: check_selection(self.radiomics, self.selectable_columns),
        )
        return self

    @property
    def _named_columns(self) -> dict[str, tuple[str, ...]]:
        """Columns that parts of the plan name beside its models, by the keys under which they do."""
        return {
            "variables": tuple(self.own_variables),
            "cohort.described": self.cohort.described or (),
            "regression.candidates": self.regression.candidates if "regression" in self.phases else (),
            "radiomics.columns": self.radiomics.columns,
            "evaluation.subgroups": self.evaluation.subgroups,
            "eligibility": self.eligibility.variables,
        }

    @property
    def training_sites(self) -> tuple[str, ...]:
        """Names of the sites whose patients train, sorted."""
        return tuple(sorted(site.name for site in self.sites if site.role == "train"))

    @property
    def site_names(self) -> tuple[str, ...]:
        """Names of all sites, sorted."""
        return tuple(sorted(site.name for site in self.sites))

    @property
    def hides_sums(self) -> bool:
        """Whether sums over sites are masked; a single site has nobody to hide among."""
        return self.privacy.hides_sums_of(len(self.sites))

    @cached_property
    def noise_multiplier(self) -> float | None:
        """Standard deviation of the summed noise on federated trainings, in units of the norm.

        As the plan gives it, or as it follows from the plan's epsilon; None without noise.
        """
        arms = [arm for arm in self.all_arms() if arm.kind == "federated" and len(arm.sites) > 1]
        busiest = max((sum(site in arm.sites for arm in arms) for site in self.training_sites), default=0)
        joined = [(model.family, model.dimensions) for model in self.networks] * busiest
        return find_multiplier(self.privacy, len(self.sites), self.federation.rounds, joined)

    def number_of(self, name: str) -> int:
        """The site's number in the roster, from 1, in the order of the sites' names."""
        return self.site_names.index(name) + 1

    @property
    def interval(self) -> Literal["logit-delong", "delong", "mc_binomial"]:
        """Method of the AUC's confidence interval."""
        return self.evaluation.interval or (
            "mc_binomial" if self.profile == "replication" else "logit-delong"
        )

    def site(self, name: str) -> PlannedSite:
        """The site of that name.

        Raises
        ------
        PlanError
            If the plan has no such site.
        """
        for site in self.sites:
            if site.name == name:
                return site
        raise PlanError(f"the plan has no site {name!r}; it has {', '.join(self.site_names)}")

    @property
    def networks(self) -> tuple[CnnModel, ...]:
        """The models that read the CT."""
        return tuple(model for model in self.models if isinstance(model, CnnModel))

    @property
    def regressions(self) -> tuple[LogisticModel, ...]:
        """The logistic models."""
        return tuple(model for model in self.models if isinstance(model, LogisticModel))

    @property
    def table_models(self) -> tuple[AnyTableModel, ...]:
        """The trained models that read the cohort table."""
        return tuple(model for model in self.models if isinstance(model, AnyTableModel))

    @property
    def reads_images(self) -> bool:
        """Whether the study needs CT and masks for more than missing volumes."""
        return bool(self.input_shapes) or self.extracts_features

    @property
    def cards(self) -> tuple[CardModel, ...]:
        """The models of earlier studies."""
        return tuple(model for model in self.models if isinstance(model, CardModel))

    @property
    def input_shapes(self) -> tuple[InputShape, ...]:
        """Every grid that a network takes, trained here or before, once."""
        shapes = {model.shape for model in self.networks}
        shapes |= {model.shape for model in self.cards if model.shape is not None}
        return tuple(sorted(shapes, key=lambda shape: (shape.dimensions, shape.size)))

    @cached_property
    def own_variables(self) -> dict[str, Variable]:
        """The plan's own variables, by their headings, in the plan's order."""
        return {planned.name: planned.variable for planned in self.variables}

    def variable(self, name: str) -> Variable:
        """The paper's or the plan's own variable of this heading.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self.own_variables.get(name) or BY_NAME[name]

    @property
    def selectable_columns(self) -> tuple[str, ...]:
        """Columns of the table among which the LASSO selects; none if it is among extracted features."""
        own = (planned.name for planned in self.variables if planned.role == "radiomics")
        return self.radiomics.columns or tuple(own)

    @property
    def extracts_features(self) -> bool:
        """Whether a model of the plan uses radiomics features that are extracted from CT and mask."""
        selects = self.takes_radiomics and not self.selectable_columns
        return selects or any(model.takes_features for model in self.cards)

    @property
    def takes_radiomics(self) -> bool:
        """Whether a model of the plan uses what a LASSO selects."""
        return any(RADIOMICS in model.covariates for model in self.table_models)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Repeated readings whose masks the study reads."""
        return self.agreement.all_readings[1:] if "agreement" in self.phases else self.feature_readings

    @property
    def feature_readings(self) -> tuple[Reading, ...]:
        """Repeated readings in which radiomics features are extracted, because they must be reproducible."""
        criteria = self.radiomics.readings if self.extracts_features else ()
        behind = {reading for name in criteria for reading in self.agreement.readings_behind(name)}
        return tuple(reading for reading in self.agreement.all_readings if reading in behind - {FIRST})

    @property
    def scores(self) -> tuple[ScoresModel, ...]:
        """The models whose scores are columns of the cohort table."""
        return tuple(model for model in self.models if isinstance(model, ScoresModel))

    @property
    def trained_models(self) -> tuple[AnyTrainedModel, ...]:
        """The models that the study itself trains."""
        return (*self.networks, *self.table_models)

    def network(self, name: str) -> CnnModel:
        """The network of that name.

        Raises
        ------
        PlanError
            If the plan has no such network.
        """
        model = self.model(name)
        if not isinstance(model, CnnModel):
            raise PlanError(f"the plan's model {name!r} is no network")
        return model

    def model(self, name: str) -> AnyModel:
        """The model of that name.

        Raises
        ------
        PlanError
            If the plan has no such model.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise PlanError(f"the plan has no model {name!r}")

    def arms_of(self, model: AnyModel) -> tuple[Arm, ...]:
        """The arms in which a model exists; a table model's pooled arm would equal its federated one."""
        if isinstance(model, ScoresModel):
            return (GIVEN_ARM,)
        if isinstance(model, CardModel):
            return (Arm(EARLIER, "earlier", tuple(sorted({*model.trained_by} & {*self.site_names}))),)
        arms = self.all_arms()
        return arms if isinstance(model, CnnModel) else tuple(arm for arm in arms if arm.kind != "pooled")

    def all_arms(self) -> tuple[Arm, ...]:
        """Every arm of the design, federated ones first."""
        sites = self.training_sites
        federated: list[Arm] = []
        if len(sites) > 1 and self.arms.design == "together":
            federated.append(Arm(FEDERATED, "federated", sites))
        elif self.arms.design == "leave-one-centre-out":
            federated += [
                Arm(f"{FEDERATED}-without-{absent}", "federated", tuple(s for s in sites if s != absent))
                for absent in sites
            ]
        local = [
            Arm(f"local-{site}", "local", (site,))
            for site in sites
            if self.arms.local_models or len(sites) == 1
        ]
        pooled = [Arm(POOLED, "pooled", sites)] if self.arms.pooled_model else []
        return (*federated, *local, *pooled)

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises
        ------
        PlanError
            If the plan has no such arm.
        """
        for arm in self.all_arms():
            if arm.name == name:
                return arm
        raise PlanError(f"the plan has no arm {name!r}")

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of every setting, defaults included."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        """The digest, computed once because every message carries it; a plan never changes."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def load_plan(path: Path) -> StudyPlan:
    """The plan in a TOML file.

    Raises
    ------
    PlanError
        If the file is unusable or violates the plan's format; lists line, key and value of every violation.
    """
    return load_settings(path, StudyPlan, PlanError)
