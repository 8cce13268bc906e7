"""What every record of the results file is made of: counts, and numbers with their interval and status."""

from __future__ import annotations

from typing import Annotated, Self, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from common.runtime.settings_file import Section
from common.stats.estimate import OK, Estimate, Interval, Status, suppressed, undefined

Count: TypeAlias = Annotated[int, Field(ge=0)]
"""A number of patients, of centres or of features."""

STAYED = suppressed("the model stayed at its centre")
"""Status of a model of the table that was trained at one centre and not released."""


class Record(Section):
    """A part of the results: frozen, no unknown key, no number that is not finite.

    The same holds for the dataclasses of `common.stats` that a record contains.
    """

    model_config = ConfigDict(allow_inf_nan=False, revalidate_instances="always")


class Measure(Record):
    """One number with its interval."""

    value: float | None
    """None unless it is ok."""
    low: float | None = None
    """Lower 95 % bound."""
    high: float | None = None
    """Upper 95 % bound."""
    method: str = ""
    """Of the interval; of the number where there is no interval."""
    standing: Status = OK
    """Whether the number is there, and if not, why."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.value is None) == self.standing.ok:
            raise ValueError(f"a measure that is {self.standing.kind} cannot have the value {self.value}")
        if self.value is None and (self.low is not None or self.high is not None):
            raise ValueError(f"a measure that is {self.standing.kind} cannot have an interval")
        return self


def make_measure(value: float | None, interval: Interval | None, method: str, status: Status) -> Measure:
    """The number as the results file holds it; one that is missing in spite of its status was not estimated.

    Raises
    ------
    ValueError
        If there is a value or an interval and the status is not ok, or if a number is not finite.
    """
    missing = value is None and status.ok
    return Measure(
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else method,
        standing=undefined("not estimated") if missing else status,
    )


def measure_of(estimate: Estimate) -> Measure:
    """The estimate as the results file holds it."""
    return make_measure(estimate.value, estimate.interval, estimate.method, estimate.status)
