"""The JSON part of every message: what is asked, and how it went. The arrays travel beside it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from common.messages.catalogue import Operation
from common.messages.endorsement import Endorsement
from common.runtime.settings_file import NAME_PATTERN, Section
from common.stats.contract import SummaryLayout
from common.stats.estimate import OK, Status, StatusKind

CODE_OK = "OK"
"""Code of a reply without an error."""


class RequestHeader(Section):
    """A question, and the plan under which it is asked."""

    operation: Operation
    """The question."""
    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the plan that the site approved."""
    site: str
    """The site that is asked, so that its request cannot be replayed to another; empty where all sites of a
    hidden sum are asked the same."""
    model: str = ""
    """Name of the plan's model, where the question concerns one."""
    arm: str = ""
    """Name of the arm, where the question concerns one."""
    round: int = Field(default=0, ge=0)
    """Training round, from 1; 0 outside training."""
    stage: str = Field(default="", max_length=40)
    """The statistic that a guard round precedes; "untrained" where a model that does not exist has to score:
    it scores nobody; "operating point" where an evaluation chooses thresholds; "end" where nothing more is
    asked. Empty for other questions."""
    regressions: tuple[tuple[str, ...], ...] = ()
    """Covariates of each logistic model, in its guard round or setup."""
    procedure: str = ""
    """Name of the procedure of the study's program to which the question belongs; empty if it is of none."""
    step: int = Field(default=0, ge=0)
    """Number of the step in its procedure, from 1; 0 where the question is of no procedure."""
    endorsements: tuple[Endorsement, ...] = ()
    """With a model to score or explain with: what the sites that know it say of it."""
    has_weights: bool = False
    """Whether the message carries the global model's weights."""
    parameters: tuple[str, ...] = ()
    """Names of the public parameters that the message carries."""


LinkUsers: TypeAlias = Literal["one user", "two users"]
"""Whether a site's engine and its link, which has the network, run as one user of the computer or as two."""


class StatedPolicy(Section):
    """What a site demands of any plan, for the coordinator and the report; the site itself enforces it."""

    min_patients: int
    """Fewest patients with which the site takes part."""
    min_per_class: int
    """Fewest patients with and without expansion."""
    min_sites: int
    """Fewest sites in a sum that may be opened."""
    answers_per_day: int
    """Largest number of answers with numbers in one day."""
    phases: tuple[str, ...] | None = None
    """Phases in which it takes part; None: any phase of an approved plan."""


class SiteFacts(Section):
    """What a site reports about itself: software, hardware and policy, nothing of patients."""

    synthetic: bool
    """Whether site.toml and the folder declare the data simulated."""
    device: str
    """The device that torch uses, with the hardware's name."""
    versions: dict[str, str]
    """Versions of Python and of the packages that decide the bits."""
    policy: StatedPolicy | None = None
    """What the site demands of any plan; None where it does not state it."""
    users: LinkUsers | None = None
    """As how many users engine and link run; None where there is no link: a simulation in one process."""


class Epoch(Section):
    """One line of a learning curve at one site."""

    number: int
    """Epoch or round, from 1."""
    loss: float
    """Mean training loss."""
    validation_auc: float | None = None
    """AUC on the site's validation split; None where that lacks a class."""


class Caption(Section):
    """The caption of an attention map; nothing in it names a patient."""

    outcome: bool
    """Whether the hematoma expanded."""
    score: float
    """The model's probability of expansion."""
    positive: bool | None = None
    """Whether the model called the patient positive, which the map explains; None: it explains expansion."""


class Effect(Section):
    """One column of a fitted logistic model."""

    variable: str
    """The covariate."""
    level: str = ""
    """Level of a factor, compared with its first level; empty for a number or a binary covariate."""
    log_odds: float
    """Estimated coefficient: log odds ratio, per unit or against the reference level."""
    standard_error: float
    """Standard error of the log odds ratio."""
    p: float
    """p-value of Wald's test; of the penalised likelihood ratio test under Firth's method."""
    p_likelihood_ratio: float
    """p-value of the likelihood ratio test against the model without the covariate."""
    inflation: float | None = None
    """Variance inflation factor; for a factor, scaled to one degree of freedom."""
    interval: str = "Wald"
    """How the 95 % confidence interval is found: Wald's follows from the standard error."""
    low: float | None = None
    """Lower limit of the log odds ratio; None of Wald's interval, and where no limit was found."""
    high: float | None = None
    """Upper limit of the log odds ratio; None of Wald's interval, and where no limit was found."""
    largest_share: float | None = None
    """Of the covariate's variance, the share that one patient makes up at least, to two decimals; None if it
    was not asked."""


class Fitted(Section):
    """A fitted logistic model, as a site stores or releases one that was trained on its patients alone."""

    effects: tuple[Effect, ...] = ()
    """In the order of the design; empty unless the status is ok."""
    intercept: float | None = None
    """The intercept; None unless the status is ok."""
    log_likelihood: float | None = None
    """The log-likelihood at the estimate; None unless the status is ok."""
    used: int | None = None
    """Number of patients in the fit; None where it may not be shown."""
    missing: int | None = None
    """Number of patients without a value of a covariate; None where it may not be shown."""
    method: str = ""
    """"maximum likelihood", or "Firth" where the outcome is separated."""
    status: StatusKind = "ok"
    """Whether there is a model."""
    reason: str = ""
    """Why there is none; empty if there is one."""

    @property
    def standing(self) -> Status:
        """Whether there is a model, and if not, why."""
        return Status(self.status, self.reason)

    @property
    def size(self) -> int:
        """Number of its coefficients, for the ledger."""
        return len(self.effects)


class Standardised(Section):
    """One column of a model of z-scores."""

    variable: str
    """The covariate."""
    level: str = ""
    """Level of a factor, compared with its first level; empty for a number or a binary covariate."""
    mean: float
    """Mean in the training patients."""
    sd: float = Field(gt=0)
    """Standard deviation in the training patients."""


class FittedSvm(Section):
    """A support vector machine in its linear form in random Fourier features, without any patient's row.

    The features derive from the plan's seed; risk = expit(slope (intercept + weights . features) + offset).
    """

    covariates: tuple[str, ...] = ()
    """All covariates, including those that turned out constant; empty unless the status is ok."""
    columns: tuple[Standardised, ...] = ()
    """Columns in the order of the design, without constant ones; empty unless the status is ok."""
    c: float | None = None
    """The chosen cost C; None unless the status is ok."""
    gamma: float | None = None
    """The chosen width of the kernel; None unless the status is ok."""
    weights: tuple[float, ...] = ()
    """One weight for each random feature."""
    intercept: float = 0.0
    """Intercept of the linear form, before Platt's scaling."""
    slope: float = 1.0
    """Slope of Platt's scaling."""
    offset: float = 0.0
    """Offset of Platt's scaling."""
    criterion: float | None = None
    """Cross-validated value of the chosen C and gamma: AUC at a site, mean log-likelihood over sites."""
    folds: int | None = None
    """Folds of that cross-validation; None where it did not come to one."""
    fold_reason: str = ""
    """Why there are fewer folds than planned; empty if there are as many."""
    deviation: float | None = None
    """Root mean square difference of its risks from the exact machine's, over a site's training patients."""
    used: int | None = None
    """Number of patients in the fit; None where it may not be shown."""
    missing: int | None = None
    """Number of patients without a value of a covariate; None where it may not be shown."""
    method: str = ""
    """How it was fitted."""
    status: StatusKind = "ok"
    """Whether there is a model."""
    reason: str = ""
    """Why there is none; empty if there is one."""

    @property
    def standing(self) -> Status:
        """Whether there is a model, and if not, why."""
        return Status(self.status, self.reason)

    @property
    def size(self) -> int:
        """Number of its weights, for the ledger."""
        return len(self.weights)


class SelectedFeature(Section, allow_inf_nan=False):
    """One radiomics feature that a LASSO selected."""

    name: str
    """Its name in PyRadiomics."""
    coefficient: float
    """The LASSO's coefficient, per standard deviation of the feature."""
    mean: float
    """Mean in the training patients."""
    sd: float = Field(gt=0)
    """Standard deviation in the training patients."""
    profile: tuple[float, ...]
    """The coefficient at each penalty of the path."""


class PathPoint(Section, allow_inf_nan=False):
    """One penalty of a LASSO's path."""

    penalty: float
    """Lambda of (1 / 2n) RSS + lambda |beta|; binomial, of -(1 / n) log-likelihood + lambda |beta|."""
    loss: float
    """Validation error, averaged over folds: squared error, or binomial deviance."""
    standard_error: float
    """Standard error of that mean."""
    active: int = Field(ge=0)
    """Number of coefficients other than 0 in the fit to all training patients."""


class LassoSelection(Section):
    """The features that a LASSO selected, and how; without the cross-products that it used."""

    candidates: int
    """Number of features at the start."""
    prescreened: int
    """Number of features that entered the LASSO."""
    reproducible: int | None = None
    """Number of candidates on which repeated readings agree; None where the plan does not ask."""
    features: tuple[SelectedFeature, ...] = ()
    """The selected features, in the order of the candidates."""
    penalty: float | None = None
    """The chosen penalty; None where the plan uses no LASSO."""
    path: tuple[PathPoint, ...] = ()
    """The path from the largest penalty to the smallest."""
    used: int | None = None
    """Number of patients with all features; None where it may not be shown."""
    method: str = ""
    """How the penalty was chosen."""
    family: Literal["gaussian", "binomial"] = "gaussian"
    """What the LASSO fitted: the outcome as 0 or 1, or its log odds."""
    rounds: int | None = None
    """Rounds of messages that it took, the guard round included; None at a site alone."""
    folds: int | None = None
    """Folds of the cross-validation; None where it did not come to one."""
    planned_folds: int | None = None
    """Folds of the plan."""
    fold_reason: str = ""
    """Why there are fewer folds than planned; empty if there are as many."""
    status: StatusKind = "ok"
    """Whether there is a selection."""
    reason: str = ""
    """Why there is none; empty if there is one."""

    @property
    def standing(self) -> Status:
        """Whether there is a selection, and if not, why."""
        return Status(self.status, self.reason)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the selected features."""
        return tuple(feature.name for feature in self.features)

    @property
    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and SD of each selected feature."""
        return {feature.name: (feature.mean, feature.sd) for feature in self.features}

    @property
    def means(self) -> dict[str, float]:
        """Mean of each selected feature: the public centre of sums about it."""
        return {feature.name: feature.mean for feature in self.features}


class ReplyHeader(Section):
    """How a question went, and every part of the answer that is not an array."""

    site: str = Field(pattern=NAME_PATTERN)
    """The site that answers."""
    code: str = Field(default=CODE_OK, pattern=r"^[A-Z][A-Z0-9_]{0,40}$")
    """"OK", or the code of the error whose text stays at the site."""
    request: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the request that it answers; empty in messages that only the hiding protocol reads."""
    endorsement: Endorsement | None = None
    """With an answer to SCORE or EXPLAIN: what the site says of the model that came."""
    layout: SummaryLayout = ()
    """Layout of a hidden summary: names and shapes, no numbers."""
    facts: SiteFacts | None = None
    """Answer to DESCRIBE."""
    curve: tuple[Epoch, ...] = ()
    """Answer to TRAIN_LOCAL."""
    chosen: int = 0
    """Epoch whose weights were kept; answer to TRAIN_LOCAL."""
    standing: Status = OK
    """Whether a model of the table could be fitted, and if not, why; answer to TRAIN_LOCAL."""
    captions: tuple[Caption, ...] = ()
    """Answer to EXPLAIN, in the order of the pictures."""
    fitted: Fitted | None = None
    """Answer to RELEASE of a logistic model."""
    svm: FittedSvm | None = None
    """Answer to RELEASE of a support vector machine."""
    selection: LassoSelection | None = None
    """With a released model on radiomics: how its features were selected at the site."""

    @property
    def released(self) -> Fitted | FittedSvm | None:
        """The released model of the table; None where none was released."""
        return self.fitted or self.svm
