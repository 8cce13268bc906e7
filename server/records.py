"""What the results file is made of: numbers with their intervals, and why one may be missing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from common.settings import Section
from common.stats.estimate import Interval, Status

Count = Annotated[int, Field(ge=0)]


class Record(Section):
    """A part of the results: frozen, no unknown key, no number that is not finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class Standing(Record):
    """Whether a number is there, and if not, why."""

    kind: Literal["ok", "suppressed", "undefined"] = "ok"
    """"suppressed": withheld because too few patients stand behind it; "undefined": it does not exist."""
    reason: str = ""
    """For the reader."""


def standing_of(status: Status) -> Standing:
    """A statistic's status as the results file holds it."""
    return Standing(kind=status.kind, reason=status.reason)


class Measure(Record):
    """One number with its interval."""

    value: float | None
    """None unless it is ok."""
    low: float | None = None
    """Lower 95 % bound."""
    high: float | None = None
    """Upper 95 % bound."""
    method: str = ""
    """Of the interval."""
    standing: Standing = Standing()
    """Whether the number is there."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.value is None) == (self.standing.kind == "ok"):
            raise ValueError(f"a measure that is {self.standing.kind} cannot have the value {self.value}")
        if self.value is None and (self.low is not None or self.high is not None):
            raise ValueError(f"a measure that is {self.standing.kind} cannot have an interval")
        return self


def measure_of(value: float | None, interval: Interval | None, method: str, status: Status) -> Measure:
    """A number of `common.stats` as the results file holds it."""
    missing = value is None and status.ok
    return Measure(
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else method,
        standing=Standing(kind="undefined", reason="not estimated") if missing else standing_of(status),
    )


class Described(Record):
    """One variable in one group of patients; None where it does not apply or may not be shown."""

    used: Count | None = None
    """Patients with a value."""
    missing: Count | None = None
    """Patients without."""
    patients: Count | None = None
    """Of a category: patients in it."""
    percent: float | None = None
    """Of a category: its share of the patients with a value."""
    mean: float | None = None
    sd: float | None = None
    first_quartile: float | None = None
    median: float | None = None
    third_quartile: float | None = None
    standing: Standing = Standing()
    """Whether the description is there."""


class CohortRow(Record):
    """One line of the cohort's table: a variable, or one level of it, with and without expansion."""

    site: str | None
    """None for all sites together."""
    part: Literal["training", "internal", "external", "whole"] = "whole"
    """Whose patients: the paper's three cohorts over all sites, or everybody."""
    label: str
    """As the paper prints the variable."""
    unit: str = ""
    """Of a continuous variable."""
    level: str = ""
    """Of a categorical variable."""
    decimals: int = Field(default=2, ge=0, le=6)
    """With which a continuous variable is printed."""
    negative: Described
    """Patients without expansion."""
    positive: Described
    """Patients with expansion."""
    p_value: float | None = None
    """Of the difference; None where there is none."""
    test: str = ""
    """Which gave the p-value."""
    statistic: float | None = None
    """Of the test; None for an exact one."""
    note: str = ""
    """For a footnote, e.g. that expected counts are small."""
    smd: float | None = None
    """Standardised difference, with expansion minus without."""


class SupportVectorMachine(Record):
    """One support vector machine that the study trained."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose patients trained it."""
    covariates: tuple[str, ...] = ()
    """By their own names."""
    c: float | None = None
    """Chosen by cross-validation; None if it was not fitted, or stays at its site."""
    gamma: float | None = None
    """Chosen by cross-validation; of z-scores."""
    features: int = 0
    """Random Fourier features of its linear form."""
    criterion: float | None = None
    """Of the chosen in cross-validation: AUC at a site, mean log-likelihood over sites."""
    deviation: float | None = None
    """Root mean square difference of its risks and the exact machine's, where a site compared them."""
    used: Count | None = None
    missing: Count | None = None
    method: str = ""
    standing: Standing = Standing()
