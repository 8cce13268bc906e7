"""What every result is made of: a value, its interval, how many patients, and whether it may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtri

LEVEL = 0.95
"""Confidence level of every interval."""

Z = float(ndtri((1 + LEVEL) / 2))
"""The standard normal's quantile that belongs to it, two-sided: 1.96."""


@dataclass(frozen=True)
class Status:
    """Whether a number is there, and if not, why.

    Attributes
    ----------
    kind : {"ok", "suppressed", "undefined"}
        "suppressed": withheld because too few patients stand behind it; "undefined": it does not exist.
    reason : str
        For the reader of the report; never a number that the suppression hides.
    """

    kind: Literal["ok", "suppressed", "undefined"]
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a number."""
        return self.kind == "ok"

    def __str__(self) -> str:
        """As a footnote prints it, e.g. "suppressed(fewer than 10 positives)"."""
        return f"{self.kind}({self.reason})" if self.reason else self.kind


OK = Status("ok")


def suppressed(reason: str) -> Status:
    """The status of a number withheld."""
    return Status("suppressed", reason)


def undefined(reason: str) -> Status:
    """The status of a number that does not exist."""
    return Status("undefined", reason)


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    method: str
    level: float = LEVEL


@dataclass(frozen=True)
class Estimate:
    """One number with all that a reader needs to judge it.

    Attributes
    ----------
    value : float or None
        None unless the status is ok.
    interval : Interval or None
    n_used, n_missing : int or None
        Patients it was computed from, and those left out; None where the number may not be shown.
    method : str
    status : Status
    """

    value: float | None
    interval: Interval | None
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status = OK

    def __post_init__(self) -> None:
        if (self.value is None) == self.status.ok:
            raise ValueError(f"an estimate {self.status} cannot have the value {self.value}")
        if self.interval is not None and not self.status.ok:
            raise ValueError(f"an estimate {self.status} cannot have an interval")


def absent(status: Status, method: str, n_used: int | None = None, n_missing: int | None = None) -> Estimate:
    """An estimate without a value, with the reason."""
    return Estimate(None, None, n_used, n_missing, method, status)
