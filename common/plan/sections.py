"""The sections of a study plan; their defaults are the paper's settings."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeAlias

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from common.cohort.outcome import OutcomeDefinition
from common.cohort.repeated_readings import FIRST, MOST, Reader, list_readings, name_reading
from common.cohort.schema import TABLE_ONE
from common.imaging.options import MissingSlices
from common.models.brain_score import BrainA
from common.plan.early_stopping import EarlyStopping
from common.plan.models import check_covariates
from common.plan.named_section import Name, NamedSection
from common.plan.own_variables import ColumnName, find_readable, find_unknown, list_declared
from common.runtime.settings_file import Section

Phase = Literal["agreement", "cohort", "regression", "training", "evaluation", "explanation"]
"""agreement: how far readers agree with themselves, with each other and with computed suggestions (Fig. 3);
cohort: the patients' features (Table 1); regression: predictors of expansion (Table 2); training: of models;
evaluation: every model on every cohort, and comparisons of models (Table 3); explanation: attention maps.
Preparation with its flow chart always comes first."""


_WIDEST = 2.0**53
"""What a running statistic may change by in a round: 512 sites' still add up below 2^63."""

MOST_NOISE = 1e6
"""Largest multiplier of noise."""

ALL_READERS, ALL_SESSIONS = "all-readers", "all-sessions"
"""Three or more readings at once: the first sessions of all readers, the sessions of the first reader."""

ReadingCriterion: TypeAlias = str
"""One `Reading`, which is compared with the first, or one of `ALL_READERS` and `ALL_SESSIONS`."""


class PlannedSite(NamedSection):
    """One hospital and its role in the study."""

    name: Name
    """The name in the hospital's own site.toml, e.g. "Klinikum Köln"; files and messages carry
    "Klinikum-Koeln", which is derived from it."""
    role: Literal["train", "external"]
    """"train": its training split trains models; "external": it only evaluates."""
    model_release: bool = False
    """Whether the model trained on this site's patients alone may leave the site for evaluation elsewhere."""


class CohortSettings(Section):
    """The outcome, and how a training site's patients are divided."""

    outcome: OutcomeDefinition = OutcomeDefinition()
    """What is predicted: the paper's rHE by default, cHE, or a 0/1 column of the tables with its meaning."""
    described: tuple[ColumnName, ...] | None = Field(default=None, min_length=1)
    """Variables of Table 1, in its order: of the paper's and of the plan's own. By default all of the
    paper's, then the plan's own with the role "baseline". Where it is given, hospitals' tables need no other
    columns of the paper's than those that the plan names."""
    brain_a: BrainA = "warfarin"
    """A of the BRAIN score at all sites: "warfarin" at onset (Wang 2015), or any "anticoagulation" (as the
    paper words it)."""
    training_fraction: float = Field(default=0.7, gt=0, lt=1)
    """Share of a training site's patients that trains (the paper's 7:3, stratified by outcome)."""
    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    """Share of the training patients held out at each site to choose the round; 0 takes the last round."""
    tests: dict[str, Literal["student", "welch", "mann-whitney", "auto"]] = Field(default_factory=dict)
    """Test of each continuous variable of Table 1, by its name; "auto", the default: normality decides."""
    maximum_releases: int = Field(default=200, ge=1)
    """Cohorts of which a site releases statistics, over all runs: differences of many reveal patients."""

    @field_validator("tests")
    @classmethod
    def _check_tests(cls, tests: dict[str, str]) -> dict[str, str]:
        known = [one.name for one in (*TABLE_ONE, *list_declared()) if one.kind == "continuous"]
        unknown = find_unknown(tests, known)
        if unknown:
            raise ValueError(f"no tests of {', '.join(unknown)} -> choose among {', '.join(known)}")
        return tests

    @field_validator("described")
    @classmethod
    def _check_described(cls, names: tuple[str, ...] | None, given: ValidationInfo) -> tuple[str, ...] | None:
        known = [one.name for one in (*TABLE_ONE, *list_declared())]
        outcome = getattr(given.data.get("outcome"), "column", "")
        if outcome and outcome in (names or ()) and outcome not in known:
            raise ValueError(f"{outcome!r} is the outcome, which Table 1 divides by -> remove it here")
        if unknown := find_unknown(names or (), known):
            raise ValueError(
                f"{', '.join(unknown)}: no variable of Table 1 -> choose among {', '.join(known)}, or "
                "declare it under [[variables]]"
            )
        if names is not None and len(set(names)) < len(names):
            raise ValueError(f"described lists a variable twice: {list(names)} -> name each once")
        return names

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without a list that was not given: plans without it keep their hash."""
        return {key: value for key, value in write(self).items() if value is not None or key != "described"}


class ScanSettings(Section):
    """Which CTs the study takes."""

    missing_slices: MissingSlices = "refuse"
    """"far-from-lesion": a CT that lacks slices is used, from its true positions, where none is missing
    within 10 mm or one slice of the lesion; the patient is listed to be looked at. "refuse": never."""


class Federation(Section):
    """How the sites train together."""

    rounds: int = Field(default=100, ge=1)
    """Number of aggregations; rounds x local_epochs are the paper's 100 epochs by default."""
    local_epochs: int = Field(default=1, ge=1)
    """Passes over a site's training patients in each round."""
    local_steps: int | None = Field(default=None, ge=1, exclude_if=lambda given: given is None)
    """How many steps a local epoch has, the same at every site: through its patients again, or some of them.
    By default an epoch is one pass over them (the paper's). Unset, it is in no hash."""
    control_variates: bool = Field(default=False, exclude_if=lambda given: not given)
    """SCAFFOLD (Karimireddy et al. 2020, Algorithm 1, option II): each step is corrected by how the site's
    mean gradient differs from all sites', who must be in every round. A mean over sites has the weights of
    their updates; as published with `privacy.weights` "equal". Needs local_steps, and optimiser "sgd" of
    each network. Unset, it is in no hash."""
    early_stopping: EarlyStopping | None = Field(default=None, exclude_if=lambda given: given is None)
    """Ends a training early; by default every round is trained (the paper's). Unset, it is in no hash."""
    proximal_mu: float = Field(default=0.0, ge=0)
    """FedProx' penalty (Li et al. 2020); 0 is FedAvg (McMahan et al. 2017)."""
    server_optimiser: Literal["none", "sgd", "adam", "adagrad"] = "none"
    """"none": the weighted mean; else torch's formulas on the pseudo-gradient (Reddi et al. 2021)."""
    server_learning_rate: float = Field(default=1.0, gt=0)
    """Step size of the server's optimiser."""
    batch_norm: Literal["averaged", "local"] = "averaged"
    """"local": a training site keeps its own BatchNorm (Li et al. 2021); other sites use the average."""
    timeout_s: float = Field(default=3600.0, gt=0)
    """How long a site's engine may show no progress, in seconds; `rhe-server run --stall` overrules it."""


class Arms(Section):
    """Which models are trained on whose patients, to answer how well a model generalises."""

    design: Literal["together", "leave-one-centre-out"] = "together"
    """"together": one federation of all training sites; "leave-one-centre-out": one without each site."""
    local_models: bool = True
    """Whether each training site also trains a model alone."""
    pooled_model: bool = False
    """Whether a model is also trained on all patients in one place (simulation only, for comparison)."""
    subtraction_ack: bool = False
    """Must be true for "leave-one-centre-out" over hidden sums: states that all hospitals know that sums with
    and without a centre tell, by subtraction, what that centre contributed."""
    shared_start_ack: bool = False
    """Must be true for "leave-one-centre-out" over hidden sums from ImageNet weights, with which all arms
    begin: states that all hospitals know that the first rounds' sums nearly tell, by subtraction, the means
    and variances of the network's features over one centre's patients, and a little of its update."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without an acknowledgement that was not given: plans without it keep their hash."""
        unset = {"subtraction_ack", "shared_start_ack"}
        return {name: value for name, value in write(self).items() if value or name not in unset}


class RegressionSettings(Section):
    """Which predictors of expansion are screened, and which enter the multivariable model (Table 2)."""

    candidates: tuple[str, ...] = tuple(variable.name for variable in TABLE_ONE)
    """Variables of the paper's Table 1 or of the plan's own, or "brain_score", each with a univariate model;
    by default all that Table 1 describes."""
    entry_p: float = Field(default=0.05, gt=0, le=1)
    """A variable enters the multivariable model if any of its levels has a p below this."""
    missing: Literal["complete-case", "level"] = "complete-case"
    """"level": a missing binary or categorical value is a level of its own, so that its patients stay."""
    rare_pairs_accepted: bool = False
    """Whether a logistic model is also fitted where 1 to 4 patients alone have levels of two covariates: its
    rounds then tell the coordinator nearly, of one patient alone exactly, their other covariates."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without an acceptance that was not given: plans without it keep their hash."""
        return {name: value for name, value in write(self).items() if value or name != "rare_pairs_accepted"}

    @field_validator("candidates")
    @classmethod
    def _check_candidates(cls, candidates: tuple[str, ...]) -> tuple[str, ...]:
        return check_covariates(candidates)


class PlannedReader(Section):
    """One reader of the CTs."""

    name: str = Field(default="", max_length=40)
    """As the report prints it, e.g. "Radiologist A"; by default "First reader", "Second reader" and so on."""
    sessions: int = Field(default=1, ge=1, le=MOST)
    """How often this reader read, each time without a look at earlier readings."""


class Agreement(Section):
    """How repeated readings of the same CT are judged."""

    same_readers: bool = False
    """Whether the same persons read at all sites; if not, two-way intraclass correlations are not pooled."""
    readers: tuple[PlannedReader, ...] = Field(
        default=(PlannedReader(sessions=2), PlannedReader()), min_length=1, max_length=MOST
    )
    """Who reads: by default the paper's two readers, the first of whom reads in two sessions."""

    @field_validator("readers")
    @classmethod
    def _check_readers(cls, readers: tuple[PlannedReader, ...]) -> tuple[PlannedReader, ...]:
        if len(readers) == readers[0].sessions == 1:
            raise ValueError("nobody reads twice -> name another reader, or a second session of the first")
        names = [reader.name.casefold() for reader in readers if reader.name]
        if len(set(names)) < len(names):
            raise ValueError(f"two readers have the same name: {sorted(names)} -> rename one")
        return readers

    @property
    def all_readings(self) -> tuple[Reader, ...]:
        """Every reading of every reader, the first reader's first session before all others."""
        return list_readings([reader.sessions for reader in self.readers])

    @property
    def first_sessions(self) -> tuple[Reader, ...]:
        """The first session of every reader."""
        return tuple(name_reading(number, 1) for number in range(1, len(self.readers) + 1))

    def sessions_of(self, number: int) -> tuple[Reader, ...]:
        """The sessions of one reader, counted from 1."""
        return tuple(
            name_reading(number, session) for session in range(1, self.readers[number - 1].sessions + 1)
        )

    def readings_behind(self, criterion: ReadingCriterion) -> tuple[Reader, ...]:
        """The readings that are compared with each other where features must be reproducible."""
        if criterion == ALL_READERS:
            return self.first_sessions
        return self.sessions_of(1) if criterion == ALL_SESSIONS else (FIRST, criterion)

    @property
    def criteria(self) -> tuple[ReadingCriterion, ...]:
        """What `radiomics.readings` may name: each repeated reading, and several of them together."""
        together = [ALL_READERS] if len(self.readers) > 2 else []
        together += [ALL_SESSIONS] if self.readers[0].sessions > 2 else []
        return (*self.all_readings[1:], *together)


class Radiomics(Section):
    """Handcrafted features of the lesion and how the LASSO selects among them."""

    voi: Literal["ICH", "ICH+IVH"] = "ICH"
    """The mask's labels that form the volume of interest."""
    readings: tuple[ReadingCriterion, ...] = ()
    """Repeated readings in which a feature must be reproducible before the LASSO sees it: "intra" (a second
    session of the first reader), "inter" (a second reader); the paper's are both. None: no feature must.
    Each is compared with the first reading. "all-readers" and "all-sessions" compare three or more at once:
    the first sessions of all readers, the sessions of the first reader."""
    icc_form: Literal["ICC(1,1)", "ICC(2,1)", "ICC(3,1)"] = "ICC(2,1)"
    """Intraclass correlation of single readings; see `StabilityCriterion` for the reasons."""
    icc_threshold: float = Field(default=0.80, ge=0, lt=1)
    """Value that the correlation must exceed in each of these readings (the paper: 0.80)."""
    icc_judged: Literal["value", "low"] = "value"
    """What must exceed it: the estimate (the paper's), or the lower end of its 95 % confidence interval."""
    family: Literal["gaussian", "binomial"] = "gaussian"
    """"gaussian": the LASSO on the outcome as 0 or 1, in five rounds of messages; "binomial": on its log
    odds, as glmnet's family of this name, in some hundreds of rounds, one after the other."""
    folds: int = Field(default=10, ge=3, le=20)
    """Most folds of the cross-validation that chooses the penalty: as many of them as the patients carry."""
    rule: Literal["lambda_min", "1se"] = "lambda_min"
    """The penalty of least validation error, or the largest within one standard error of it."""
    wide_gram_accepted: bool = False
    """Waives the rule that a fold needs two patients per feature, after an external privacy review. Otherwise
    features are prescreened by their correlation with the outcome, to as many as the rule allows."""
    columns: tuple[ColumnName, ...] = Field(default=(), max_length=1000)
    """Columns of the hospitals' tables among which the LASSO selects, in place of the 851 features that rhe
    extracts from CT and mask: numbers of the plan's own variables or the paper's. By default the plan's own
    variables with the role "radiomics"; without any, the extracted features. No yes or no: products of one
    that few patients have would be their rows."""

    @field_validator("readings")
    @classmethod
    def _check_readings(cls, readings: tuple[ReadingCriterion, ...]) -> tuple[ReadingCriterion, ...]:
        if len(set(readings)) < len(readings):
            raise ValueError(f"readings lists a reading twice: {list(readings)} -> name each once")
        return readings

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [one.name for one in (*TABLE_ONE, *list_declared()) if one.kind == "continuous"]
        if unknown := find_unknown(names, known):
            raise ValueError(
                f"{', '.join(unknown)}: no number of the table -> choose among "
                f"{', '.join(known)}, or declare it under [[variables]]"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"columns lists a column twice: {list(names)} -> name each once")
        return names

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without columns where none were given: plans without them keep their hash."""
        return {key: value for key, value in write(self).items() if value or key != "columns"}


class Evaluation(Section):
    """How models are judged and compared."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Operating point (the paper: 0.5)."""
    operating_point: Literal["fixed", "youden"] = "fixed"
    """"youden": each model's threshold is chosen on its training patients, before any test."""
    bins: int = Field(default=1000, ge=10, le=100_000)
    """Number of bins in which a score is first counted, half even on [0, 1], half finer towards both ends.
    Bins with patients of both outcomes are divided, up to four times as many in all."""
    interval: Literal["logit-delong", "delong", "mc_binomial"] | None = None
    """Interval of the AUC; by default logit-DeLong, in the replication profile the paper's mc_binomial."""
    proportions: Literal["wilson", "clopper-pearson"] = "wilson"
    """Interval of accuracy, sensitivity, specificity and predictive values."""
    reference_model: Name | None = None
    """The model with which others are compared; by default chosen by validation AUC, never by a test."""
    mcnemar: Literal["exact", "chi-squared", "corrected"] = "exact"
    """Test of sensitivities and specificities; the paper's p-values are those of the exact one."""
    adjustment: Literal["none", "holm"] = "none"
    """Whether p-values of a cohort's comparisons are adjusted for their number (the paper's are not)."""
    decision_thresholds: tuple[float, ...] = tuple(step / 20 for step in range(1, 20))
    """Threshold probabilities of the decision curve."""
    subgroups: tuple[str, ...] = ()
    """Binary or categorical variables for whose levels discrimination is reported, too."""

    @field_validator("decision_thresholds")
    @classmethod
    def _check_thresholds(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        from common.stats.decision import check_thresholds

        check_thresholds(thresholds)
        return thresholds

    @field_validator("subgroups")
    @classmethod
    def _check_subgroups(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        choices = (*TABLE_ONE, *list_declared())
        levelled = [one.name for one in choices if one.kind in {"binary", "categorical"}]
        if unknown := find_unknown(names, levelled):
            said = " and ".join(_describe_without_levels(name) for name in unknown)
            raise ValueError(f"no subgroups by {said} -> choose among {', '.join(levelled)}")
        if len(set(names)) < len(names):
            raise ValueError(f"subgroups lists a variable twice: {list(names)} -> name each once")
        return names


def _describe_without_levels(name: str) -> str:
    variable = find_readable(name)
    if variable is None:
        return repr(name)
    return f"{name!r}, which is {'a number' if variable.kind == 'continuous' else 'none of Table 1'}"


class Noise(Section):
    """Noise on the federated trainings, so that a model reveals little of whether a site took part.

    The paper has none. Tables, validation and evaluation stay exact sums.
    """

    multiplier: float | None = Field(default=None, gt=0, le=MOST_NOISE)
    """Standard deviation of the summed noise of all sites that do not collude, in units of the norm; None
    where it follows from `epsilon` (`StudyPlan.noise_multiplier`)."""
    epsilon: float | None = Field(default=None, ge=1e-3, le=1e6)
    """What all trainings of several sites together may reveal of a site to the coordinator and whoever gets
    the models: epsilon of (epsilon, delta)-differential privacy. In place of `multiplier`."""
    norm: float = Field(default=1.0, gt=0, le=2.0**20)
    """Bound of the Euclidean norm of a site's change in a round; a longer change is scaled down to it.
    Noise is sized for a site of `largest_site` patients: set that no higher than needed."""
    norm_buffers: float = Field(default=1.0, gt=0, le=2.0**20)
    """The same bound for BatchNorm's running means and variances."""
    delta: float = Field(default=1e-5, gt=0, le=1e-2)
    """Delta of (epsilon, delta)-differential privacy: the probability with which epsilon need not hold. Above
    one over the patients it promises nothing: one of them, shown whole by chance, would keep it."""

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if (self.multiplier is None) == (self.epsilon is None):
            raise ValueError("noise is sized by multiplier or by epsilon -> give one of the two")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without the size that was not given: plans from before it existed keep their hash."""
        return {
            name: value
            for name, value in write(self).items()
            if value is not None or name not in {"multiplier", "epsilon"}
        }


class Privacy(Section):
    """How sites' numbers are hidden, so that nobody learns more than their sum (protocol SA1)."""

    secure: bool = True
    """Whether sums are masked; false shows every site's own numbers to the coordinator."""
    colluders: int = Field(default=0, ge=0)
    """How many sites may collude with the coordinator without learning another's numbers."""
    weights: Literal["frozen", "per-round", "equal"] = "frozen"
    """How sites are weighted in a federated training. "frozen": by patients, whose total is released once;
    "per-round": by patients, with the total in each round, whose change would reveal a site's number;
    "equal": all alike."""
    largest_site: int = Field(default=1000, ge=1, le=2**31)
    """Largest number of training patients of a site; more are refused. Weights are shares of it."""
    clip: float = Field(default=4.0, gt=0, le=2.0**20)
    """Bound of a weight's change in one round; a larger change is clipped."""
    clip_buffers: float = Field(default=_WIDEST, gt=0, le=_WIDEST)
    """The same bound for BatchNorm's running means and variances; by default the widest, 2^53, which no
    training reaches. With noise, `norm_buffers` takes its place."""
    clip_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of a site's changes that may be clipped; more is an error."""
    norm_bound: float | None = Field(default=None, gt=0)
    """Euclidean norm of a site's change of weights in a round above which the site refuses; default: none."""
    noise: Noise | None = None
    """Noise on the federated trainings; by default none."""

    def hides_sums_of(self, sites: int) -> bool:
        """Whether sums over so many sites are masked; a single site has nobody to hide among."""
        return self.secure and sites > 1


class Explanation(Section):
    """Which attention maps are drawn (Grad-CAM, the paper's Fig. 5)."""

    per_site: int = Field(default=4, ge=0, le=50)
    """Patients whose maps each site draws, half of them with expansion; maps leave synthetic sites only."""
    mean_maps: bool = False
    """Whether means of the tested patients' maps leave, as sums: about the lesion's centre, in cells of 5 mm,
    with and without expansion."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without means that were not asked for: plans without them keep their hash."""
        return {key: value for key, value in write(self).items() if value or key != "mean_maps"}
