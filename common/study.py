"""The study plan: what everybody agreed to do. Read once, frozen, hashed into every message."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from common.cohort.readings import READINGS, Reading
from common.errors import PlanError
from common.imaging.recipe import Recipe
from common.sections import (
    Agreement,
    Arms,
    Cohort,
    Evaluation,
    Explanation,
    Federation,
    Phase,
    Privacy,
    Profile,
    Radiomics,
    Regression,
    Site,
)
from common.settings import Section, load_settings
from common.study_models import (
    RADIOMICS,
    AnyModel,
    CnnModel,
    LogisticModel,
    Name,
    ScoresModel,
    SvmModel,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FEDERATED",
    "GIVEN",
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


@dataclass(frozen=True)
class Arm:
    """One way of training every model: on whom, and who thereby is external.

    Attributes
    ----------
    name : str
        "federated", "federated-without-NAME", "local-NAME", "pooled" or "given".
    kind : {"federated", "local", "pooled", "given"}
        "given": a score that came with the table; what it was made from is not known.
    sites : tuple of str
        Whose patients train it, sorted.
    """

    name: str
    kind: Literal["federated", "local", "pooled", "given"]
    sites: tuple[str, ...]


GIVEN = Arm("given", "given", ())
"""Of every score that is not trained here."""


class StudyPlan(Section):
    """Everything that determines a study's result, but for the patients."""

    version: Literal[1] = 1
    """Of this format."""
    name: str = Field(min_length=1, max_length=120)
    """The study's title."""
    seed: int = Field(ge=0, lt=2**62)
    """All randomness derives from it."""
    threads: int = Field(default=2, ge=1, le=256)
    """CPU threads of torch: the same number gives the same bits."""
    profile: Profile = "standard"
    """Defaults and minima of the statistics."""
    phases: tuple[Phase, ...] = ("cohort", "regression", "training", "evaluation", "explanation")
    """What is done; e.g. ["cohort"] asks first whether there are patients enough."""
    two_site_ack: bool = False
    """With two sites each can compute the other's sums by subtraction; the plan must say so."""
    sites: tuple[Site, ...] = Field(min_length=1)
    """The hospitals."""
    cohort: Cohort = Cohort()
    """The patients."""
    preprocessing: Recipe = Recipe()
    """From CT to network input."""
    regression: Regression = Regression()
    """Predictors of expansion."""
    agreement: Agreement = Agreement()
    """Repeated readings."""
    radiomics: Radiomics = Radiomics()
    """Handcrafted features, where a model takes them."""
    models: tuple[AnyModel, ...] = Field(min_length=1)
    """What is trained and compared."""
    federation: Federation = Federation()
    """How sites train together."""
    arms: Arms = Arms()
    """On whom models are trained."""
    evaluation: Evaluation = Evaluation()
    """How models are judged."""
    privacy: Privacy = Privacy()
    """How sums are hidden."""
    explanation: Explanation = Explanation()
    """What is drawn."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        from common.plan_checks import check_design, check_models, check_privacy

        check_design(self)
        check_privacy(self)
        check_models(self)
        return self

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
        """Whether what several sites add up to is masked; one site alone has nobody to hide among."""
        return self.privacy.secure and len(self.sites) > 1

    def number_of(self, name: str) -> int:
        """The site's number in the roster: from 1, in the order of the names."""
        return self.site_names.index(name) + 1

    @property
    def interval(self) -> Literal["logit-delong", "delong", "mc_binomial"]:
        """Kind of confidence interval of the AUC."""
        return self.evaluation.interval or (
            "mc_binomial" if self.profile == "replication" else "logit-delong"
        )

    def site(self, name: str) -> Site:
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
        """The models that look at the CT; without any, no image is read."""
        return tuple(model for model in self.models if isinstance(model, CnnModel))

    @property
    def regressions(self) -> tuple[LogisticModel, ...]:
        """The logistic models."""
        return tuple(model for model in self.models if isinstance(model, LogisticModel))

    @property
    def table_models(self) -> tuple[LogisticModel | SvmModel, ...]:
        """The models that look at the table."""
        return tuple(model for model in self.models if isinstance(model, LogisticModel | SvmModel))

    @property
    def reads_images(self) -> bool:
        """Whether the study needs CT and masks for anything but missing volumes."""
        return bool(self.networks) or self.takes_radiomics

    @property
    def takes_radiomics(self) -> bool:
        """Whether a model of the plan takes radiomics features."""
        return any(RADIOMICS in model.covariates for model in self.table_models)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Repeated readings whose masks the study reads."""
        own = self.radiomics.readings if self.takes_radiomics else ()
        return READINGS if "agreement" in self.phases else own

    @property
    def scores(self) -> tuple[ScoresModel, ...]:
        """The models that stand in the table."""
        return tuple(model for model in self.models if isinstance(model, ScoresModel))

    @property
    def trained_models(self) -> tuple[CnnModel | LogisticModel | SvmModel, ...]:
        """The models that the study itself makes."""
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
        """In which arms a model exists: of the table, the pooled one is the federated one, to the digit."""
        if isinstance(model, ScoresModel):
            return (GIVEN,)
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
                Arm(f"{FEDERATED}-without-{left}", "federated", tuple(s for s in sites if s != left))
                for left in sites
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
        """Kept, because every message carries it; a plan never changes."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def load_plan(path: Path) -> StudyPlan:
    """The plan in a TOML file.

    Raises
    ------
    PlanError
        With file, line, key and value of every violation.
    """
    return load_settings(path, StudyPlan, PlanError)
