"""The card of a trained model: all that a prediction for a new patient needs, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from common.cohort.outcome import OutcomeDefinition
from common.design import Column, Design, covariate_label, covariate_unit, is_factor, reference_of
from common.extraction import extraction_of, feature_version
from common.fitted import covariates_of
from common.headers import Fitted, FittedSvm
from common.imaging.preprocess import ALGORITHM
from common.imaging.recipe import InputShape, Recipe
from common.models.spec import NetworkSpec
from common.radiomics.features import FEATURES
from common.radiomics.settings import ExtractionSettings
from common.settings import Section
from common.stats.minima import minima_of
from common.study import CnnModel, Profile, StudyPlan

CARD_VERSION = 1


class CardPart(Section):
    """A part of a card: frozen, no unknown key, no number that is not finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class TrainingCentre(CardPart):
    """One site whose patients trained the model."""

    site: str
    """As in the plan."""
    patients: int | None
    """How many; None where the number may not be shown."""


class Metric(CardPart):
    """How well the model discriminated in one cohort of its study."""

    cohort_sites: tuple[str, ...]
    """Whose patients."""
    part: Literal["train", "validation", "test", "whole"]
    """Which of them."""
    relation: str
    """What the model had seen of them: "apparent", "internal", "external" and so on."""
    auc: float | None
    """None where it may not be shown, or does not exist."""
    low: float | None
    """Lower 95 % bound."""
    high: float | None
    """Upper 95 % bound."""
    method: str
    """Of the interval."""
    reason: str = ""
    """Why there is no AUC."""


class NetworkContent(CardPart):
    """A network; its weights are the tensors of the card's file."""

    kind: Literal["cnn"] = "cnn"
    network: NetworkSpec
    """The architecture."""
    shape: InputShape
    """The input grid."""
    recipe: Recipe
    """From CT and mask to input."""
    algorithm: int
    """Version of the preprocessing that carried the recipe out."""
    threads: int
    """CPU threads of torch: the same number gives the same bits."""
    chosen: int
    """Round or epoch of the weights."""
    batch_norm: Literal["averaged", "local"]
    """"local": in the study each training site scored with its own BatchNorm, which only it has."""


class FeatureContent(CardPart):
    """How the radiomics features that a model takes are extracted."""

    settings: ExtractionSettings
    """From CT and mask to the volume that PyRadiomics is given."""
    version: str
    """Of everything else that decides the features; see `common.extraction.feature_version`."""


class CovariateContent(CardPart):
    """One covariate of a model of the table; its coefficients stand in the fitted model."""

    name: str
    """Variable of the cohort table, "brain_score", "score:NETWORK", or a radiomics feature."""
    label: str
    """As the paper prints it."""
    unit: str = ""
    """Of a number."""
    factor: bool = False
    """Whether it has levels: the coefficients are those of levels against the reference."""
    reference: str = ""
    """Of a categorical variable; a binary one is compared with 0."""
    mean: float | None = None
    """Of a radiomics feature that the LASSO selected: in the arm's training patients."""
    sd: float | None = None
    """The same. The coefficient of a logistic model is per unit of the feature, not per SD."""


class LogisticContent(CardPart):
    """A logistic model."""

    kind: Literal["logistic"] = "logistic"
    fitted: Fitted
    """Intercept and coefficients, or why there are none."""
    covariates: tuple[CovariateContent, ...]
    """In the order of the coefficients."""
    radiomics: FeatureContent | None = None
    """None if it takes no radiomics feature."""


class SvmContent(CardPart):
    """A support vector machine as its linear form: no support vector, which would be a patient's row."""

    kind: Literal["svm"] = "svm"
    fitted: FittedSvm
    """Means, SDs, weights and Platt's scaling, or why there are none."""
    covariates: tuple[CovariateContent, ...]
    """All of them, those that turned out constant included."""
    seed: int
    """The study's: with the model's name it gives the random Fourier features."""
    radiomics: FeatureContent | None = None
    """None if it takes no radiomics feature."""


TableContent: TypeAlias = LogisticContent | SvmContent
Content: TypeAlias = Annotated[NetworkContent | LogisticContent | SvmContent, Field(discriminator="kind")]


class ModelCard(CardPart):
    """One trained model in one arm."""

    version: Literal[1] = 1
    """Of this format."""
    study: str
    """The study's title."""
    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the plan that trained it."""
    profile: Profile
    """"simulation": trained on simulated patients."""
    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    training: tuple[TrainingCentre, ...]
    """Whose patients trained it."""
    outcome: OutcomeDefinition
    """What is predicted."""
    operating_point: float = Field(gt=0)
    """A risk of at least this is called positive."""
    operating_point_from: Literal["plan", "youden"]
    """Fixed by the plan, or chosen on the training patients."""
    metrics: tuple[Metric, ...] = ()
    """Of the study's evaluation; empty if it made none, and for a model that never left its site."""
    versions: dict[str, str]
    """Of the software that trained it."""
    content: Content
    """What computes the risk."""


def network_content(plan: StudyPlan, model: CnnModel, chosen: int) -> NetworkContent:
    """How the plan's network sees a patient."""
    return NetworkContent(
        network=model.network(plan.preprocessing),
        shape=model.shape,
        recipe=plan.preprocessing,
        algorithm=ALGORITHM,
        threads=plan.threads,
        chosen=chosen,
        batch_norm=plan.federation.batch_norm,
    )


def logistic_content(
    plan: StudyPlan, fitted: Fitted, moments: Mapping[str, tuple[float, float]] | None = None
) -> LogisticContent:
    """A fitted model with its covariates explained.

    Parameters
    ----------
    moments : mapping of str to (mean, SD), optional
        Of the radiomics features that were selected.
    """
    names = covariates_of(fitted)
    return LogisticContent(
        fitted=fitted,
        covariates=tuple(_covariate(name, (moments or {}).get(name)) for name in names),
        radiomics=_features_of(plan, names),
    )


def svm_content(plan: StudyPlan, fitted: FittedSvm) -> SvmContent:
    """A machine with its covariates explained."""
    moments = {column.variable: (column.mean, column.sd) for column in fitted.columns}
    names = fitted.covariates
    return SvmContent(
        fitted=fitted,
        covariates=tuple(_covariate(name, moments.get(name) if name in FEATURES else None) for name in names),
        seed=plan.seed,
        radiomics=_features_of(plan, names),
    )


def _covariate(name: str, moments: tuple[float, float] | None) -> CovariateContent:
    mean, sd = moments or (None, None)
    return CovariateContent(
        name=name,
        label=covariate_label(name),
        unit=covariate_unit(name),
        factor=is_factor(name),
        reference=reference_of(name),
        mean=mean,
        sd=sd,
    )


def _features_of(plan: StudyPlan, names: Sequence[str]) -> FeatureContent | None:
    if not set(names).intersection(FEATURES):
        return None
    return FeatureContent(settings=extraction_of(plan), version=feature_version())


def design_of_card(content: TableContent) -> Design:
    """The columns of the model itself."""
    parts = content.fitted.effects if isinstance(content, LogisticContent) else content.fitted.columns
    return Design(tuple(Column(part.variable, part.level) for part in parts))


def training_centre(plan: StudyPlan, site: str, patients: int) -> TrainingCentre:
    """A site with its number of training patients, where that may be shown."""
    return TrainingCentre(site=site, patients=minima_of(plan.profile).shown(patients))


def local_card(
    plan: StudyPlan, model: str, centre: TrainingCentre, versions: Mapping[str, str], content: Content
) -> ModelCard:
    """The card of a model that stays at its site; what the study judged of it is not known there."""
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
        versions=dict(versions),
        content=content,
    )
