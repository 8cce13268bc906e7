"""The columns of the design matrix of a plan's table models, the same at every site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.cohort.schema import BY_NAME, Variable
from common.models.brain_score import BrainA
from common.plan.models import BRAIN, COVARIATES, INDEPENDENT, SCORE_OF
from common.plan.study import StudyPlan
from common.plan.variables import levels_of
from common.radiomics.features import FEATURES
from common.stats.covariates import Model, Term
from common.types import Reals

MISSING_LEVEL = "missing"
"""The level of patients without a value, where the plan treats missing values as a level."""


@dataclass(frozen=True)
class Column:
    """One column of the design matrix.

    Attributes
    ----------
    variable : str
        The covariate.
    level : str
        The level coded as 1, others as 0; empty for a number and for the "yes" of a binary variable.
    """

    variable: str
    level: str = ""


@dataclass(frozen=True)
class Design:
    """All columns of the design matrix; a factor's first level is its reference and has no column.

    Attributes
    ----------
    columns : tuple of Column
        In the matrix' order: Table 1, the BRAIN score, scores of networks, radiomics features.
    brain_a : BrainA
        Which column of the table gives A of the BRAIN score.
    """

    columns: tuple[Column, ...]
    brain_a: BrainA = "warfarin"

    @cached_property
    def _places(self) -> dict[str, tuple[int, ...]]:
        places: dict[str, tuple[int, ...]] = {}
        for index, column in enumerate(self.columns):
            places[column.variable] = (*places.get(column.variable, ()), index)
        return places

    def term(self, name: str) -> Term:
        """The columns of a covariate, as a model uses them.

        Raises
        ------
        ValueError
            If the plan has no such covariate.
        """
        columns = self._places.get(name, ())
        if not columns:
            raise ValueError(f"the plan's models have no covariate {name!r}")
        return Term(name, columns, binary=is_factor(name))

    def model(self, names: Sequence[str]) -> Model:
        """A model of these covariates."""
        return Model(tuple(self.term(name) for name in names))

    def centre_on(self, means: Mapping[str, float]) -> Reals:
        """What setups subtract from each column, shape (columns,): a feature's mean, by its name; else 0."""
        return np.array([means.get(column.variable, 0.0) for column in self.columns])


def design_of(plan: StudyPlan) -> Design:
    """The design with every covariate that the plan's regressions and table models can use.

    Variables of Table 1 and the BRAIN score come first, then scores of networks, then radiomics features.
    """
    used = set(plan.regression.candidates) if "regression" in plan.phases else set()
    for model in plan.table_models:
        used |= set(plan.regression.candidates if INDEPENDENT in model.covariates else ())
        used |= set(model.covariates)
    names = [name for name in COVARIATES if name in used]
    names += sorted(name for name in used if name.startswith(SCORE_OF))
    names += FEATURES if plan.takes_radiomics else ()
    missing = plan.regression.missing == "level"
    columns = (Column(name, level) for name in names for level in _levels(name, missing=missing))
    return Design(tuple(columns), plan.cohort.brain_a)


def is_factor(name: str) -> bool:
    """Whether a covariate has levels: it is binary or categorical."""
    return name in BY_NAME and BY_NAME[name].kind != "continuous"


def reference_of(name: str) -> str:
    """The reference level of a categorical covariate; empty for any other covariate."""
    variable = BY_NAME.get(name)
    return levels_of(variable)[0] if variable is not None and variable.kind == "categorical" else ""


def covariate_label(name: str, brain_a: BrainA = "warfarin") -> str:
    """The covariate's label in the paper; features and scores have their own names.

    The BRAIN score says which of its two definitions it has, unless it is the published one.
    """
    if name.startswith(SCORE_OF):
        return f"{name.removeprefix(SCORE_OF)} (logit of the score)"
    if name == BRAIN:
        return "BRAIN score" if brain_a == "warfarin" else "BRAIN score (A: any anticoagulation)"
    return BY_NAME[name].label if name in BY_NAME else name


def covariate_unit(name: str) -> str:
    """The unit of a numeric covariate; empty for others."""
    return "point" if name == BRAIN else BY_NAME[name].unit if name in BY_NAME else ""


def _levels(name: str, *, missing: bool) -> tuple[str, ...]:
    if not is_factor(name):
        return ("",)
    return (*_levels_of_factor(BY_NAME[name]), *((MISSING_LEVEL,) if missing else ()))


def _levels_of_factor(variable: Variable) -> tuple[str, ...]:
    return ("",) if variable.kind == "binary" else levels_of(variable)[1:]
