"""A summary as vectors that masks can hide, and a sum of such vectors as a summary again.

Every real is cut, without rounding, into three numbers of the protocol's fixed point: features of a billion,
squared, and sums of tiny products then add up as exactly as counts do.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.secagg.crypto.rings import Ring, Vector
from common.stats.contract import Summary, SummaryLayout
from common.types import Counts, FlatWeights, Reals

Number = TypeVar("Number", np.int64, np.float64)

_CUT = 56
"""Bits of the middle number before the point: 128 sites' still add up below 2^63."""
_POINT = 64
"""Bits of the fixed point behind it."""
_FINE = 20_000
"""Summaries of more reals are cross-products of z-scores: their middle number alone is exact enough."""


@dataclass(frozen=True)
class Hiding:
    """How the summaries of one question become vectors; the same at all sites and at the coordinator.

    Attributes
    ----------
    layout : Layout
        Of the summary.
    updates : mapping of str to Vector
        How each model update is scaled and bounded.
    """

    layout: SummaryLayout
    updates: Mapping[str, Vector] = field(default_factory=dict)

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """Their names hold a digest of the layout: masks of different layouts do not cancel."""
        digest = hashlib.sha256(json.dumps(self.layout).encode()).hexdigest()[:16]
        found = []
        counts, reals = self._size("counts"), self._size("reals")
        if counts:
            found.append(Vector(f"counts {digest}", (counts,), Ring.COUNTS))
        found += [Vector(f"reals {digest} {level}", (reals,), Ring.REALS) for level in _levels(reals)]
        return (*found, *(self.updates[name] for name, _ in self._of("updates")))

    def values(self, summary: Summary) -> tuple[Counts | Reals | FlatWeights, ...]:
        """The summary's numbers, one flat array a vector.

        Raises
        ------
        ValueError
            If it has another layout.
        """
        if summary.layout() != self.layout:
            raise ValueError("a summary of another layout cannot be hidden so")
        found: list[Counts | Reals | FlatWeights] = []
        if self._size("counts"):
            found.append(np.concatenate([summary.counts[name].ravel() for name, _ in self._of("counts")]))
        if self._size("reals"):
            reals = np.concatenate([summary.reals[name].ravel() for name, _ in self._of("reals")])
            found += _cut(reals) if reals.size <= _FINE else [reals]
        return (*found, *(summary.updates[name].ravel() for name, _ in self._of("updates")))

    def summary(self, sums: Sequence[Counts | Reals]) -> Summary:
        """The summary that these sums stand for, in the order of the vectors."""
        left = list(sums)
        counts = np.asarray(left.pop(0) if self._size("counts") else (), dtype=np.int64)
        levels = [left.pop(0) for _ in _levels(self._size("reals"))]
        updates = {name: left.pop(0).astype(np.float32) for name, _ in self._of("updates")}
        return Summary(
            dict(_shaped(self._of("counts"), counts)),
            dict(_shaped(self._of("reals"), _joined(levels))),
            updates,
        )

    def _of(self, kind: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        return ((name, shape) for of, name, shape in self.layout if of == kind)

    def _size(self, kind: str) -> int:
        return sum(math.prod(shape) for _, shape in self._of(kind))


def _shaped(
    arrays: Iterable[tuple[str, tuple[int, ...]]], flat: NDArray[Number]
) -> Iterator[tuple[str, NDArray[Number]]]:
    start = 0
    for name, shape in arrays:
        size = math.prod(shape)
        yield name, flat[start : start + size].reshape(shape)
        start += size


def _levels(size: int) -> tuple[str, ...]:
    if not size:
        return ()
    return ("middle", "high", "low") if size <= _FINE else ("middle",)


def _cut(reals: Reals) -> list[Reals]:
    """``middle + high 2^56 + low 2^-56``: float64 has 53 bits, so nothing is rounded from 2^-68 to 2^112."""
    high = np.trunc(np.ldexp(reals, -_CUT))
    rest = reals - np.ldexp(high, _CUT)
    middle = np.ldexp(np.trunc(np.ldexp(rest, _POINT)), -_POINT)
    return [middle, high, np.ldexp(rest - middle, _CUT)]


def _joined(levels: Sequence[Counts | Reals]) -> Reals:
    if not levels:
        return np.empty(0)
    if len(levels) == 1:
        return np.asarray(levels[0], dtype=np.float64)
    middle, high, low = levels
    return np.asarray(np.ldexp(high, _CUT) + (middle + np.ldexp(low, -_CUT)), dtype=np.float64)
