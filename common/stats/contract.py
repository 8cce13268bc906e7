"""The one contract for everything that is summed over sites.

``local(site_data, public_params) -> Summary`` at a site; ``Summary + Summary`` anywhere;
``finish(Summary, public_params) -> Result`` at the coordinator. A summary is only ever added, so one
secure sum serves every statistic and the model updates alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np

from common.errors import NonFiniteError
from common.types import Counts, FlatWeights, Reals

Scalars = TypeVar("Scalars", Counts, Reals)
Layout: TypeAlias = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Kind, name and shape of each array of a summary, sorted."""
Numbers = TypeVar("Numbers", Counts, Reals, FlatWeights)

_LARGEST = 2**62
"""Two counts below this add without a wrap in 64 bits."""


@dataclass(frozen=True)
class Summary:
    """Named arrays of one site, or the sum of several sites'.

    Attributes
    ----------
    counts : mapping of str to int64 arrays
        Exact integers: numbers of patients, histograms, contingency tables.
    reals : mapping of str to float64 arrays
        Sums of real quantities.
    updates : mapping of str to float32 arrays
        Weighted model updates: as long as a network, so single precision.

    Raises
    ------
    TypeError
        If a count is not integer.
    NonFiniteError
        If a real is NaN or infinite, or a count beyond 2^62: a site refuses rather than poison the sum.
    """

    counts: Mapping[str, Counts] = field(default_factory=dict)
    reals: Mapping[str, Reals] = field(default_factory=dict)
    updates: Mapping[str, FlatWeights] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {name: _as_counts(name, array) for name, array in self.counts.items()}
        reals = {name: _as_reals(name, array) for name, array in self.reals.items()}
        updates = {name: _as_update(name, array) for name, array in self.updates.items()}
        object.__setattr__(self, "counts", MappingProxyType(counts))
        object.__setattr__(self, "reals", MappingProxyType(reals))
        object.__setattr__(self, "updates", MappingProxyType(updates))

    def __add__(self, other: Summary) -> Summary:
        """The element-wise sum.

        Raises
        ------
        ValueError
            If the two do not have the same names and shapes.
        """
        _check_same_layout("counts", self.counts, other.counts)
        _check_same_layout("reals", self.reals, other.reals)
        _check_same_layout("updates", self.updates, other.updates)
        return Summary(
            {name: array + other.counts[name] for name, array in self.counts.items()},
            {name: array + other.reals[name] for name, array in self.reals.items()},
            {name: array + other.updates[name] for name, array in self.updates.items()},
        )

    def layout(self) -> Layout:
        """What of its arrays must agree with another's for the two to add."""
        return (
            *(("counts", name, array.shape) for name, array in sorted(self.counts.items())),
            *(("reals", name, array.shape) for name, array in sorted(self.reals.items())),
            *(("updates", name, array.shape) for name, array in sorted(self.updates.items())),
        )

    def under(self, prefix: str) -> Summary:
        """The same arrays named ``prefix/name``, so that several summaries travel as one."""
        return Summary(
            {f"{prefix}/{name}": array for name, array in self.counts.items()},
            {f"{prefix}/{name}": array for name, array in self.reals.items()},
            {f"{prefix}/{name}": array for name, array in self.updates.items()},
        )

    def part(self, prefix: str) -> Summary:
        """What `under` put there; empty if nothing was."""
        start = f"{prefix}/"
        return Summary(
            {
                name.removeprefix(start): array
                for name, array in self.counts.items()
                if name.startswith(start)
            },
            {name.removeprefix(start): array for name, array in self.reals.items() if name.startswith(start)},
            {
                name.removeprefix(start): array
                for name, array in self.updates.items()
                if name.startswith(start)
            },
        )


def join(summaries: Iterable[Summary]) -> Summary:
    """One summary with the arrays of all; their names must differ.

    Raises
    ------
    ValueError
        If two have an array of the same name.
    """
    counts: dict[str, Counts] = {}
    reals: dict[str, Reals] = {}
    updates: dict[str, FlatWeights] = {}
    for summary in summaries:
        twice = (
            (counts.keys() & summary.counts)
            | (reals.keys() & summary.reals)
            | (updates.keys() & summary.updates)
        )
        if twice:
            raise ValueError(f"two summaries have an array of one name: {sorted(twice)}")
        counts.update(summary.counts)
        reals.update(summary.reals)
        updates.update(summary.updates)
    return Summary(counts, reals, updates)


def total(summaries: Iterable[Summary]) -> Summary:
    """The sum of at least one summary, added from first to last so that the bits do not depend on chance.

    Raises
    ------
    TypeError
        If there is none.
    """
    return reduce(lambda left, right: left + right, summaries)


def _as_counts(name: str, array: Counts) -> Counts:
    values = np.asarray(array)
    if values.dtype.kind not in "iu":
        raise TypeError(f"counts {name!r} must be integers, not {values.dtype}")
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if max(-low, high) >= _LARGEST:
        raise NonFiniteError(f"counts {name!r} lie in [{low}, {high}]: 2^62 and more cannot be added safely")
    return _frozen(values.astype(np.int64))


def _as_reals(name: str, array: Reals) -> Reals:
    values = np.asarray(array, dtype=np.float64)
    _check_finite(name, values)
    return _frozen(values.copy())


def _as_update(name: str, array: FlatWeights) -> FlatWeights:
    """Not copied: an update may have 10^8 elements and belongs to nobody else."""
    values = np.asarray(array)
    if values.dtype != np.float32:
        raise TypeError(f"update {name!r} must be float32, not {values.dtype}")
    _check_finite(name, values)
    return values


def _check_finite(name: str, values: Reals | FlatWeights) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteError(
            f"summary {name!r} has {np.sum(~np.isfinite(values))} value(s) that are not finite"
        )


def _frozen(array: Scalars) -> Scalars:
    array.setflags(write=False)
    return array


def _check_same_layout(kind: str, left: Mapping[str, Numbers], right: Mapping[str, Numbers]) -> None:
    if left.keys() != right.keys():
        raise ValueError(f"summaries differ in {kind}: {sorted(left.keys() ^ right.keys())}")
    for name, array in left.items():
        if array.shape != right[name].shape:
            raise ValueError(f"{kind} {name!r}: shapes {array.shape} and {right[name].shape} cannot be added")
