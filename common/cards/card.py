"""The card of a trained model: what a prediction for a new patient needs, and the model's origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from common.cards.contributors import PARTIAL, describe_trainers, is_partial
from common.cards.fitted import covariates_of
from common.cohort.eligibility import CRITERIA, Bounds, Criterion
from common.cohort.outcome import OutcomeDefinition
from common.cohort.variable import Variable
from common.imaging.options import MissingSlices
from common.imaging.preprocess import PREPROCESSING_ALGORITHM
from common.imaging.recipe import InputShape, Recipe
from common.messages.headers import Fitted, FittedSvm
from common.models.brain_score import BrainA
from common.models.spec import NetworkSpec
from common.plan.design import (
    Column,
    Design,
    covariate_label,
    covariate_unit,
    is_factor,
    list_selectable,
    reference_of,
)
from common.plan.extraction import extraction_of, feature_version
from common.plan.models import BRAIN
from common.plan.own_eligibility import Eligibility
from common.plan.own_variables import PlannedVariable
from common.plan.study import CnnModel, Profile, StudyPlan
from common.radiomics.features import FEATURES
from common.radiomics.settings import ExtractionSettings
from common.runtime.settings_file import Section
from common.stats.minima import minima_of

CARD_VERSION = 1
"""Version of the cards' format."""


class CardPart(Section):
    """A part of a card: frozen, without unknown keys, all numbers finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class TrainingCentre(CardPart):
    """One site whose patients trained the model."""

    site: str
    """Name in the plan."""
    patients: int | None
    """Number of training patients; None where it may not be shown."""
    rounds: int | None = Field(default=None, ge=0)
    """In how many rounds up to the chosen one they trained a federated network; 0: it took no part, although
    the plan lets it train. None for other models, and where it was not recorded."""


class Metric(CardPart):
    """How well the model discriminated in one cohort of its study."""

    cohort_sites: tuple[str, ...]
    """Sites whose patients form the cohort."""
    part: Literal["train", "validation", "test", "whole"]
    """Which of their patients."""
    relation: str
    """What the model's training had seen of them, e.g. "internal" or "external"; see `common.plan.matrix`."""
    auc: float | None
    """Area under the ROC curve; None where it may not be shown or does not exist."""
    low: float | None
    """Lower 95 % confidence limit of the AUC."""
    high: float | None
    """Upper 95 % confidence limit of the AUC."""
    method: str
    """Method of the interval."""
    reason: str = ""
    """Why there is no AUC, or no interval of it."""
    sensitivity: float | None = None
    """At the model's operating point; None where it may not be shown, or an older card does not say."""
    specificity: float | None = None
    """Likewise."""
    calibration_intercept: float | None = None
    """0 if risks are right on average, positive if they are too low; None likewise, and where it is not
    computed."""
    calibration_slope: float | None = None
    """1 if risks spread as they should, below if they are too extreme; None likewise."""


class UsualRange(CardPart):
    """Where nearly all training patients' values of one input lie; no patient's value is a limit.

    References
    ----------
    Tukey (1977), Exploratory data analysis (outer fences: three interquartile ranges beyond the quartiles).
    """

    variable: str
    """Name of the input."""
    low: float
    """Lower limit, in the variable's unit."""
    high: float
    """Upper limit, likewise."""
    how: Literal["mean and 3 SD", "quartiles and 3 IQR"]
    """From which released numbers the limits are computed; with expansion and without, the wider of both."""


class NetworkContent(CardPart):
    """A network; its weights are the tensors of the card's file."""

    kind: Literal["cnn"] = "cnn"
    """Tells a network from the other contents of a card."""
    network: NetworkSpec
    """The architecture."""
    shape: InputShape
    """The input grid."""
    recipe: Recipe
    """From CT and mask to input."""
    algorithm: int
    """Version of the preprocessing that applied the recipe."""
    threads: int = Field(ge=1, le=256)
    """CPU threads of torch: the same number gives the same bits."""
    chosen: int
    """Round or epoch whose weights these are."""
    batch_norm: Literal["averaged", "local"]
    """"local": in the study each training site scored with its own BatchNorm, which never left it."""


class FeatureContent(CardPart):
    """How the radiomics features that a model uses are extracted."""

    settings: ExtractionSettings
    """Settings from CT and mask to the volume that PyRadiomics receives."""
    version: str
    """Version of everything else that decides the features; see `common.plan.extraction.feature_version`."""


class CovariateContent(CardPart):
    """One covariate of a table model; its coefficients are in the fitted model."""

    name: str
    """Variable of the cohort table, "brain_score", "score:NETWORK", or a radiomics feature."""
    label: str
    """Label in the paper's tables."""
    unit: str = ""
    """Unit of a numeric covariate; empty for others."""
    factor: bool = False
    """Whether it has levels: its coefficients compare levels with the reference."""
    reference: str = ""
    """Reference level of a categorical variable; empty for a binary one, which is compared with 0."""
    mean: float | None = None
    """Mean of a selected radiomics feature in the arm's training patients; None for other covariates."""
    sd: float | None = None
    """Standard deviation, likewise. A logistic model's coefficient is per unit of the feature, not per SD."""
    brain_a: BrainA | None = None
    """Of the BRAIN score: the column that gives A; None for other covariates. Where a card of an earlier
    version does not say, it is warfarin."""
    declared: PlannedVariable | None = Field(default=None, exclude_if=lambda declared: declared is None)
    """What the plan declares of one of its own variables; None for the paper's covariates."""


class LogisticContent(CardPart):
    """A logistic model."""

    kind: Literal["logistic"] = "logistic"
    """Tells a logistic model from the other contents of a card."""
    fitted: Fitted
    """Intercept and coefficients, or the reason why there are none."""
    covariates: tuple[CovariateContent, ...]
    """In the order of the coefficients."""
    radiomics: FeatureContent | None = None
    """How its radiomics features are extracted; None if it uses none."""


class SvmContent(CardPart):
    """A support vector machine in its linear form, without support vectors, which are patients' rows."""

    kind: Literal["svm"] = "svm"
    """Tells a support vector machine from the other contents of a card."""
    fitted: FittedSvm
    """Means, SDs, weights and Platt's scaling, or the reason why there are none."""
    covariates: tuple[CovariateContent, ...]
    """All covariates, including those that turned out constant."""
    seed: int
    """The study's seed; with the model's name it gives the random Fourier features."""
    radiomics: FeatureContent | None = None
    """How its radiomics features are extracted; None if it uses none."""


TableContent: TypeAlias = LogisticContent | SvmContent
"""What computes the risk in a table model."""
Content: TypeAlias = Annotated[NetworkContent | TableContent, Field(discriminator="kind")]
"""What computes the risk."""


class ExcludingRule(CardPart):
    """Whom the model's study left out, beside the paper's criteria or in their place."""

    label: str
    """As the flow chart printed it."""
    variable: str
    """The column that decides."""
    below: float | None = None
    """A smaller number was left out."""
    above: float | None = None
    """A larger number was left out."""
    values: tuple[float | str, ...] = ()
    """Levels, or 1 and 0 of yes and no, that were left out."""


class ModelCard(CardPart):
    """One trained model in one arm."""

    version: Literal[1] = 1
    """Version of the card's format."""
    study: str
    """The study's title."""
    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the plan that trained the model."""
    profile: Profile
    """Profile of the plan; "simulation": trained on simulated patients."""
    model: str
    """The model's name in the plan."""
    arm: str
    """Name of the arm that trained it."""
    training: tuple[TrainingCentre, ...]
    """Sites that train it by the plan; how much each took part in a federated network, its rounds say."""
    partial_scores: tuple[str, ...] = ()
    """Networks whose scores it takes and that not all sites trained in every round."""
    outcome: OutcomeDefinition
    """Definition of the predicted outcome."""
    operating_point: float = Field(gt=0)
    """Threshold: a risk of at least this is called positive."""
    operating_point_from: Literal["plan", "youden"]
    """Fixed by the plan, or chosen on the training patients."""
    missing_slices: MissingSlices = "refuse"
    """Whether the study used CTs that lack slices far from the lesion; of an older card it is not known."""
    excluded: tuple[ExcludingRule, ...] | None = Field(default=None, exclude_if=lambda rules: rules is None)
    """Whom the study left out, where the plan has criteria of its own; None: whom the paper leaves out."""
    metrics: tuple[Metric, ...] = ()
    """Results of the study's evaluation; empty without one, and for a model that never left its site."""
    ranges: tuple[UsualRange, ...] = Field(default=(), exclude_if=lambda ranges: not ranges)
    """Usual values of the training patients, as far as Table 1 describes them; an older card has none."""
    versions: dict[str, str]
    """Versions of the software that trained it."""
    content: Content
    """The fitted model itself."""

    @property
    def rounds(self) -> dict[str, int]:
        """By site, in how many rounds it trained a federated network; empty where that was not recorded."""
        return {centre.site: centre.rounds for centre in self.training if centre.rounds is not None}

    @property
    def population(self) -> tuple[Criterion, ...]:
        """The criteria by which the study left patients out."""
        if self.excluded is None:
            return CRITERIA
        return tuple(
            Criterion(
                rule.variable,
                rule.label,
                rule.variable,
                Bounds(rule.below, rule.above, frozenset(rule.values)),
            )
            for rule in self.excluded
            if rule.variable != "ct_to_followup_h"
        )

    @property
    def partial(self) -> bool:
        """Whether a site missed one of the rounds that made a network."""
        return isinstance(self.content, NetworkContent) and is_partial(self.rounds, self.content.chosen)

    def describe_origin(self) -> tuple[str, ...]:
        """What everybody must know who uses the model: that sites were missing when it was trained."""
        lines = []
        if self.partial and isinstance(self.content, NetworkContent):
            lines.append(f"{PARTIAL}: {describe_trainers(self.rounds, self.content.chosen)}")
        if self.partial_scores:
            lines.append(f"takes the score of {', '.join(self.partial_scores)}, which is {PARTIAL}")
        return tuple(lines)


def describe_network(plan: StudyPlan, model: CnnModel, chosen: int) -> NetworkContent:
    """The card's content for a network of the plan."""
    return NetworkContent(
        network=model.network(plan.preprocessing),
        shape=model.shape,
        recipe=plan.preprocessing,
        algorithm=PREPROCESSING_ALGORITHM,
        threads=plan.threads,
        chosen=chosen,
        batch_norm=plan.federation.batch_norm,
    )


def describe_logistic(
    plan: StudyPlan, fitted: Fitted, moments: Mapping[str, tuple[float, float]] | None = None
) -> LogisticContent:
    """The card's content for a logistic model, with its covariates described.

    Parameters
    ----------
    moments : mapping of str to (mean, SD), optional
        Moments of the selected radiomics features, by name.
    """
    names = covariates_of(fitted)
    return LogisticContent(
        fitted=fitted,
        covariates=tuple(_describe_covariate(plan, name, (moments or {}).get(name)) for name in names),
        radiomics=_features_of(plan, names),
    )


def describe_svm(plan: StudyPlan, fitted: FittedSvm) -> SvmContent:
    """The card's content for a support vector machine, with its covariates described."""
    moments = {column.variable: (column.mean, column.sd) for column in fitted.columns}
    names = fitted.covariates
    return SvmContent(
        fitted=fitted,
        covariates=tuple(
            _describe_covariate(plan, name, moments.get(name) if name in list_selectable(plan) else None)
            for name in names
        ),
        seed=plan.seed,
        radiomics=_features_of(plan, names),
    )


def describe_fitted(
    plan: StudyPlan, fitted: Fitted | FittedSvm, moments: Mapping[str, tuple[float, float]]
) -> TableContent:
    """The card's content for a model of the table, of whichever kind.

    Parameters
    ----------
    moments : mapping of str to (mean, SD)
        Moments of the selected radiomics features, by name.
    """
    if isinstance(fitted, FittedSvm):
        return describe_svm(plan, fitted)
    return describe_logistic(plan, fitted, moments)


def _describe_covariate(plan: StudyPlan, name: str, moments: tuple[float, float] | None) -> CovariateContent:
    mean, sd = moments or (None, None)
    own, brain_a = plan.own_variables, plan.cohort.brain_a
    return CovariateContent(
        name=name,
        label=covariate_label(name, brain_a, own),
        unit=covariate_unit(name, own),
        factor=is_factor(name, own),
        reference=reference_of(name, own),
        mean=mean,
        sd=sd,
        brain_a=brain_a if name == BRAIN else None,
        declared=next((planned for planned in plan.variables if planned.name == name), None),
    )


def _features_of(plan: StudyPlan, names: Sequence[str]) -> FeatureContent | None:
    if not set(names).intersection(FEATURES):
        return None
    return FeatureContent(settings=extraction_of(plan), version=feature_version())


def design_of_card(content: TableContent) -> Design:
    """The design with the columns of the model alone."""
    parts = content.fitted.effects if isinstance(content, LogisticContent) else content.fitted.columns
    stated = [covariate.brain_a for covariate in content.covariates if covariate.brain_a is not None]
    brain_a: BrainA = stated[0] if stated else "warfarin"
    columns = tuple(Column(part.variable, part.level) for part in parts)
    return Design(columns, brain_a, own_variables_of(content))


def own_variables_of(content: TableContent) -> dict[str, Variable]:
    """The variables that the model's plan declared and that the model takes, by heading."""
    declared = (covariate.declared for covariate in content.covariates)
    return {planned.name: planned.variable for planned in declared if planned is not None}


def list_excluded(plan: StudyPlan) -> tuple[ExcludingRule, ...] | None:
    """Whom the plan leaves out; None where these are whom the paper leaves out."""
    if plan.eligibility == Eligibility():
        return None
    return tuple(
        ExcludingRule(
            label=criterion.label,
            variable=criterion.variable,
            below=criterion.excludes.below,
            above=criterion.excludes.above,
            values=tuple(sorted(criterion.excludes.among, key=str)),
        )
        for criterion in plan.eligibility.criteria
    )


def training_centre_of(plan: StudyPlan, site: str, patients: int) -> TrainingCentre:
    """The site with its number of training patients, where that may be shown."""
    return TrainingCentre(site=site, patients=minima_of(plan.profile).show(patients))


def make_local_card(
    plan: StudyPlan, model: str, centre: TrainingCentre, versions: Mapping[str, str], content: Content
) -> ModelCard:
    """The card of a model that stays at its site, where the study's evaluation is not known."""
    return ModelCard(
        study=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        model=model,
        arm=f"local-{centre.site}",
        training=(centre,),
        outcome=plan.cohort.outcome,
        operating_point=plan.evaluation.threshold,
        operating_point_from="plan",
        missing_slices=plan.scans.missing_slices,
        excluded=list_excluded(plan),
        versions=dict(versions),
        content=content,
    )
