"""What every result consists of: value, interval, numbers of patients, and whether it may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, Self, TypeAlias

LEVEL = 0.95
"""Confidence level of every interval."""

Z = 1.959963984540054
"""Two-sided standard normal quantile of that level, written out: a reader of statuses must not load scipy."""


StatusKind: TypeAlias = Literal["ok", "suppressed", "undefined"]


@dataclass(frozen=True)
class Status:
    """Whether a result has a number, and if not, why.

    Attributes
    ----------
    kind : {"ok", "suppressed", "undefined"}
        "suppressed": withheld because too few patients stand behind it; "undefined": it does not exist.
    reason : str
        Why there is no number, or of a number why it has no interval, for the reader of the report; it never
        tells a number that is hidden.
    """

    kind: StatusKind
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the result has a number."""
        return self.kind == "ok"

    def __str__(self) -> str:
        """The status as a footnote prints it, e.g. "suppressed(fewer than 10 positives)"."""
        return f"{self.kind}({self.reason})" if self.reason else self.kind


OK = Status("ok")
"""The status of a result with a number."""


def suppressed(reason: str) -> Status:
    """The status of a number that is withheld, for this reason."""
    return Status("suppressed", reason)


def undefined(reason: str) -> Status:
    """The status of a number that does not exist, for this reason."""
    return Status("undefined", reason)


PRINTED_TEST: Final = "a P-value that a table prints"
"""Marks a field of a result: the report counts those that are there."""
PValue: TypeAlias = Annotated[float, PRINTED_TEST]
"""P of a test that a table prints; the report says how many there are."""

NO_DISAGREEMENT = "no disagreement was seen"
"""Why an agreement of 1 has no interval."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was computed.

    Attributes
    ----------
    low, high : float
        Its limits, in the unit of the value.
    method : str
        Name of the method, e.g. "wilson".
    """

    low: float
    high: float
    method: str


NOT_FILED = {"exclude": True}
"""Metadata of a field that the results file leaves out, in pydantic's words."""

_COARSE = 3
"""Decimals kept of a number whose further decimals would tell how many patients it is computed from."""


def coarse(value: float, interval: Interval | None = None) -> tuple[float, Interval | None]:
    """A share and its interval, rounded so that they do not tell the denominator (of an AUC: its pairs)."""
    if interval is not None:
        low, high = round(interval.low, _COARSE), round(interval.high, _COARSE)
        interval = replace(interval, low=low, high=high)
    return round(value, _COARSE), interval


@dataclass(frozen=True)
class Estimate:
    """One number with everything that a reader needs to judge it, as the results file holds it.

    Attributes
    ----------
    value : float or None
        None unless the standing is ok.
    low, high : float or None
        Limits of the 95 % confidence interval, in the unit of the value; None where there is no interval.
    method : str
        Of the interval; of the value where there is no interval.
    standing : Status
        Whether there is a value, and if not, why.
    n_used, n_missing : int or None
        Patients it was computed from, and those left out; None where the number may not be shown. The results
        file states them once for all numbers of the same patients, and leaves them out here.

    Raises
    ------
    ValueError
        If there is a value or an interval and the standing is not ok, or no value and it is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    standing: Status = OK
    n_used: int | None = field(default=None, metadata=NOT_FILED)
    n_missing: int | None = field(default=None, metadata=NOT_FILED)

    def __post_init__(self) -> None:
        if (self.value is None) == self.standing.ok:
            raise ValueError(f"an estimate {self.standing} cannot have the value {self.value}")
        if self.value is None and (self.low is not None or self.high is not None):
            raise ValueError(f"an estimate {self.standing} cannot have an interval")

    @classmethod
    def of(
        cls,
        value: float,
        interval: Interval | None,
        method: str,
        n_used: int | None = None,
        n_missing: int | None = None,
    ) -> Self:
        """The value with its interval; the method counts where there is no interval."""
        if interval is None:
            return cls(value, method=method, n_used=n_used, n_missing=n_missing)
        return cls(value, interval.low, interval.high, interval.method, OK, n_used, n_missing)


def absent(status: Status, method: str, n_used: int | None = None, n_missing: int | None = None) -> Estimate:
    """An estimate without a value; the status says why."""
    return Estimate(None, method=method, standing=status, n_used=n_used, n_missing=n_missing)


def explain_no_interval(estimate: Estimate, reason: str) -> Estimate:
    """An estimate that has a value and no interval, with the reason; any other as it is."""
    if estimate.value is None or estimate.low is not None or estimate.high is not None:
        return estimate
    return replace(estimate, standing=Status("ok", f"no interval: {reason}"))


PEstimate: TypeAlias = Annotated[Estimate, PRINTED_TEST]
"""The same as an estimate, with why there is none."""
