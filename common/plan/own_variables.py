"""The variables that a plan declares beyond the paper's: further columns of the hospitals' tables."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from common.cohort.schema import BY_NAME, TABLE_ONE
from common.cohort.variable import Range, Variable
from common.runtime.settings_file import COLUMN_PATTERN, Section
from common.stats.recording_grid import RecordingGrid

OwnKind: TypeAlias = Literal["binary", "categorical", "count", "continuous"]
"""binary: 0 or 1; categorical: one of some levels; count: a whole number; continuous: any number."""
OwnRole: TypeAlias = Literal["baseline", "radiomics", "other"]
"""What a plan's own variable is for; see `PlannedVariable.role`."""

MISSING_LEVEL = "missing"
"""The level of patients without a value, where the plan treats missing values as a level."""

_USUAL_VALUES, _MOST_VALUES = 10_000, 100_000
"""Values of a grid at most: where the plan names no resolution, and where it does."""

ColumnName = Annotated[str, Field(pattern=COLUMN_PATTERN)]
"""A heading: a letter first, then letters, digits and underscores."""


class PlannedVariable(Section):
    """One column of the hospitals' tables that the paper does not have."""

    name: ColumnName
    """The column's heading in the hospitals' tables, e.g. "gcs"; none of the paper's columns."""
    kind: OwnKind
    """"binary": 0 or 1; "categorical": one of `levels`; "count": a whole number within `range`;
    "continuous": a number within `range`."""
    label: str = Field(default="", max_length=60)
    """What tables print, e.g. "Glasgow Coma Scale"; by default the heading."""
    meaning: str = Field(default="", max_length=300)
    """Explanation for whoever fills in the table: what is measured, when, and how."""
    levels: tuple[str, ...] = Field(default=(), max_length=20)
    """Of a categorical variable, in the order of the tables; the first is the reference of regressions."""
    unit: str = Field(default="", max_length=20)
    """Of a count or a number, e.g. "mmol/l"; empty for a pure number. Odds ratios are per unit."""
    range: tuple[float, float] | None = None
    """Smallest and largest possible value of a count or a number, both included. A cell outside is a writing
    error, and refuses its row."""
    resolution: float | None = Field(default=None, gt=0)
    """Step at which a number is recorded, e.g. 0.1: quartiles and rank tests of Table 1 are on this grid. By
    default 1 for counts, and for numbers the power of ten that divides the range into at most 10,000."""
    role: OwnRole = "baseline"
    """"baseline": described in Table 1 and screened in Table 2; "radiomics": one of the columns among which
    the LASSO selects where a model takes "radiomics", in place of the features that rhe extracts itself;
    "other": neither, but may be a covariate, a subgroup, a score or a rule of eligibility."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        self._check_levels()
        if self.is_number != (self.range is not None):
            raise ValueError(
                f"{self.name}: a {self.kind} variable "
                + ("needs range = [smallest, largest]" if self.is_number else "has no range -> remove it")
            )
        if not self.is_number and (self.unit or self.resolution is not None):
            raise ValueError(f"{self.name}: a {self.kind} variable has no unit and no resolution")
        if self.range is not None:
            self._check_range(*self.range)
        if self.role == "radiomics" and not self.is_number:
            # Products of a yes that few patients have would be these patients' rows
            raise ValueError(f"{self.name}: the LASSO takes counts and numbers alone -> another role")
        return self

    def _check_levels(self) -> None:
        if (self.kind == "categorical") != bool(self.levels):
            raise ValueError(f"{self.name}: levels belong to categorical variables, and to all of them")
        plain = [level.strip().lower() for level in self.levels]
        if len(plain) == 1 or len(set(plain)) < len(plain) or "" in plain or MISSING_LEVEL in plain:
            raise ValueError(
                f"{self.name}: {list(self.levels)} are no levels -> at least two, all different, none blank "
                f'or "{MISSING_LEVEL}"'
            )

    def _check_range(self, low: float, high: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{self.name}: {low:g} to {high:g} is no range -> the smaller number first")
        if self.kind == "count" and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"{self.name}: counts are whole numbers, so the range's ends are, too")
        if self.grid.bins > _MOST_VALUES:
            raise ValueError(
                f"{self.name}: resolution = {self.grid.resolution:g} makes {self.grid.bins:,} values of "
                f"{low:g} to {high:g} -> at most {_MOST_VALUES:,}"
            )

    @property
    def is_number(self) -> bool:
        """Whether it is a count or any number."""
        return self.kind in {"count", "continuous"}

    @cached_property
    def variable(self) -> Variable:
        """The column as tables are read and described by."""
        return Variable(
            name=self.name,
            kind="continuous" if self.is_number else self.kind,  # type: ignore[arg-type]
            group="own",
            label=self.label or self.name,
            meaning=self.meaning or self.label or "A variable of the study plan",
            unit=self.unit,
            possible=None if self.range is None else Range(*self.range),
            levels=self.levels,
            whole=self.kind == "count",
            decimals=self.grid.decimals if self.is_number else 2,
        )

    @cached_property
    def grid(self) -> RecordingGrid:
        """The values on which all sites count it.

        Raises
        ------
        ValueError
            If it is no number.
        """
        if self.range is None:
            raise ValueError(f"{self.name} is {self.kind}, no number")
        low, high = self.range
        step = self.resolution or (1.0 if self.kind == "count" else _choose_step(high - low))
        decimals = max(2, -math.floor(math.log10(step)))
        return RecordingGrid(low, step, math.floor((high - low) / step + 1e-9) + 1, decimals)


def _choose_step(width: float) -> float:
    """The finest power of ten that divides the width into no more than `_USUAL_VALUES`."""
    return float(10.0 ** math.ceil(math.log10(width / _USUAL_VALUES) - 1e-9))


_declared: ContextVar[tuple[PlannedVariable, ...]] = ContextVar("variables that a plan declares", default=())
_misdeclared: ContextVar[frozenset[str]] = ContextVar(
    "names of variables declared with a fault", default=frozenset()
)


@contextmanager
def declare_while_reading(written: object) -> Iterator[None]:
    """While a plan is read: let its sections name the variables that it declares.

    Parameters
    ----------
    written : object
        As under `variables` in the plan; what is no variable is left to the model, which refuses it.
    """
    readable = tuple(_list_readable(written))
    names = _list_written_names(written) - {planned.name for planned in readable}
    token, other_token = _declared.set(readable), _misdeclared.set(names)
    try:
        yield
    finally:
        _declared.reset(token)
        _misdeclared.reset(other_token)


def find_readable(name: str) -> Variable | None:
    """A variable of the schema, or one that the plan declares that is being read; None if there is none."""
    return next((one for one in list_declared() if one.name == name), BY_NAME.get(name))


def list_declared() -> tuple[Variable, ...]:
    """The variables that the plan declares that is being read."""
    return tuple(planned.variable for planned in _declared.get())


def find_unknown(names: Iterable[str], known: Collection[str]) -> list[str]:
    """The names that are none of the known ones.

    Of a variable that is declared with a fault nothing is said: the plan is refused for that fault, and what
    else names the variable is right once the fault is mended.
    """
    return [name for name in names if name not in known and not is_misdeclared(name)]


def is_misdeclared(name: str) -> bool:
    """Whether the plan that is being read declares a variable of that name with a fault."""
    return name in _misdeclared.get()


def _list_written_names(written: object) -> frozenset[str]:
    names = (
        one.get("name") if isinstance(one, Mapping) else getattr(one, "name", None)
        for one in (written if isinstance(written, list | tuple) else ())
    )
    return frozenset(name for name in names if isinstance(name, str))


def _list_readable(written: object) -> Iterator[PlannedVariable]:
    for one in written if isinstance(written, list | tuple) else ():
        with suppress(ValueError):
            yield PlannedVariable.model_validate(one)


def fill_in(written: Mapping[str, Any]) -> dict[str, Any]:
    """The plan with what its own variables imply where it says nothing, so that the hash holds it.

    Candidates of the regression are the variables of Table 1; a score has the range of its variable, and
    steps of 1 if that is a count.
    """
    plan, declared = dict(written), _declared.get()
    cohort, regression = plan.get("cohort", {}), plan.get("regression", {})
    described = cohort.get("described") if isinstance(cohort, Mapping) else None
    if (declared or described) and isinstance(regression, Mapping) and "candidates" not in regression:
        plan["regression"] = {**regression, "candidates": _choose_candidates(described, declared)}
    if isinstance(models := plan.get("models"), list | tuple):
        plan["models"] = [_fill_in_score(model) for model in models]
    return plan


def _choose_candidates(described: object, declared: Iterable[PlannedVariable]) -> list[str]:
    """What Table 1 describes; a name that `described` has by mistake is refused there, and not here again."""
    if not isinstance(described, list | tuple) or not described:
        return list_described_names(declared)
    known = {one.name for one in (*TABLE_ONE, *list_declared())}
    return [name for name in described if isinstance(name, str) and name in known] or list(described)


def list_described_names(declared: Iterable[PlannedVariable]) -> list[str]:
    """The paper's variables of Table 1, then those of a plan that have the role "baseline"."""
    own = (one.name for one in declared if one.role == "baseline")
    return list(dict.fromkeys((*(one.name for one in TABLE_ONE), *own)))


def _fill_in_score(model: object) -> object:
    if not isinstance(model, Mapping) or model.get("kind") != "scores" or {"low", "high"} & model.keys():
        return model
    planned = next((one for one in _declared.get() if one.name == model.get("column")), None)
    if planned is None or planned.range is None:
        return model
    steps = {"step": 1.0} if planned.kind == "count" and "step" not in model else {}
    return {**model, "low": planned.range[0], "high": planned.range[1], **steps}
