"""The sections of a study plan, each with the paper's settings as defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from common.cohort.outcome import OutcomeDefinition
from common.cohort.readings import Reading
from common.cohort.schema import BY_NAME, TABLE_ONE
from common.settings import Section
from common.study_models import Name, known_covariates

Profile = Literal["standard", "replication", "simulation"]
"""standard: the specification's defaults and minima; replication: the paper's choices, minima of 1;
simulation: minima of 1, accepted only by sites that declare themselves and their data synthetic."""


Phase = Literal["agreement", "cohort", "regression", "training", "evaluation", "explanation"]
"""agreement: how far readers agree with themselves, with each other and with computed suggestions (Fig. 3);
cohort: who the patients are (Table 1); regression: what predicts expansion (Table 2); training;
evaluation: every model on every cohort, and models compared (Table 3); explanation: attention maps.
Preparation with its flow chart comes before all of them and is always done."""


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
    tests: dict[str, Literal["student", "welch", "mann-whitney", "auto"]] = Field(default_factory=dict)
    """Test of a continuous variable of Table 1 by its name; by default normality decides ("auto")."""
    maximum_releases: int = Field(default=200, ge=1)
    """How many cohorts, over all runs, a site lets statistics be released of: differences of many tell."""

    @field_validator("tests")
    @classmethod
    def _continuous(cls, tests: dict[str, str]) -> dict[str, str]:
        known = [variable.name for variable in TABLE_ONE if variable.kind == "continuous"]
        unknown = [name for name in tests if name not in known]
        if unknown:
            raise ValueError(f"no tests of {', '.join(unknown)} -> choose among {', '.join(known)}")
        return tests


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


class Regression(Section):
    """What is screened as a predictor of expansion, and what enters the multivariable model (Table 2)."""

    candidates: tuple[str, ...] = tuple(variable.name for variable in TABLE_ONE)
    """Variables of Table 1 or "brain_score", each with a univariate model; the paper's are all of Table 1."""
    entry_p: float = Field(default=0.05, gt=0, le=1)
    """A variable enters the multivariable model if any of its levels has a p below this."""
    missing: Literal["complete-case", "level"] = "complete-case"
    """"level": a missing binary or categorical value is a level of its own, its patients stay."""

    @field_validator("candidates")
    @classmethod
    def _known(cls, candidates: tuple[str, ...]) -> tuple[str, ...]:
        return known_covariates(candidates)


class Agreement(Section):
    """Repeated readings of the same CT."""

    same_readers: bool = False
    """Whether the same persons read at all sites; if not, two-way intraclass correlations are not pooled."""


class Radiomics(Section):
    """Handcrafted features of the lesion and how the LASSO selects among them."""

    voi: Literal["ICH", "ICH+IVH"] = "ICH"
    """Which labels of the mask form the volume of interest."""
    readings: tuple[Reading, ...] = ()
    """Repeated readings in which a feature must be reproducible before the LASSO sees it: "intra" (a second
    session of the first reader), "inter" (a second reader); the paper's are both. None: no feature must."""
    icc_form: Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)"] = "ICC(2,1)"
    """Intraclass correlation of single readings; see `common.radiomics.reproducibility.Criterion`."""
    icc_threshold: float = Field(default=0.80, ge=0, lt=1)
    """What it must exceed in each of these readings (the paper: 0.80)."""
    icc_judged: Literal["value", "low"] = "value"
    """Its estimate (the paper's), or the lower end of its 95 % confidence interval."""
    folds: int = Field(default=10, ge=3, le=20)
    """Of the cross-validation that chooses the penalty."""
    rule: Literal["lambda_min", "1se"] = "lambda_min"
    """The penalty of least validation error, or the largest within one standard error of it."""
    wide_gram_accepted: bool = False
    """Waives the rule that a fold needs two patients a feature, after a privacy review from outside;
    otherwise features are prescreened by their correlation with the outcome, to as many as it allows."""

    @field_validator("readings")
    @classmethod
    def _once(cls, readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
        if len(set(readings)) < len(readings):
            raise ValueError(f"readings has one twice: {list(readings)} -> name each once")
        return readings


class Evaluation(Section):
    """How models are judged and compared."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Operating point (the paper: 0.5)."""
    operating_point: Literal["fixed", "youden"] = "fixed"
    """"youden": each model's threshold is chosen on its training patients, before any test."""
    bins: int = Field(default=1000, ge=10, le=100_000)
    """Bins of the score histogram on [0, 1]."""
    interval: Literal["logit-delong", "delong", "mc_binomial"] | None = None
    """Of the AUC; by default logit-DeLong, in the replication profile the paper's mc_binomial."""
    proportions: Literal["wilson", "clopper-pearson"] = "wilson"
    """Interval of accuracy, sensitivity, specificity and predictive values."""
    reference_model: Name | None = None
    """The model that others are compared with; by default chosen by validation AUC, never by a test."""
    mcnemar: Literal["exact", "chi-squared", "corrected"] = "exact"
    """Test of sensitivities and specificities; the paper's p-values are those of the exact one."""
    adjustment: Literal["none", "holm"] = "none"
    """Whether p-values of a cohort's comparisons are adjusted for their number (the paper: not)."""
    decision_thresholds: tuple[float, ...] = tuple(step / 20 for step in range(1, 20))
    """Threshold probabilities of the decision curve."""
    subgroups: tuple[str, ...] = ()
    """Binary or categorical variables within whose levels discrimination is reported, too."""

    @field_validator("decision_thresholds")
    @classmethod
    def _few(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        from common.stats.decision import check_thresholds

        check_thresholds(thresholds)
        return thresholds

    @field_validator("subgroups")
    @classmethod
    def _levelled(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        levelled = [v.name for v in TABLE_ONE if v.kind in {"binary", "categorical"}]
        unknown = [name for name in names if name not in levelled]
        if unknown:
            kinds = {name: BY_NAME[name].kind for name in unknown if name in BY_NAME}
            raise ValueError(f"no subgroups by {unknown} {kinds or ''} -> choose among {', '.join(levelled)}")
        if len(set(names)) < len(names):
            raise ValueError(f"subgroups has one twice: {list(names)} -> name each once")
        return names


class Noise(Section):
    """Noise on the federated trainings, so that a model tells little of whether a site took part.

    Beyond the paper. Tables, validation and evaluation stay exact sums.
    """

    multiplier: float = Field(gt=0, le=1e6)
    """Standard deviation, in norms, of the noise of all sites together that do not collude."""
    norm: float = Field(default=1.0, gt=0, le=2.0**20)
    """Bound of the Euclidean norm of a site's change in a round; a longer one is shortened to it.
    Noise is sized for a site of `largest_site` patients: set that no higher than needed."""
    norm_buffers: float = Field(default=1.0, gt=0, le=2.0**20)
    """The same of BatchNorm's running means and variances."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """Probability with which epsilon need not hold."""


class Privacy(Section):
    """How what several sites add up to is hidden from everybody but for the sum (protocol SA1)."""

    secure: bool = True
    """Whether sums are masked; false shows every site's own numbers to the coordinator."""
    colluders: int = Field(default=0, ge=0)
    """How many sites may collude with the coordinator without learning another's numbers."""
    weights: Literal["frozen", "per-round", "equal"] = "frozen"
    """How sites weigh in a federated training. "frozen": by patients, whose total is released once;
    "per-round": with their total in each round, whose change would tell a site's; "equal": each alike."""
    largest_site: int = Field(default=1000, ge=1, le=2**31)
    """Training patients above which a site is refused: weights are shares of it."""
    clip: float = Field(default=4.0, gt=0, le=2.0**20)
    """Bound of a weight's change in one round; a larger one is clipped."""
    clip_buffers: float = Field(default=256.0, gt=0, le=2.0**20)
    """The same of BatchNorm's running means and variances."""
    clip_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of a site's changes that may be clipped; more is an error."""
    norm_bound: float | None = Field(default=None, gt=0)
    """Euclidean norm of a site's change of weights in a round above which it refuses; by default none."""
    noise: Noise | None = None
    """Noise on the federated trainings; by default none."""


class Explanation(Section):
    """Which attention maps are drawn (Grad-CAM, the paper's Fig. 5)."""

    per_site: int = Field(default=4, ge=0, le=50)
    """Patients a site draws, half of them with expansion; they stay at the site unless it is synthetic."""
