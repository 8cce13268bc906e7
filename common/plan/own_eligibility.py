"""Who is left out of a study: the paper's criteria that hold, their bounds, and rules of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self, TypeAlias, get_args

from pydantic import Field, field_validator, model_validator

from common.cohort.eligibility import CRITERIA, Bounds, Criterion
from common.cohort.variable import Variable
from common.plan.own_variables import ColumnName, find_readable, is_misdeclared
from common.runtime.settings_file import Section

PaperCriterion: TypeAlias = Literal["age", "onset", "followup", "primary_ivh", "prior_surgery", "artefacts"]
"""One of the paper's six criteria, by its name in results files."""
PAPER_CRITERIA: tuple[PaperCriterion, ...] = get_args(PaperCriterion)
"""All six, in the paper's order."""


class EligibilityRule(Section):
    """One reason of the plan for which a patient is left out; whose cell is blank is undecided."""

    variable: ColumnName
    """The column that decides: of the paper's table, or one of the plan's own variables."""
    label: str = Field(min_length=1, max_length=60)
    """What the flow chart prints, e.g. "GCS below 5" or "Secondary hemorrhage"."""
    below: float | None = Field(default=None, allow_inf_nan=False)
    """A smaller number excludes; this number itself does not."""
    above: float | None = Field(default=None, allow_inf_nan=False)
    """A larger number excludes; this number itself does not."""
    values: tuple[float | str, ...] = ()
    """Values that exclude: levels of a categorical variable; of a binary one 1 (yes) or 0 (no)."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        variable = find_readable(self.variable)
        if variable is None and is_misdeclared(self.variable):
            # The plan is refused for that variable's own fault
            return self
        if variable is None or variable.kind in {"path", "text"}:
            raise ValueError(
                f"{self.variable!r} is no variable of the table -> name one of the paper's, or declare it "
                "under [[variables]]"
            )
        if self.below is None and self.above is None and not self.values:
            raise ValueError("a rule without below, above or values excludes nobody -> give one")
        if variable.kind != "continuous" and (self.below is not None or self.above is not None):
            raise ValueError(f"{self.variable!r} is {variable.kind} -> name its values, no bounds")
        if strangers := [value for value in self.values if not _may_hold(variable, value)]:
            raise ValueError(f"{self.variable!r} never is {strangers} -> it is {variable.allowed}")
        return self

    @property
    def bounds(self) -> Bounds:
        """What excludes."""
        return Bounds(self.below, self.above, frozenset(self.values))


class Eligibility(Section):
    """Who is left out of the study; by default whom the paper leaves out."""

    paper: tuple[PaperCriterion, ...] = PAPER_CRITERIA
    """The paper's criteria that hold, in the flow chart's order; [] for none. Tables need their columns."""
    youngest_years: float = Field(default=18, ge=0, le=120)
    """Whoever is younger is left out, by "age" (the paper: 18)."""
    latest_onset_h: float = Field(default=24, gt=0, le=2160)
    """Longest time from onset to the baseline CT in hours, by "onset" (the paper: 24)."""
    latest_followup_h: float = Field(default=72, gt=0, le=8760)
    """Longest time from baseline to follow-up CT in hours, by "followup" (the paper: 72)."""
    rules: tuple[EligibilityRule, ...] = Field(default=(), max_length=20)
    """Further reasons of the plan, after the paper's, in the flow chart's order."""

    @field_validator("paper")
    @classmethod
    def _check_paper(cls, names: tuple[PaperCriterion, ...]) -> tuple[PaperCriterion, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"{list(names)} has a criterion twice -> name each once")
        return names

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        labels = [criterion.label.casefold() for criterion in self.criteria]
        if len(set(labels)) < len(labels):
            raise ValueError("two reasons have the same label -> the flow chart could not tell them apart")
        return self

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """All reasons, in the flow chart's order."""
        by_name = {criterion.name: criterion for criterion in CRITERIA}
        bounded = {
            "age": (f"Age < {self.youngest_years:g} years", Bounds(below=self.youngest_years)),
            "onset": (
                f"Baseline CT > {self.latest_onset_h:g} h after onset",
                Bounds(above=self.latest_onset_h),
            ),
            "followup": (
                f"Follow-up CT > {self.latest_followup_h:g} h after baseline CT",
                Bounds(above=self.latest_followup_h),
            ),
        }
        of_paper = (
            replace(by_name[name], label=bounded[name][0], excludes=bounded[name][1])
            if name in bounded
            else by_name[name]
            for name in self.paper
        )
        of_plan = (
            Criterion(f"rule{number}", rule.label, rule.variable, rule.bounds)
            for number, rule in enumerate(self.rules, start=1)
        )
        return (*of_paper, *of_plan)

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that decide, each once."""
        return tuple(dict.fromkeys(criterion.variable for criterion in self.criteria))


def _may_hold(variable: Variable, value: float | str) -> bool:
    if variable.kind == "categorical":
        return value in variable.levels
    if variable.kind == "binary":
        return value in {0.0, 1.0}
    return isinstance(value, float) and variable.possible is not None and value in variable.possible
