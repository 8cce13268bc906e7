"""The sections of a study plan, each with the paper's settings as defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.cohort.outcome import OutcomeDefinition
from common.imaging.recipe import InputShape, Recipe
from common.models.spec import IMAGENET_FAMILIES, Family, NetworkSpec
from common.settings import Section
from common.training.settings import TrainingSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,39}$")]
"""Letters, digits, dot, plus and hyphen: safe in file names, messages and pages."""

Profile = Literal["standard", "replication", "simulation"]
"""standard: the specification's defaults and minima; replication: the paper's choices, minima of 1;
simulation: minima of 1, accepted only by sites that declare themselves and their data synthetic."""


Phase = Literal["cohort", "training", "evaluation", "explanation"]
"""cohort: who the patients are; training; evaluation: every model on every cohort; explanation: attention
maps. Preparation with its flow chart comes before all of them and is always done."""


class Site(Section):
    """One hospital and what it does in the study."""

    name: Name
    """As in the hospital's own site.toml."""
    role: Literal["train", "external"]
    """"train": its training split trains models; "external": only evaluates."""
    model_release: bool = False
    """Whether the model trained on this site's patients alone may leave it, to be evaluated elsewhere."""


class Cohort(Section):
    """Who is studied, and how a training site's patients are divided."""

    outcome: OutcomeDefinition = OutcomeDefinition()
    """Definition of expansion; the paper's rHE by default."""
    training_fraction: float = Field(default=0.7, gt=0, lt=1)
    """Share of a training site's patients that trains (the paper's 7:3, stratified by outcome)."""
    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    """Share of the training patients held out at each site to choose the round; 0 takes the last round."""


class CnnModel(Section):
    """One convolutional network of the study."""

    kind: Literal["cnn"] = "cnn"
    """A network on the CT."""
    name: Name
    """As printed in tables, e.g. "2D-ResNet-101"."""
    family: Family
    """The architecture."""
    dimensions: Literal[2, 3] = 2
    """2: largest slice; 3: the lesion's box."""
    input_size: int | None = Field(default=None, ge=8)
    """Pixels along each axis; by default the paper's 224 in 2D and 112 in 3D."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Rate before the head."""
    initialisation: Literal["random", "imagenet"] = "random"
    """"imagenet": torchvision's published weights, given to the coordinator as files (2D only)."""
    training: TrainingSettings | None = None
    """By default the paper's: batches of 128 in 2D and 16 in 3D."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.initialisation == "imagenet" and (
            self.dimensions == 3 or self.family not in IMAGENET_FAMILIES
        ):
            raise ValueError(
                f"no ImageNet weights exist for {self.family} in {self.dimensions}D -> "
                'initialisation = "random"'
            )
        smallest = NetworkSpec(self.family, self.dimensions).smallest_input
        if self.shape.size < smallest:
            raise ValueError(
                f"{self.family} needs inputs of {smallest} pixels, not {self.shape.size} -> raise input_size"
            )
        return self

    @property
    def shape(self) -> InputShape:
        """The input grid."""
        return InputShape(self.dimensions, self.input_size or (224 if self.dimensions == 2 else 112))

    @property
    def settings(self) -> TrainingSettings:
        """The training settings, the paper's where the plan gives none."""
        return self.training or TrainingSettings(batch_size=128 if self.dimensions == 2 else 16)

    def network(self, recipe: Recipe) -> NetworkSpec:
        """The network to build for inputs of this recipe."""
        channels = recipe.slices if self.dimensions == 2 else 1
        return NetworkSpec(self.family, self.dimensions, channels, self.dropout)


class Federation(Section):
    """How the sites train together."""

    rounds: int = Field(default=100, ge=1)
    """Aggregations; rounds x local_epochs are the paper's 100 epochs by default."""
    local_epochs: int = Field(default=1, ge=1)
    """Passes over a site's training patients a round."""
    proximal_mu: float = Field(default=0.0, ge=0)
    """FedProx' penalty (Li et al. 2020); 0 is FedAvg (McMahan et al. 2017)."""
    server_optimiser: Literal["none", "sgd", "adam", "adagrad"] = "none"
    """"none": the weighted mean; else torch.optim on the pseudo-gradient (Reddi et al. 2021)."""
    server_learning_rate: float = Field(default=1.0, gt=0)
    """Step size of the server's optimiser."""
    batch_norm: Literal["averaged", "local"] = "averaged"
    """"local": a training site keeps its own BatchNorm (Li et al. 2021); elsewhere the average is used."""
    timeout_s: float = Field(default=3600.0, gt=0)
    """How long the coordinator waits for one answer."""


class Arms(Section):
    """Which models are trained on whom, to answer how well a model carries over."""

    design: Literal["together", "leave-one-centre-out"] = "together"
    """"together": one federation of all training sites; "leave-one-centre-out": one without each of them."""
    local_models: bool = True
    """Also a model of each training site alone."""
    pooled_model: bool = False
    """Also a model of all training patients in one place (simulation only, for comparison)."""


class Evaluation(Section):
    """How models are judged."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Operating point (the paper: 0.5)."""
    bins: int = Field(default=1000, ge=10, le=100_000)
    """Bins of the score histogram on [0, 1]."""
    interval: Literal["logit-delong", "delong", "mc_binomial"] | None = None
    """Of the AUC; by default logit-DeLong, in the replication profile the paper's mc_binomial."""
    reference_model: Name | None = None
    """The model that others are compared with; by default chosen by validation AUC, never by a test."""


class Explanation(Section):
    """Which attention maps are drawn (Grad-CAM, the paper's Fig. 5)."""

    per_site: int = Field(default=4, ge=0, le=50)
    """Patients a site draws, half of them with expansion; they stay at the site unless it is synthetic."""
