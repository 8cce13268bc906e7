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
from typing import TypeVar

import numpy as np

from common.errors import NonFiniteError
from common.types import Counts, Reals

Scalars = TypeVar("Scalars", Counts, Reals)


@dataclass(frozen=True)
class Summary:
    """Named arrays of one site, or the sum of several sites'.

    Attributes
    ----------
    counts : mapping of str to int64 arrays
        Exact integers: numbers of patients, histograms, contingency tables.
    reals : mapping of str to float64 arrays
        Sums of real quantities.

    Raises
    ------
    TypeError
        If a count is not integer.
    NonFiniteError
        If a real is NaN or infinite: a site refuses rather than poison the sum.
    """

    counts: Mapping[str, Counts] = field(default_factory=dict)
    reals: Mapping[str, Reals] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {name: _as_counts(name, array) for name, array in self.counts.items()}
        reals = {name: _as_reals(name, array) for name, array in self.reals.items()}
        object.__setattr__(self, "counts", MappingProxyType(counts))
        object.__setattr__(self, "reals", MappingProxyType(reals))

    def __add__(self, other: Summary) -> Summary:
        """The element-wise sum.

        Raises
        ------
        ValueError
            If the two do not have the same names and shapes.
        """
        _check_same_layout("counts", self.counts, other.counts)
        _check_same_layout("reals", self.reals, other.reals)
        return Summary(
            {name: array + other.counts[name] for name, array in self.counts.items()},
            {name: array + other.reals[name] for name, array in self.reals.items()},
        )


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
    return _frozen(values.astype(np.int64))


def _as_reals(name: str, array: Reals) -> Reals:
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise NonFiniteError(f"summary {name!r} has {np.sum(~np.isfinite(values))} value(s) that are not finite")
    return _frozen(values.copy())


def _frozen(array: Scalars) -> Scalars:
    array.setflags(write=False)
    return array


def _check_same_layout(kind: str, left: Mapping[str, Counts | Reals], right: Mapping[str, Counts | Reals]) -> None:
    if left.keys() != right.keys():
        raise ValueError(f"summaries differ in {kind}: {sorted(left.keys() ^ right.keys())}")
    for name, array in left.items():
        if array.shape != right[name].shape:
            raise ValueError(f"{kind} {name!r}: shapes {array.shape} and {right[name].shape} cannot be added")
