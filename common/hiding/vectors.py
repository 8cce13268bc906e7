"""A summary as vectors that masks can hide, and a sum of such vectors as a summary again.

Every real is cut, without rounding, into three numbers of the protocol's fixed point: features of a billion,
squared, and sums of tiny products then add up as exactly as counts do. Only many sums of products of
standardised values, which `precision_of` declares, travel in one number each.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.messages.headers import Operation
from common.secagg.crypto.rings import Ring, Vector
from common.stats.contract import Summary, SummaryLayout
from common.types import Counts, FlatWeights, Reals

Number = TypeVar("Number", np.int64, np.float64)

_CUT = 56
"""Bits of the middle number before the point: 128 sites' still add up below 2^63."""
_POINT = 64
"""Bits of the fixed point behind it."""
_THREE, _ONE = ("middle", "high", "low"), ("middle",)
"""Names of the numbers in which a real travels."""
_PRODUCTS = frozenset({Operation.GRAM, Operation.PATH, Operation.RIDGE})
"""Questions whose reals are sums of products of standardised values."""
_MANY_PRODUCTS = 20_000
"""More sums of products than this travel in one number each, a third of the bytes: there can be millions."""


class Precision(Enum):
    """How exactly the reals of an answer travel."""

    EXACT = "exact"
    """In three numbers each: as float64 holds them, from 2^-68 to 2^112."""
    PRODUCTS = "products"
    """Sums of products of standardised values: in one number each where they are many, rounded to 2^-64,
    which is less than float64 rounds such sums by."""


def precision_of(operation: Operation) -> Precision:
    """How exactly the reals of a question's answers travel; sites and coordinator must agree on it."""
    return Precision.PRODUCTS if operation in _PRODUCTS else Precision.EXACT


@dataclass(frozen=True)
class Hiding:
    """How the summaries of one question become vectors; the same at all sites and at the coordinator.

    Attributes
    ----------
    layout : SummaryLayout
        Kind, name and shape of each of the summary's arrays.
    updates : mapping of str to Vector
        How each model update is scaled and bounded, by its name.
    precision : Precision
        How exactly the summary's reals travel.
    """

    layout: SummaryLayout
    updates: Mapping[str, Vector] = field(default_factory=dict)
    precision: Precision = Precision.EXACT

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The vectors; their names hold the layout's digest, so masks of different layouts do not cancel."""
        digest = hashlib.sha256(json.dumps(self.layout).encode()).hexdigest()[:16]
        vectors = []
        counts, reals = self._count("counts"), self._count("reals")
        if counts:
            vectors.append(Vector(f"counts {digest}", (counts,), Ring.COUNTS))
        vectors += [Vector(f"reals {digest} {level}", (reals,), Ring.REALS) for level in self._levels]
        return (*vectors, *(self.updates[name] for name, _ in self._arrays("updates")))

    def values(self, summary: Summary) -> tuple[Counts | Reals | FlatWeights, ...]:
        """The summary's numbers, one flat array per vector.

        Raises
        ------
        ValueError
            If it has another layout.
        """
        if summary.layout() != self.layout:
            raise ValueError("a summary of another layout cannot be hidden so")
        values: list[Counts | Reals | FlatWeights] = []
        if self._count("counts"):
            values.append(
                np.concatenate([summary.counts[name].ravel() for name, _ in self._arrays("counts")])
            )
        if self._levels:
            reals = np.concatenate([summary.reals[name].ravel() for name, _ in self._arrays("reals")])
            values += _cut_reals(reals) if self._levels == _THREE else [reals]
        return (*values, *(summary.updates[name].ravel() for name, _ in self._arrays("updates")))

    def summary(self, sums: Sequence[Counts | Reals]) -> Summary:
        """The summary that these sums stand for, in the order of the vectors."""
        remaining = list(sums)
        counts = np.asarray(remaining.pop(0) if self._count("counts") else (), dtype=np.int64)
        levels = [remaining.pop(0) for _ in self._levels]
        updates = {name: remaining.pop(0).astype(np.float32) for name, _ in self._arrays("updates")}
        return Summary(
            dict(_split_flat(self._arrays("counts"), counts)),
            dict(_split_flat(self._arrays("reals"), _join_levels(levels))),
            updates,
        )

    @property
    def _levels(self) -> tuple[str, ...]:
        """The numbers that each real travels in; none where there is no real."""
        reals = self._count("reals")
        if not reals:
            return ()
        return _ONE if self.precision is Precision.PRODUCTS and reals > _MANY_PRODUCTS else _THREE

    def _arrays(self, kind: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each array of a kind."""
        return ((name, shape) for array_kind, name, shape in self.layout if array_kind == kind)

    def _count(self, kind: str) -> int:
        """How many elements the arrays of a kind have together."""
        return sum(math.prod(shape) for _, shape in self._arrays(kind))


def _split_flat(
    arrays: Iterable[tuple[str, tuple[int, ...]]], flat: NDArray[Number]
) -> Iterator[tuple[str, NDArray[Number]]]:
    """Each array by name, cut from one flat array that holds them in order."""
    start = 0
    for name, shape in arrays:
        size = math.prod(shape)
        yield name, flat[start : start + size].reshape(shape)
        start += size


def _cut_reals(reals: Reals) -> list[Reals]:
    """Middle, high and low number of ``middle + high 2^56 + low 2^-56``.

    Float64 has 53 bits, so nothing is rounded from 2^-68 to 2^112.
    """
    high = np.trunc(np.ldexp(reals, -_CUT))
    below = reals - np.ldexp(high, _CUT)
    middle = np.ldexp(np.trunc(np.ldexp(below, _POINT)), -_POINT)
    return [middle, high, np.ldexp(below - middle, _CUT)]


def _join_levels(levels: Sequence[Counts | Reals]) -> Reals:
    if not levels:
        return np.empty(0)
    if len(levels) == 1:
        return np.asarray(levels[0], dtype=np.float64)
    middle, high, low = levels
    return np.asarray(np.ldexp(high, _CUT) + (middle + np.ldexp(low, -_CUT)), dtype=np.float64)
