"""The models that a study compares: networks, table models and scores; defaults are the paper's settings."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from common.cohort.schema import TABLE_ONE
from common.imaging.recipe import InputShape, Recipe
from common.models.spec import IMAGENET_FAMILIES, Family, NetworkSpec
from common.plan.named_section import Name, NamedSection, name_repeat
from common.plan.own_variables import find_readable, find_unknown, list_declared
from common.radiomics.features import FEATURES
from common.runtime.name_patterns import LONGEST_WRITTEN, derive_name
from common.runtime.settings_file import COLUMN_PATTERN, TAG, TAG_ERROR
from common.training.settings import TrainingSettings

BRAIN = "brain_score"
"""The covariate that is computed from others (`common.models.brain_score`)."""

COVARIATES: tuple[str, ...] = (*(variable.name for variable in TABLE_ONE), BRAIN)
"""The paper's covariates that a regression may use: every variable of its Table 1, and the BRAIN score."""

INDEPENDENT = "independent"
"""Placeholder for the covariates that a multivariable model of the arm's patients finds independent."""
RADIOMICS = "radiomics"
"""Placeholder for the radiomics features that the LASSO selects in the arm's training patients."""
SCORE_OF = "score:"
"""Prefix of a covariate that is the logit of a network's score, e.g. "score:2D-ResNet-101"."""


class CnnModel(NamedSection):
    """One convolutional network of the study."""

    kind: Literal["cnn"] = "cnn"
    """Tells a network from the other kinds of model."""
    name: Name
    """Name as printed in tables, e.g. "2D-ResNet-101"."""
    family: Family
    """Family of architectures."""
    dimensions: Literal[2, 3] = 2
    """2: the lesion's largest slice; 3: the lesion's box."""
    input_size: int | None = Field(default=None, ge=8)
    """Pixels along each axis; by default the paper's 224 in 2D and 112 in 3D."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout rate before the head."""
    initialisation: Literal["random", "imagenet"] = "random"
    """"imagenet": torchvision's published weights, given to the coordinator as files (2D only)."""
    first_weights: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the weights with which it starts from ImageNet, as `rhe-server plan first-weights` prints
    it: hospitals then train from these alone; without it they take what the coordinator sends."""
    training: TrainingSettings | None = None
    """Training settings; by default the paper's: batches of 128 in 2D and 16 in 3D."""
    repeats: int = Field(default=1, ge=1, le=20)
    """How many times it is trained in each arm, each time from a seed of its own; by default once, as in the
    paper. The first training stands in all tables; the report shows how far the AUCs of all spread."""
    first_weights_of_repeats: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    """Digests like `first_weights`, of the second and each further training: their heads are others."""
    repeat_of: Name | None = None
    """Filled in for each further training, which is listed as a model; nobody need write it."""

    @model_validator(mode="after")
    def _check_repeats(self) -> Self:
        if self.repeats > 1 and self.repeat_of is not None:
            raise ValueError("a further training has no repeats of its own -> leave repeats out")
        if self.repeats > 1 and len(name_repeat(self.title, self.repeats)) > LONGEST_WRITTEN:
            raise ValueError(f"no room for{name_repeat('', self.repeats)} after the name -> a shorter name")
        digests = self.repeats - 1 if self.first_weights is not None else 0
        if len(self.first_weights_of_repeats) != digests:
            raise ValueError(
                f"first_weights_of_repeats has {len(self.first_weights_of_repeats)} digests, not {digests}: "
                "one for each training but the first where first_weights is given -> leave both out, and "
                "copy what rhe-server plan first-weights then prints"
            )
        return self

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.initialisation == "imagenet" and (
            self.dimensions == 3 or self.family not in IMAGENET_FAMILIES
        ):
            raise ValueError(
                f"no ImageNet weights exist for {self.family} in {self.dimensions}D -> "
                'initialisation = "random"'
            )
        if self.first_weights is not None and self.initialisation == "random":
            raise ValueError(
                "first_weights is of ImageNet weights, hospitals derive random ones -> leave it out"
            )
        smallest = NetworkSpec(self.family, self.dimensions).smallest_input
        if self.shape.size < smallest:
            raise ValueError(
                f"{self.family} needs inputs of {smallest} pixels, not {self.shape.size} -> raise input_size"
            )
        return self

    @property
    def has_chosen_weights(self) -> bool:
        """Whether it starts from weights of the coordinator's choice: no site can check them."""
        return self.initialisation == "imagenet" and self.first_weights is None

    @property
    def shape(self) -> InputShape:
        """The input grid."""
        return InputShape(self.dimensions, self.input_size or (224 if self.dimensions == 2 else 112))

    @property
    def settings(self) -> TrainingSettings:
        """The training settings; the paper's where the plan gives none."""
        return self.training or TrainingSettings(batch_size=128 if self.dimensions == 2 else 16)

    def network(self, recipe: Recipe) -> NetworkSpec:
        """The network to build for inputs of this recipe."""
        channels = recipe.slices if self.dimensions == 2 else 1
        return NetworkSpec(self.family, self.dimensions, channels, self.dropout)


class TableModel(NamedSection):
    """What all models of the cohort table have in common."""

    name: Name
    """Name as printed in tables, e.g. "BRAIN"."""
    covariates: tuple[str, ...] = Field(min_length=1)
    """Variables of the paper's Table 1 or of the plan's own (a factor enters by its levels), "brain_score";
    "independent": those that the plan's regression finds independent; "radiomics": what the LASSO selects;
    "score:NAME": the logit of the network NAME's score."""

    @field_validator("covariates", mode="before")
    @classmethod
    def _derive_names(cls, covariates: Any) -> Any:
        """The covariates, with the names of networks as the plan derives them from what people write."""
        if not isinstance(covariates, list | tuple):
            return covariates
        return tuple(
            SCORE_OF + derive_name(name.removeprefix(SCORE_OF))
            if isinstance(name, str) and name.startswith(SCORE_OF)
            else name
            for name in covariates
        )

    @field_validator("covariates")
    @classmethod
    def _check_covariates(cls, covariates: tuple[str, ...]) -> tuple[str, ...]:
        named = tuple(name for name in covariates if not _stands_for_others(name))
        check_covariates(named)
        if len(set(covariates)) < len(covariates):
            raise ValueError(f"{list(covariates)} has a covariate twice -> name each once")
        return covariates

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks whose scores are covariates."""
        return tuple(name.removeprefix(SCORE_OF) for name in self.covariates if name.startswith(SCORE_OF))


class LogisticModel(TableModel):
    """One logistic regression on variables of the cohort table, fitted by Newton's method over the sites."""

    kind: Literal["logistic"]
    """Tells a logistic regression from the other kinds of model."""


ParameterGrid = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)], ...], Field(min_length=1, max_length=20)
]


class SvmModel(TableModel):
    """One support vector machine with Gaussian kernel: exact at one site, in random features over sites.

    Its risks are by Platt's scaling at one site, and by a ridge-penalised logistic regression over sites.
    """

    kind: Literal["svm"]
    """Tells a support vector machine from the other kinds of model."""
    c_grid: ParameterGrid = (0.1, 1.0, 10.0, 100.0)
    """Costs C from which cross-validation chooses; 1 / C is the ridge penalty over sites."""
    gamma_grid: ParameterGrid = (0.003, 0.01, 0.03, 0.1)
    """Widths gamma of the kernel exp(-gamma |x - y|^2) of z-scores, from which it chooses."""
    folds: int = Field(default=5, ge=2, le=20)
    """Most folds of the cross-validation within the training patients: as many of them as these carry."""
    fourier_features: int = Field(default=128, ge=2, le=512)
    """Number of random Fourier features; over sites at most half the patients of the smallest fold."""
    wide_gram_accepted: bool = False
    """Waives that limit over sites, after an external privacy review."""

    @field_validator("c_grid", "gamma_grid")
    @classmethod
    def _check_grid(cls, grid: tuple[float, ...]) -> tuple[float, ...]:
        if any(left >= right for left, right in itertools.pairwise(grid)):
            raise ValueError(f"{list(grid)} does not rise -> write each value once, the smallest first")
        return grid


class ScoresModel(NamedSection):
    """A score in the cohort table: a vendor's model, a clinical scale, a radiologist's estimate."""

    kind: Literal["scores"]
    """Tells a column of the table from the other kinds of model."""
    name: Name
    """Name as printed in tables."""
    column: str = Field(pattern=COLUMN_PATTERN)
    """The column's heading: a number of the paper's table or of the plan's own variables, or a column that
    the hospitals add for this score alone."""
    low: float = Field(default=0.0, allow_inf_nan=False)
    """Smallest possible value; a cell below it is a writing error. Of one of the plan's own variables by
    default its range's."""
    high: float = Field(default=1.0, allow_inf_nan=False)
    """Largest possible value; likewise."""
    step: float | None = Field(default=None, gt=0)
    """Distance of neighbouring values where the score has few, e.g. 1 for points; then ties are exact."""
    risk: Literal["rises", "falls"] = "rises"
    """Whether the risk rises or falls as the value grows."""
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """Operating point in the column's unit; by default the plan's, as a share of the range."""
    probability: bool = False
    """Whether the score is a predicted risk; only then are calibration and net benefit computed."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g} -> exchange them")
        if self.threshold is not None and not 0 < self.scale(self.threshold) <= 1:
            everybody = self.low if self.risk == "rises" else self.high
            raise ValueError(
                f"threshold = {self.threshold:g} lies outside {self.low:g} to {self.high:g}, or is "
                f"{everybody:g}, which calls everybody positive -> choose one within"
            )
        if self.step is not None and not _divides(self.step, self.high - self.low):
            raise ValueError(
                f"step = {self.step:g} does not lead from {self.low:g} to {self.high:g} -> correct one"
            )
        if self.probability and (self.low, self.high, self.risk) != (0.0, 1.0, "rises"):
            raise ValueError(
                f"a probability runs from 0 to 1 and rises with the risk, this one from {self.low:g} to "
                f"{self.high:g} and {self.risk} -> probability = false, or give the hospitals' column so"
            )
        known = find_readable(self.column)
        if known is not None and known.kind != "continuous":
            raise ValueError(f"column {self.column!r} is {known.kind}, no number -> name another column")
        return self

    @property
    def values(self) -> int | None:
        """Number of possible values; None where no step is declared."""
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def scale(self, value: float) -> float:
        """A value of the column as a score in [0, 1] that rises with the risk."""
        share = (value - self.low) / (self.high - self.low)
        return share if self.risk == "rises" else 1 - share

    def unscale(self, score: float) -> float:
        """The value of the column that a score in [0, 1] stands for."""
        share = score if self.risk == "rises" else 1 - score
        return self.low + share * (self.high - self.low)


class CardModel(NamedSection):
    """One model that exists already and is validated as it is: a file of an earlier study's models.

    `rhe-server plan card FILE` prints this section. What it says of the file, the file's own card proves.
    """

    kind: Literal["card"]
    """Tells a model of an earlier study from the other kinds of model."""
    name: Name
    """Name as printed in tables, e.g. "2D-ResNet-101"."""
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\.(safetensors|json)$")
    """Name of the file, which the coordinator has and sends to every hospital."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file: hospitals score with no other."""
    bytes: int = Field(ge=1, le=2**33)
    """Length of the file."""
    computes: Literal["cnn", "logistic", "svm"]
    """What is in it: a network, a logistic regression, or a support vector machine."""
    trained_by: tuple[Name, ...] = Field(min_length=1, max_length=1000)
    """Sites whose patients trained it, as its card names them, and as this plan names the same hospitals
    where it calls them otherwise. Their patients here may be the very ones who trained it: no fair test."""
    threshold: float = Field(gt=0, le=1)
    """Its operating point, frozen by the study that trained it; `evaluation.operating_point` chooses none."""
    covariates: tuple[str, ...] = Field(default=(), max_length=1000)
    """Of a model of the table: variables of the paper's Table 1 or of the plan's own, "brain_score", or
    radiomics features."""
    dimensions: Literal[2, 3] | None = None
    """Of a network: 2 or 3."""
    input_size: int | None = Field(default=None, ge=8)
    """Of a network: pixels along each axis."""

    @field_validator("covariates")
    @classmethod
    def _check_covariates(cls, covariates: tuple[str, ...]) -> tuple[str, ...]:
        check_covariates(tuple(name for name in covariates if name not in FEATURES))
        return covariates

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        is_network, has_grid = self.computes == "cnn", None not in {self.dimensions, self.input_size}
        if is_network != self.file.endswith(".safetensors"):
            raise ValueError(
                f"{self.file}: no file of a {self.computes} model -> copy what rhe-server plan card prints"
            )
        if is_network == bool(self.covariates) or is_network != has_grid:
            raise ValueError(
                "a network has dimensions and input_size, any other model covariates -> copy what "
                "rhe-server plan card FILE prints"
            )
        return self

    @property
    def shape(self) -> InputShape | None:
        """The input grid of a network; None of a model of the table."""
        if self.dimensions is None or self.input_size is None:
            return None
        return InputShape(self.dimensions, self.input_size)

    @property
    def takes_features(self) -> bool:
        """Whether a covariate is a radiomics feature that is extracted from CT and mask."""
        return not set(self.covariates).isdisjoint(FEATURES)


def _divides(step: float, distance: float) -> bool:
    """Whether the distance is a whole number of steps, up to rounding."""
    steps = distance / step
    return round(steps) > 0 and abs(steps - round(steps)) < _ROUNDING


_ROUNDING = 1e-6
"""Share of a step that rounding may add or remove."""


AnyTableModel: TypeAlias = LogisticModel | SvmModel
"""Every kind of model that is fitted to the cohort table."""
AnyTrainedModel: TypeAlias = CnnModel | AnyTableModel
"""Every kind of model that a study trains."""


def kind_of(model: Any) -> str:
    """The tag by which pydantic distinguishes the kinds of model; a network where the plan names no kind."""
    kind = model.get("kind", "cnn") if isinstance(model, dict) else getattr(model, "kind", "")
    return f"{TAG}{kind}"


AnyModel: TypeAlias = Annotated[
    Annotated[CnnModel, Tag(f"{TAG}cnn")]
    | Annotated[LogisticModel, Tag(f"{TAG}logistic")]
    | Annotated[SvmModel, Tag(f"{TAG}svm")]
    | Annotated[ScoresModel, Tag(f"{TAG}scores")]
    | Annotated[CardModel, Tag(f"{TAG}card")],
    Discriminator(
        kind_of,
        custom_error_type=TAG_ERROR,
        custom_error_message='kind must be "cnn", "logistic", "svm", "scores" or "card"',
    ),
]


def _stands_for_others(name: str) -> bool:
    return name in {INDEPENDENT, RADIOMICS} or name.startswith(SCORE_OF)


def check_covariates(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse names that no regression may use or that occur twice; otherwise return them.

    Raises
    ------
    ValueError
        With the names that are unknown, or all names if one occurs twice.
    """
    known = (*COVARIATES, *(variable.name for variable in list_declared()))
    if unknown := find_unknown(names, known):
        raise ValueError(f"{', '.join(unknown)}: no such covariate -> choose among {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{list(names)} has a covariate twice -> name each once")
    return names
