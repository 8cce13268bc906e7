"""What is asked and how it went, without the arrays: the JSON part of every message."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from common.settings import Section
from common.stats.contract import Layout

OK = "OK"


class Operation(StrEnum):
    """Everything that a coordinator can ask of a site; an engine refuses whatever is not listed."""

    DESCRIBE = "describe"
    PREPARE = "prepare"
    GUARD = "guard"
    AGREEMENT = "agreement"
    READING_MEANS = "reading-means"
    READING_SUMS = "reading-sums"
    COHORT = "cohort"
    SETUP = "setup"
    NEWTON = "newton"
    SCALING = "scaling"
    PRESCREEN = "prescreen"
    GRAM = "gram"
    RIDGE = "ridge"
    HELD_OUT = "held-out"
    TRAIN = "train"
    VALIDATE = "validate"
    TRAIN_LOCAL = "train-local"
    RELEASE = "release"
    SCORE = "score"
    EVALUATE = "evaluate"
    CALIBRATE = "calibrate"
    COMPARE = "compare"
    WEIGHT = "weight"
    EXPLAIN = "explain"


class RequestHeader(Section):
    """What is asked, under which plan."""

    operation: Operation
    """The phase's question."""
    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the plan that the site approved."""
    site: str
    """Whom it is for, so that a request to one site cannot be replayed to another; empty where all that
    take part in a hidden sum are asked the same."""
    model: str = ""
    """Name of the plan's model, where one is concerned."""
    arm: str = ""
    """Name of the arm, where one is concerned."""
    round: int = Field(default=0, ge=0)
    """Training round, from 1; 0 outside training."""
    stage: Literal[
        "", "agreement", "cohort", "regression", "reproducibility", "selection", "svm", "evaluation"
    ] = ""
    """Whose payload a guard round comes before."""
    regressions: tuple[tuple[str, ...], ...] = ()
    """Covariates of each logistic model, where its guard round or setup is asked."""
    has_weights: bool = False
    """Whether the global model's weights travel with it."""
    parameters: tuple[str, ...] = ()
    """Names of the public parameters that travel with it."""


class StatedPolicy(Section):
    """What a site asks of any plan, for the coordinator and the report to read; it refuses by itself."""

    min_patients: int
    """Fewest patients with which it takes part."""
    min_per_class: int
    """Fewest with and without expansion."""
    min_sites: int
    """Fewest sites in a sum that is opened."""
    answers_per_day: int
    """Answers with numbers on one day."""
    phases: tuple[str, ...] | None = None
    """In which it takes part; None is any that it approves."""


class SiteFacts(Section):
    """What a site tells about itself: software and hardware, no patient."""

    synthetic: bool
    """Whether site.toml and the folder declare the data simulated."""
    device: str
    """What torch computes on, with the hardware's name."""
    versions: dict[str, str]
    """Of python and the packages that decide the bits."""
    policy: StatedPolicy | None = None


class Epoch(Section):
    """One line of a learning curve at one site."""

    number: int
    """Epoch or round, from 1."""
    loss: float
    """Mean training loss."""
    validation_auc: float | None = None
    """On the site's validation split, where it has both classes."""


class Caption(Section):
    """What is written under an attention map: nothing that names a patient."""

    outcome: bool
    """Whether the hematoma expanded."""
    score: float
    """The model's probability."""


class Effect(Section):
    """One column of a fitted logistic model."""

    variable: str
    """The covariate."""
    level: str = ""
    """Of a factor, against its first level."""
    log_odds: float
    standard_error: float
    p: float
    """Wald's; of the penalised likelihood ratio if Firth's."""
    p_likelihood_ratio: float
    """Of leaving the whole covariate out."""
    inflation: float | None = None
    """Of its variance by the other covariates; for a factor brought to one degree of freedom."""


class Fitted(Section):
    """A fitted logistic model: what a site keeps, or releases, of one trained on its patients alone."""

    effects: tuple[Effect, ...] = ()
    """In the order of the design; empty unless the status is ok."""
    intercept: float | None = None
    log_likelihood: float | None = None
    used: int | None = None
    """Patients; None where the number may not be shown."""
    missing: int | None = None
    """Patients without a value of a covariate."""
    method: str = ""
    """"maximum likelihood", or "Firth" where it is separated."""
    status: Literal["ok", "suppressed", "undefined"] = "ok"
    """Whether there is a model."""
    reason: str = ""
    """Why there is none."""


class Standardised(Section):
    """One column of a model of z-scores."""

    variable: str
    """The covariate."""
    level: str = ""
    """Of a factor, against its first level."""
    mean: float
    """Of the training patients."""
    sd: float = Field(gt=0)
    """Of the training patients."""


class FittedSvm(Section):
    """A support vector machine as its linear form in random Fourier features: no patient's row is in it.

    The features derive from the plan's seed; risk = expit(slope (intercept + weights . features) + offset).
    """

    covariates: tuple[str, ...] = ()
    """All of them, those that turned out constant included; empty unless the status is ok."""
    columns: tuple[Standardised, ...] = ()
    """In the order of the design, constant ones left out; empty unless the status is ok."""
    c: float | None = None
    """The chosen cost."""
    gamma: float | None = None
    """The chosen width of the kernel."""
    weights: tuple[float, ...] = ()
    """One a feature."""
    intercept: float = 0.0
    slope: float = 1.0
    """Of Platt's scaling."""
    offset: float = 0.0
    """Of Platt's scaling."""
    criterion: float | None = None
    """Of the chosen C and gamma in cross-validation: AUC at a site, mean log-likelihood over sites."""
    deviation: float | None = None
    """Root mean square difference of its risks and the exact machine's, over a site's training patients."""
    used: int | None = None
    """Patients; None where the number may not be shown."""
    missing: int | None = None
    """Patients without a value of a covariate."""
    method: str = ""
    """How it was fitted."""
    status: Literal["ok", "suppressed", "undefined"] = "ok"
    """Whether there is a model."""
    reason: str = ""
    """Why there is none."""


class SelectedFeature(Section):
    """One radiomics feature that a LASSO selected."""

    name: str
    """As PyRadiomics calls it."""
    coefficient: float
    """The LASSO's, per standard deviation."""
    mean: float
    """Of the training patients."""
    sd: float = Field(gt=0)
    """Of the training patients."""
    profile: tuple[float, ...]
    """The coefficient at each penalty of the path."""


class PathPoint(Section):
    """One penalty of a LASSO's path."""

    penalty: float
    """Lambda of (1 / 2n) RSS + lambda |beta|."""
    loss: float
    """Mean over folds of the validation error."""
    standard_error: float
    """Of that mean."""
    active: int = Field(ge=0)
    """Coefficients that are not 0 on all training patients."""


class LassoSelection(Section):
    """Which features a LASSO selected, and how; the cross-products that it worked on are not in it."""

    candidates: int
    """Features to begin with."""
    prescreened: int
    """Features that went into the LASSO."""
    reproducible: int | None = None
    """Candidates on which repeated readings agree; None where the plan does not ask."""
    features: tuple[SelectedFeature, ...] = ()
    """In the order of the candidates."""
    penalty: float | None = None
    """The chosen one; None where the LASSO was not asked for."""
    path: tuple[PathPoint, ...] = ()
    """From the largest penalty to the smallest."""
    used: int | None = None
    """Patients with all features; None where the number may not be shown."""
    method: str = ""
    """How the penalty was chosen."""
    status: Literal["ok", "suppressed", "undefined"] = "ok"
    """Whether there is a selection."""
    reason: str = ""
    """Why there is none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the selected features."""
        return tuple(feature.name for feature in self.features)

    @property
    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and SD of each selected feature."""
        return {feature.name: (feature.mean, feature.sd) for feature in self.features}


class ReplyHeader(Section):
    """How it went, and whatever is not an array."""

    site: str
    """Who answers."""
    code: str = OK
    """"OK", or the code of the error whose text stays at the site."""
    layout: Layout = ()
    """Of a hidden summary: names and shapes, no numbers."""
    facts: SiteFacts | None = None
    """Answer to DESCRIBE."""
    curve: tuple[Epoch, ...] = ()
    """Answer to TRAIN_LOCAL."""
    chosen: int = 0
    """Epoch whose weights were kept, answer to TRAIN_LOCAL."""
    captions: tuple[Caption, ...] = ()
    """Answer to EXPLAIN, in the order of the pictures."""
    fitted: Fitted | None = None
    """Answer to RELEASE of a logistic model."""
    svm: FittedSvm | None = None
    """Answer to RELEASE of a support vector machine."""
    selection: LassoSelection | None = None
    """Beside a released model on radiomics: how its features were selected at the site."""
