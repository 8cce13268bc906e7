"""What the results file holds beyond single cells: regressions, comparisons, subgroups, centres."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.records import Count, Measure, Record, Standing

Part = Literal["train", "validation", "test", "whole"]


class Effect(Record):
    """One column's effect in a logistic model."""

    odds_ratio: Measure
    """Per unit of the covariate, or against the reference level."""
    p_value: float | None = None
    """Wald's, of the penalised likelihood ratio if Firth's; None where there is no odds ratio."""
    p_likelihood_ratio: float | None = None
    """Of leaving the whole variable out."""
    inflation: float | None = None
    """Variance inflation factor, for a factor brought to one degree of freedom; multivariable models only."""


class RegressionRow(Record):
    """One variable, or one level of it, as the paper's Table 2 prints it."""

    variable: str
    """Its column in the cohort table."""
    label: str
    """As the paper prints it."""
    unit: str = ""
    """Of a continuous variable."""
    level: str = ""
    """Of a factor of more than two levels."""
    reference: bool = False
    """Whether this is the level that the others are compared with: it has no effect."""
    used: Count | None = None
    """Patients of the univariate model."""
    missing: Count | None = None
    """Patients without a value."""
    univariate: Effect | None = None
    """None in the line of a reference level."""
    multivariable: Effect | None = None
    """None if the variable did not enter."""
    method: str = ""
    """Of the univariate model: "maximum likelihood", or "Firth" where it is separated."""


class Regression(Record):
    """What predicts expansion in the training patients (the paper's Table 2)."""

    cohort_sites: tuple[str, ...]
    """Whose training patients."""
    rows: tuple[RegressionRow, ...]
    """In the plan's order."""
    entry_p: float
    """A variable with a univariate p below this entered the multivariable model."""
    entered: tuple[str, ...]
    """Variables of the multivariable model."""
    used: Count | None = None
    """Patients of the multivariable model."""
    missing: Count | None = None
    """Patients without a value of any of its variables."""
    method: str = ""
    """Of the multivariable model."""
    standing: Standing = Standing()
    """Whether there is a multivariable model."""
    intercept: float | None = None
    log_likelihood: float | None = None


class FittedModel(Record):
    """One logistic model that the study trained."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose patients trained it."""
    rows: tuple[RegressionRow, ...]
    """Its effects, as `multivariable`."""
    intercept: float | None
    """None if it was not fitted, or stays at its site."""
    used: Count | None
    missing: Count | None
    method: str
    standing: Standing = Standing()


class SelectedFeature(Record):
    """One radiomics feature that the LASSO selected."""

    name: str
    """As PyRadiomics calls it."""
    coefficient: float
    """The LASSO's, per standard deviation."""
    mean: float
    """Of the arm's training patients."""
    sd: float
    """Of the arm's training patients."""
    profile: tuple[float, ...] = ()
    """The coefficient at each penalty of the path."""


class PathPoint(Record):
    """One penalty of the LASSO's path."""

    penalty: float
    """Lambda of (1 / 2n) RSS + lambda |beta|."""
    loss: float
    """Mean over folds of the validation error."""
    standard_error: float
    """Of that mean."""
    active: Count
    """Coefficients that are not 0."""


class FeatureSelection(Record):
    """Which radiomics features went into the models of one arm (the paper's Table S3 and Fig. S2)."""

    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose training patients."""
    candidates: Count
    """Features to begin with."""
    prescreened: Count
    """Features that went into the LASSO."""
    reproducible: Count | None = None
    """Candidates on which repeated readings agree; None where that was not asked."""
    features: tuple[SelectedFeature, ...]
    penalty: float | None
    """The chosen one."""
    path: tuple[PathPoint, ...]
    """From the largest penalty to the smallest."""
    used: Count | None
    """Training patients with all features."""
    method: str
    standing: Standing = Standing()


class ReliabilityPoint(Record):
    """Patients of similar predicted risk."""

    predicted: float
    """Mean predicted risk."""
    observed: float
    """Share with expansion."""
    low: float
    """Lower 95 % bound of the share."""
    high: float
    """Upper 95 % bound of the share."""
    patients: Count


class Calibration(Record):
    """Whether predicted risks are true."""

    brier: Measure
    """Mean squared difference of prediction and outcome."""
    expected_error: Measure
    """Expected calibration error over ten equal bins."""
    intercept: Measure
    """Calibration in the large: 0 if risks are right on average; positive if they are too low."""
    slope: Measure
    """1 if risks spread as they should; below if they are too extreme."""
    points: tuple[ReliabilityPoint, ...]
    """Of the reliability diagram, merged until each may be shown."""


class NetBenefitPoint(Record):
    """Net benefit at one threshold probability."""

    threshold: float
    model: float
    """Net true positives a patient."""
    low: float
    """Lower 95 % bound."""
    high: float
    """Upper 95 % bound."""
    treat_all: float
    """Of calling everybody positive; calling nobody positive is 0."""


class Discordance(Record):
    """Two models' calls in one class of patients, compared by McNemar's test."""

    only_first: Count | None
    """Patients whom only the first model called right."""
    only_second: Count | None
    """Patients whom only the second model called right."""
    p_value: float | None
    method: str
    standing: Standing = Standing()


class NetBenefitDifference(Record):
    """Net benefit of the first model minus that of the second at one threshold probability."""

    threshold: float
    difference: float
    low: float
    """Lower 95 % bound."""
    high: float
    """Upper 95 % bound."""


class Comparison(Record):
    """Two models on the same patients (the paper's Fig. 7)."""

    first_model: str
    first_arm: str
    second_model: str
    second_arm: str
    difference: Measure
    """AUC of the first minus that of the second, DeLong's paired interval."""
    p_value: float | None
    """DeLong's, two-sided."""
    p_adjusted: float | None
    """By Holm over the cohort's comparisons, if the plan asks for it."""
    sensitivity: Discordance
    specificity: Discordance
    net_benefit: tuple[NetBenefitDifference, ...] = ()
    """Of two predicted risks."""


class Comparisons(Record):
    """All comparisons within one cohort, over patients who have every compared score."""

    cohort_sites: tuple[str, ...]
    part: Part
    used: Count | None
    missing: Count | None
    chi_squared: float | None
    """Of the omnibus test that all compared models have one AUC."""
    degrees_of_freedom: int | None
    p_value: float | None
    """Of the omnibus test."""
    standing: Standing = Standing()
    """Of the omnibus test."""
    pairs: tuple[Comparison, ...]


class Subgroup(Record):
    """One model within one level of a variable."""

    model: str
    arm: str
    cohort_sites: tuple[str, ...]
    part: Part
    variable: str
    """Its column in the cohort table."""
    label: str
    """As the paper prints the variable."""
    level: str
    positive: Count | None
    negative: Count | None
    auc: Measure
    p_interaction: float | None = None
    """Of the difference from the variable's first level."""


class Heterogeneity(Record):
    """How much one model's AUC differs between centres."""

    model: str
    arm: str
    sites: Count
    """With an AUC."""
    sites_excluded: Count
    """Without one, or with too few patients."""
    auc: Measure
    """Random-effects mean with Hartung and Knapp's interval; absent for fewer than three centres."""
    prediction_low: float | None = None
    """Lower 95 % bound for a new centre."""
    prediction_high: float | None = None
    """Upper 95 % bound for a new centre."""
    q: float | None = None
    """Cochran's."""
    p_value: float | None = None
    """Of Q; of two centres, of their difference."""
    i_squared: float | None = Field(default=None, ge=0, le=1)
    """Share of the variation that is between centres."""
    tau_squared: float | None = None
    """Between-centre variance on the logit scale."""
    per_site: bool
    """Whether so few centres contribute that their own values can nearly be told."""
