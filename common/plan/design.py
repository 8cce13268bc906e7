"""The columns of the design matrix of a plan's table models, the same at every site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np

from common.cohort.schema import BY_NAME, Variable
from common.models.brain_score import BrainA
from common.plan.models import BRAIN, COVARIATES, INDEPENDENT, SCORE_OF
from common.plan.own_variables import MISSING_LEVEL
from common.plan.study import StudyPlan
from common.plan.variables import levels_of
from common.radiomics.features import FEATURES
from common.stats.covariates import Model, Term
from common.types import Reals

_NOTHING_OWN: Mapping[str, Variable] = MappingProxyType({})


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
        In the matrix' order: Table 1, the BRAIN score, own variables, scores of networks, then what a LASSO
        selects among.
    brain_a : BrainA
        Which column of the table gives A of the BRAIN score.
    own : mapping of str to Variable
        The plan's own variables by heading.
    """

    columns: tuple[Column, ...]
    brain_a: BrainA = "warfarin"
    own: Mapping[str, Variable] = field(default_factory=dict, hash=False)

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
        return Term(name, columns, binary=is_factor(name, self.own))

    def model(self, names: Sequence[str]) -> Model:
        """A model of these covariates."""
        return Model(tuple(self.term(name) for name in names))

    def centre_on(self, means: Mapping[str, float]) -> Reals:
        """What setups subtract from each column, shape (columns,): a feature's mean, by its name; else 0."""
        return np.array([means.get(column.variable, 0.0) for column in self.columns])


def design_of(plan: StudyPlan) -> Design:
    """The design with every covariate that the plan's regressions and table models can use.

    The paper's variables and the BRAIN score come first, then the plan's own, then scores of networks, then
    what a LASSO selects among.
    """
    used = set(plan.regression.candidates) if "regression" in plan.phases else set()
    for model in plan.table_models:
        used |= set(plan.regression.candidates if INDEPENDENT in model.covariates else ())
        used |= set(model.covariates)
    own = plan.own_variables
    names = [name for name in (*COVARIATES, *own) if name in used]
    names += sorted(name for name in used if name.startswith(SCORE_OF))
    selectable = list_selectable(plan) if plan.takes_radiomics else ()
    names += [name for name in selectable if name not in names]
    missing = plan.regression.missing == "level"
    if own:
        return Design(_list_columns(names, own, missing=missing), plan.cohort.brain_a, own)
    return _build_design(tuple(names), plan.cohort.brain_a, missing=missing)


@lru_cache(maxsize=16)
def _build_design(names: tuple[str, ...], brain_a: BrainA, *, missing: bool) -> Design:
    """Kept, because every question asks for it anew and 851 features take a millisecond."""
    return Design(_list_columns(names, _NOTHING_OWN, missing=missing), brain_a)


def _list_columns(names: Sequence[str], own: Mapping[str, Variable], *, missing: bool) -> tuple[Column, ...]:
    return tuple(Column(name, level) for name in names for level in _levels(name, own, missing=missing))


def list_selectable(plan: StudyPlan) -> tuple[str, ...]:
    """What a LASSO selects among: columns of the table where the plan names any, else extracted features."""
    return plan.selectable_columns or FEATURES


def is_factor(name: str, own: Mapping[str, Variable] = _NOTHING_OWN) -> bool:
    """Whether a covariate has levels: it is binary or categorical."""
    variable = _find_variable(name, own)
    return variable is not None and variable.kind != "continuous"


def reference_of(name: str, own: Mapping[str, Variable] = _NOTHING_OWN) -> str:
    """The reference level of a categorical covariate; empty for any other covariate."""
    variable = _find_variable(name, own)
    return levels_of(variable)[0] if variable is not None and variable.kind == "categorical" else ""


def covariate_label(
    name: str, brain_a: BrainA = "warfarin", own: Mapping[str, Variable] = _NOTHING_OWN
) -> str:
    """The covariate's label in the paper or the plan; features and scores have their own names.

    The BRAIN score says which of its two definitions it has, unless it is the published one.
    """
    if name.startswith(SCORE_OF):
        return f"{name.removeprefix(SCORE_OF)} (logit of the score)"
    if name == BRAIN:
        return "BRAIN score" if brain_a == "warfarin" else "BRAIN score (A: any anticoagulation)"
    variable = _find_variable(name, own)
    return name if variable is None else variable.label


def covariate_unit(name: str, own: Mapping[str, Variable] = _NOTHING_OWN) -> str:
    """The unit of a numeric covariate; empty for others."""
    if name == BRAIN:
        return "point"
    variable = _find_variable(name, own)
    return "" if variable is None else variable.unit


def _find_variable(name: str, own: Mapping[str, Variable]) -> Variable | None:
    return own.get(name) or BY_NAME.get(name)


def _levels(name: str, own: Mapping[str, Variable], *, missing: bool) -> tuple[str, ...]:
    variable = _find_variable(name, own)
    if variable is None or variable.kind == "continuous":
        return ("",)
    return (*_levels_of_factor(variable), *((MISSING_LEVEL,) if missing else ()))


def _levels_of_factor(variable: Variable) -> tuple[str, ...]:
    return ("",) if variable.kind == "binary" else levels_of(variable)[1:]
