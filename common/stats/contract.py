"""The contract of everything that is summed over sites.

``local(site_data, public_params) -> Summary`` at a site; ``Summary + Summary`` anywhere;
``finish(Summary, public_params) -> Result`` at the coordinator. Summaries are only
ever added, so one secure sum serves all statistics and the model updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np

from common.errors import NonFiniteError
from common.types import Counts, FlatWeights, Reals

Scalars = TypeVar("Scalars", Counts, Reals)
SummaryLayout: TypeAlias = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Kind, name and shape of each array of a summary: by kind, then sorted by name."""
Numbers = TypeVar("Numbers", Counts, Reals, FlatWeights)

_BLOCK = 1 << 16
_FEW = 32
_LARGEST = 2**62
"""Two counts below this can be added in 64 bits without overflow."""


@dataclass(frozen=True)
class Summary:
    """Named arrays of one site, or the sum of several sites'.

    Attributes
    ----------
    counts : mapping of str to int64 arrays
        Exact integers: numbers of patients, histograms, contingency tables. Below 2^62; read-only.
    reals : mapping of str to float64 arrays
        Sums of real quantities. Finite; read-only.
    updates : mapping of str to float32 arrays
        Weighted model updates, shape (parameters of the network,). Finite; single precision to save memory.

    Raises
    ------
    TypeError
        If a count is not an integer, or an update is not float32.
    NonFiniteError
        If a real or an update is NaN or infinite, or a count is 2^62 or more: a site refuses rather than
        spoil the sum.
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
        """The element-wise sum of two summaries.

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

    def layout(self) -> SummaryLayout:
        """Kind, name and shape of each array: two summaries can be added if these are equal."""
        return (
            *(("counts", name, array.shape) for name, array in sorted(self.counts.items())),
            *(("reals", name, array.shape) for name, array in sorted(self.reals.items())),
            *(("updates", name, array.shape) for name, array in sorted(self.updates.items())),
        )

    def blank(self, prefixes: Sequence[str]) -> Summary:
        """The same arrays, all zeros where they were put under one of these prefixes."""
        starts = tuple(f"{prefix}/" for prefix in prefixes)

        def keep(name: str, array: Numbers) -> Numbers:
            return np.zeros_like(array) if name.startswith(starts) else array

        return Summary(
            {name: keep(name, array) for name, array in self.counts.items()},
            {name: keep(name, array) for name, array in self.reals.items()},
            {name: keep(name, array) for name, array in self.updates.items()},
        )

    def keep_under(self, prefixes: Sequence[str]) -> Summary:
        """The arrays that were put under one of these prefixes, with their whole names."""
        starts = tuple(f"{prefix}/" for prefix in prefixes)
        return _wrap_checked(
            {name: array for name, array in self.counts.items() if name.startswith(starts)},
            {name: array for name, array in self.reals.items() if name.startswith(starts)},
            {name: array for name, array in self.updates.items() if name.startswith(starts)},
        )

    def under(self, prefix: str) -> Summary:
        """The same arrays, named ``prefix/name``, so that several summaries can travel as one."""
        return _wrap_checked(
            {f"{prefix}/{name}": array for name, array in self.counts.items()},
            {f"{prefix}/{name}": array for name, array in self.reals.items()},
            {f"{prefix}/{name}": array for name, array in self.updates.items()},
        )

    def part(self, prefix: str) -> Summary:
        """The summary that `under` put under this prefix; empty if there is none."""
        start = f"{prefix}/"
        return _wrap_checked(
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


def join_summaries(summaries: Iterable[Summary]) -> Summary:
    """One summary with the arrays of all, whose names must differ.

    Raises
    ------
    ValueError
        If two have an array of the same name.
    """
    counts: dict[str, Counts] = {}
    reals: dict[str, Reals] = {}
    updates: dict[str, FlatWeights] = {}
    for summary in summaries:
        repeated = (
            (counts.keys() & summary.counts)
            | (reals.keys() & summary.reals)
            | (updates.keys() & summary.updates)
        )
        if repeated:
            raise ValueError(f"two summaries have an array of one name: {sorted(repeated)}")
        counts.update(summary.counts)
        reals.update(summary.reals)
        updates.update(summary.updates)
    return _wrap_checked(counts, reals, updates)


def total(summaries: Iterable[Summary]) -> Summary:
    """The sum of one or more summaries, added from first to last so that every run gives the same bits.

    Raises
    ------
    TypeError
        If there is no summary.
    """
    return reduce(lambda left, right: left + right, summaries)


def _wrap_checked(
    counts: Mapping[str, Counts], reals: Mapping[str, Reals], updates: Mapping[str, FlatWeights]
) -> Summary:
    """A summary of arrays that stood in others: they were checked, and nobody can write to them."""
    summary = object.__new__(Summary)
    for kind, arrays in (("counts", counts), ("reals", reals), ("updates", updates)):
        object.__setattr__(summary, kind, MappingProxyType(arrays))
    return summary


def _as_counts(name: str, array: Counts) -> Counts:
    values = np.asarray(array)
    if values.dtype.kind not in "iu":
        raise TypeError(f"counts {name!r} must be integers, not {values.dtype}")
    low, high = _find_range(values)
    if max(-low, high) >= _LARGEST:
        raise NonFiniteError(f"counts {name!r} lie in [{low}, {high}]: 2^62 and more cannot be added safely")
    return _freeze(values.astype(np.int64))


def _find_range(values: Counts) -> tuple[int, int]:
    """The least and the greatest value and 0; most arrays have a few, over which Python is faster."""
    if values.size > _FEW:
        return int(values.min(initial=0)), int(values.max(initial=0))
    listed = [0, *values.ravel().tolist()]
    return min(listed), max(listed)


def _as_reals(name: str, array: Reals) -> Reals:
    values = np.asarray(array, dtype=np.float64)
    _check_finite(name, values)
    return _freeze(values.copy())


def _as_update(name: str, array: FlatWeights) -> FlatWeights:
    """The checked update, not copied: it may have 10^8 elements, and nobody else holds it.

    Raises
    ------
    TypeError
        If the array is not float32.
    """
    values = np.asarray(array)
    if values.dtype != np.float32:
        raise TypeError(f"update {name!r} must be float32, not {values.dtype}")
    _check_finite(name, values)
    return values


def are_finite(values: Reals | FlatWeights) -> bool:
    """Whether no value is NaN or infinite; by blocks, so that a large array needs no mask of its length."""
    flat = values.reshape(-1)
    return all(np.isfinite(flat[start : start + _BLOCK]).all() for start in range(0, flat.size, _BLOCK))


def _check_finite(name: str, values: Reals | FlatWeights) -> None:
    if not are_finite(values):
        raise NonFiniteError(
            f"summary {name!r} has {np.sum(~np.isfinite(values))} value(s) that are not finite"
        )


def _freeze(array: Scalars) -> Scalars:
    array.setflags(write=False)
    return array


def _check_same_layout(kind: str, left: Mapping[str, Numbers], right: Mapping[str, Numbers]) -> None:
    if left.keys() != right.keys():
        raise ValueError(f"summaries differ in {kind}: {sorted(left.keys() ^ right.keys())}")
    for name, array in left.items():
        if array.shape != right[name].shape:
            raise ValueError(f"{kind} {name!r}: shapes {array.shape} and {right[name].shape} cannot be added")
