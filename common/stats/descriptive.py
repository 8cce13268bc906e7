"""A continuous variable by group: number, mean, SD and quartiles, from power sums and histograms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.errors import NonFiniteError
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.moments import Moments, moments_of, power_sums
from common.stats.recording_grid import Quantile, QuantileType, RecordingGrid, quantile
from common.types import Counts, Reals

QUARTILES = (0.25, 0.5, 0.75)
"""Probabilities of the quantiles described."""


@dataclass(frozen=True)
class Description:
    """One continuous variable in one group.

    Attributes
    ----------
    n_used, n_missing : int or None
        Patients with a value, and those without. None where the number may not be shown; then the other
        numbers are rounded until they do not tell it.
    mean, sd : float or None
        In the variable's unit; SD with n - 1 degrees of freedom.
    first_quartile, median, third_quartile : Quantile or None
        In the variable's unit.
    method : str
        Kind of the quantiles.
    status : Status
        Suppressed below the minimum group; undefined without any value.
    """

    n_used: int | None
    n_missing: int | None
    mean: float | None
    sd: float | None
    first_quartile: Quantile | None
    median: Quantile | None
    third_quartile: Quantile | None
    method: str
    status: Status


def local_descriptive(values: Reals, groups: Counts, n_groups: int, grid: RecordingGrid) -> Summary:
    """One site's numbers, power sums and histograms by group.

    Parameters
    ----------
    values : float array, shape (n,)
        NaN where missing.
    groups : int array, shape (n,)
        In 0 ... n_groups - 1.

    Returns
    -------
    Summary
        Counts "n" and "missing" (groups,), "histogram" (groups, bins + 2); reals "power_sums" (groups, 4).

    Raises
    ------
    NonFiniteError
        If a value is infinite.
    ValueError
        If shapes differ or a group is unknown.
    """
    numbers = np.asarray(values, dtype=np.float64)
    check_groups(numbers, groups, n_groups)
    if np.isinf(numbers).any():
        raise NonFiniteError("a value is infinite -> correct it in the cohort table")
    present = ~np.isnan(numbers)
    parts = [numbers[present & (groups == group)] for group in range(n_groups)]
    missing = [np.count_nonzero(~present & (groups == group)) for group in range(n_groups)]
    return Summary(
        counts={
            "n": np.array([part.size for part in parts]),
            "missing": np.array(missing),
            "histogram": np.stack([grid.histogram(part) for part in parts]),
        },
        reals={"power_sums": np.stack([power_sums(part, grid) for part in parts])},
    )


def check_groups(values: Reals | Counts, groups: Counts, n_groups: int) -> None:
    """Refuse groups that do not belong to the values.

    Raises
    ------
    ValueError
        If shapes differ or a group is unknown.
    """
    if values.ndim != 1 or values.shape != groups.shape:
        raise ValueError(f"values {values.shape} and groups {groups.shape} do not belong together")
    if groups.size and (groups.min() < 0 or groups.max() >= n_groups):
        raise ValueError(f"groups {groups.min()} ... {groups.max()} are not all among {n_groups}")


def group_moments(summary: Summary, grid: RecordingGrid) -> tuple[Moments, ...]:
    """The pooled moments of each group; they must not be released as they are."""
    numbers, sums = summary.counts["n"], summary.reals["power_sums"]
    return tuple(moments_of(int(n), row, grid) for n, row in zip(numbers, sums, strict=True))


def finish_descriptive(
    summary: Summary, grid: RecordingGrid, minima: Minima = STANDARD, kind: QuantileType = 7
) -> tuple[Description, ...]:
    """The description of each group."""
    return tuple(
        _describe(moments, int(missing), histogram, _Terms(grid, minima, kind))
        for moments, missing, histogram in zip(
            group_moments(summary, grid), summary.counts["missing"], summary.counts["histogram"], strict=True
        )
    )


def withhold_description(method: str, status: Status) -> Description:
    """The description of a group without any number, and the status that says why."""
    return Description(None, None, *_NOTHING, method, status)


@dataclass(frozen=True)
class _Terms:
    """How a group is described: the variable's grid, the study's minima, the kind of quantile."""

    grid: RecordingGrid
    minima: Minima
    kind: QuantileType


def _describe(moments: Moments, missing: int, histogram: Counts, terms: _Terms) -> Description:
    minima = terms.minima
    n_missing = minima.show(missing)
    # The size of a group is known: the number used would give the number missing away.
    n_used = None if n_missing is None else minima.show(moments.n)
    method = f"quantiles type {terms.kind}"
    if moments.n == 0:
        return Description(n_used, n_missing, *_NOTHING, method, undefined("no values"))
    if moments.n < minima.group:
        reason = suppressed(f"fewer than {minima.group} values")
        return Description(n_used, n_missing, *_NOTHING, method, reason)
    lower, median, upper = (quantile(histogram, p, terms.grid, terms.kind) for p in QUARTILES)
    mean, sd = moments.mean, moments.sd if moments.n > 1 else None
    if n_missing is None:
        # In full, the mean of whole numbers tells its denominator, and so does the fraction of a quartile.
        step = terms.grid.resolution
        mean, sd = _round_to(mean, step / 10), None if sd is None else _round_to(sd, step / 10)
        lower, median, upper = (
            replace(quartile, value=_round_to(quartile.value, step), error_bound=step)
            for quartile in (lower, median, upper)
        )
    return Description(n_used, n_missing, mean, sd, lower, median, upper, method, OK)


def _round_to(value: float, step: float) -> float:
    """The nearest multiple of a step."""
    return round(round(value / step) * step, 12)


_NOTHING = (None, None, None, None, None)
