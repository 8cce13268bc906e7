"""The columns of the design matrix of a plan's models of the table, the same at every site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from common.cohort.schema import BY_NAME, Variable
from common.radiomics.features import FEATURES
from common.stats.covariates import Model, Term
from common.study import StudyPlan
from common.study_models import BRAIN, COVARIATES, INDEPENDENT, SCORE_OF
from common.variables import levels_of

MISSING = "missing"
"""The level of patients without a value, where the plan makes it one."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    variable : str
        Covariate.
    level : str
        1 for patients of this level, else 0; empty for a number and for the "yes" of a binary variable.
    """

    variable: str
    level: str = ""


@dataclass(frozen=True)
class Design:
    """All columns, in the order of Table 1; a factor's first level is the reference and has none."""

    columns: tuple[Column, ...]

    @cached_property
    def _places(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for index, column in enumerate(self.columns):
            found[column.variable] = (*found.get(column.variable, ()), index)
        return found

    def term(self, name: str) -> Term:
        """A covariate as a model takes it.

        Raises
        ------
        ValueError
            If the plan has no such covariate.
        """
        own = self._places.get(name, ())
        if not own:
            raise ValueError(f"the plan's models have no covariate {name!r}")
        return Term(name, own, binary=is_factor(name))

    def model(self, names: Sequence[str]) -> Model:
        """A model of these covariates."""
        return Model(tuple(self.term(name) for name in names))


def design_of(plan: StudyPlan) -> Design:
    """The design of every covariate that the plan's regressions and models of the table can come to take.

    Variables of Table 1 and the BRAIN score, then the scores of networks, then radiomics features.
    """
    used = set(plan.regression.candidates) if "regression" in plan.phases else set()
    for model in plan.table_models:
        used |= set(plan.regression.candidates if INDEPENDENT in model.covariates else ())
        used |= set(model.covariates)
    names = [name for name in COVARIATES if name in used]
    names += sorted(name for name in used if name.startswith(SCORE_OF))
    names += FEATURES if plan.takes_radiomics else ()
    missing = plan.regression.missing == "level"
    return Design(tuple(Column(name, level) for name in names for level in _levels(name, missing=missing)))


def is_factor(name: str) -> bool:
    """Whether a covariate has levels: it is binary or categorical."""
    return name in BY_NAME and BY_NAME[name].kind != "continuous"


def reference_of(name: str) -> str:
    """The level that a categorical covariate's others are compared with; empty for any other covariate."""
    variable = BY_NAME.get(name)
    return levels_of(variable)[0] if variable is not None and variable.kind == "categorical" else ""


def covariate_label(name: str) -> str:
    """As the paper prints it; features and scores by their own names."""
    if name.startswith(SCORE_OF):
        return f"{name.removeprefix(SCORE_OF)} (logit of the score)"
    return "BRAIN score" if name == BRAIN else BY_NAME[name].label if name in BY_NAME else name


def covariate_unit(name: str) -> str:
    """Of a number; empty for others."""
    return "point" if name == BRAIN else BY_NAME[name].unit if name in BY_NAME else ""


def _levels(name: str, *, missing: bool) -> tuple[str, ...]:
    if not is_factor(name):
        return ("",)
    return (*_own_levels(BY_NAME[name]), *((MISSING,) if missing else ()))


def _own_levels(variable: Variable) -> tuple[str, ...]:
    return ("",) if variable.kind == "binary" else levels_of(variable)[1:]
