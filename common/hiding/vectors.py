"""A summary as vectors that masks can hide, and a sum of such vectors as a summary again.

Every real is cut, without rounding, into three numbers of the protocol's fixed point: features of a billion,
squared, and sums of tiny products then add up as exactly as counts do. Only many sums of products of
standardised values, which `precision_of` declares, travel in one number each.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.messages.catalogue import Question, find_question
from common.messages.headers import RequestHeader
from common.secagg.crypto.rings import Ring, Vector
from common.stats.contract import Summary, SummaryLayout, join_summaries
from common.types import Counts, FlatWeights, Reals

Number = TypeVar("Number", np.int64, np.float64)

_CUT = 56
"""Bits of the middle number before the point: 128 sites' still add up below 2^63."""
_POINT = 64
"""Bits of the fixed point behind it."""
_THREE, _ONE = ("middle", "high", "low"), ("middle",)
"""Names of the numbers in which a real travels."""
_MANY_PRODUCTS = 20_000
"""More sums of products than this travel in one number each, a third of the bytes: there can be millions."""
_LOTS = {True: "steering", False: "other"}
"""The last word of a vector's name, where it travels in a lot, by whether it steers."""
_KINDS_OF_LOTS = {word: is_steering for is_steering, word in _LOTS.items()}
_WORDS_OF_A_LOT = 4
"""Of a vector's name: kind, digest, group and kind of lot."""


class Precision(Enum):
    """How exactly the reals of an answer travel."""

    EXACT = "exact"
    """In three numbers each: as float64 holds them, from 2^-68 to 2^112."""
    PRODUCTS = "products"
    """Sums of products of standardised values: in one number each where they are many, rounded to 2^-64,
    which is less than float64 rounds such sums by."""


def precision_of(question: Question) -> Precision:
    """How exactly the reals of a question's answers travel; sites and coordinator must agree on it."""
    return Precision.PRODUCTS if question.products else Precision.EXACT


@dataclass(frozen=True)
class Lot:
    """Arrays of a summary that travel together, and that go to the same sites when they are added up.

    Attributes
    ----------
    layout : SummaryLayout
        Kind, name and shape of each of its arrays.
    precision : Precision
        How exactly its reals travel.
    updates : mapping of str to Vector
        How each model update is scaled and bounded, by its name.
    group : int or None
        Number of the group of sites over which it is added; None where no groups are told apart.
    steers : bool
        Whether its sums steer later questions, and therefore come back to the group's sites.
    """

    layout: SummaryLayout
    precision: Precision
    updates: Mapping[str, Vector]
    group: int | None = None
    steers: bool = False

    @property
    def name(self) -> str:
        """What its vectors' names end with; empty where no groups are told apart."""
        return "" if self.group is None else f" {self.group} {_LOTS[self.steers]}"

    def make_vectors(self, digest: str) -> tuple[Vector, ...]:
        """The vectors, named after the whole summary's layout."""
        vectors = []
        counts, reals = self._count("counts"), self._count("reals")
        if counts:
            vectors.append(Vector(f"counts {digest}{self.name}", (counts,), Ring.COUNTS))
        vectors += [
            Vector(f"reals {digest} {level}{self.name}", (reals,), Ring.REALS) for level in self._levels
        ]
        return (*vectors, *(self.updates[name] for name, _ in self._arrays("updates")))

    def cut_values(self, summary: Summary) -> tuple[Counts | Reals | FlatWeights, ...]:
        """The summary's numbers in this lot, one flat array per vector."""
        values: list[Counts | Reals | FlatWeights] = []
        if self._count("counts"):
            values.append(
                np.concatenate([summary.counts[name].ravel() for name, _ in self._arrays("counts")])
            )
        if self._levels:
            reals = np.concatenate([summary.reals[name].ravel() for name, _ in self._arrays("reals")])
            values += _cut_reals(reals) if self._levels == _THREE else [reals]
        return (*values, *(summary.updates[name].ravel() for name, _ in self._arrays("updates")))

    def take_sums(self, remaining: list[Counts | Reals | FlatWeights]) -> Summary:
        """The summary that the first of these sums stand for; they are taken off the list."""
        counts = np.asarray(remaining.pop(0) if self._count("counts") else (), dtype=np.int64)
        levels = [np.asarray(remaining.pop(0), dtype=np.float64) for _ in self._levels]
        updates = {
            name: remaining.pop(0).astype(np.float32, copy=False) for name, _ in self._arrays("updates")
        }
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
    steers : callable or None
        Whether an array, by its name in its group, steers later questions: arrays then begin with the number
        of their group, and travel in lots. None: all arrays travel together.
    """

    layout: SummaryLayout
    updates: Mapping[str, Vector] = field(default_factory=dict)
    precision: Precision = Precision.EXACT
    steers: Callable[[str], bool] | None = None

    @classmethod
    def of_question(cls, header: RequestHeader, layout: SummaryLayout) -> Hiding:
        """How the answers to a question on statistics are hidden; arrays' names begin with their group."""
        question = find_question(header.operation, header.stage)
        return cls(layout, {}, precision_of(question), question.steers)

    @property
    def lots(self) -> tuple[Lot, ...]:
        """The lots: by group, what steers first."""
        if self.steers is None:
            return (Lot(self.layout, self.precision, self.updates),)
        lots: dict[tuple[int, bool], list[tuple[str, str, tuple[int, ...]]]] = {}
        for kind, name, shape in self.layout:
            number, _, own_name = name.partition("/")
            lots.setdefault((int(number), not self.steers(own_name)), []).append((kind, name, shape))
        return tuple(
            Lot(tuple(arrays), self.precision, self.updates, group, not is_other)
            for (group, is_other), arrays in sorted(lots.items())
        )

    @property
    def lots_of_vectors(self) -> tuple[tuple[Vector, Lot], ...]:
        """Each vector with its lot; vectors' names hold the layout's digest.

        So masks of different layouts do not cancel.
        """
        digest = hashlib.sha256(json.dumps(self.layout).encode()).hexdigest()[:16]
        return tuple((vector, lot) for lot in self.lots for vector in lot.make_vectors(digest))

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The vectors, lot by lot."""
        return tuple(vector for vector, _ in self.lots_of_vectors)

    def values(self, summary: Summary) -> tuple[Counts | Reals | FlatWeights, ...]:
        """The summary's numbers, one flat array per vector.

        Raises
        ------
        ValueError
            If it has another layout.
        """
        if summary.layout() != self.layout:
            raise ValueError("a summary of another layout cannot be hidden so")
        return tuple(values for lot in self.lots for values in lot.cut_values(summary))

    def without_updates(self) -> Hiding:
        """The same without model updates, whose sums are read elsewhere."""
        beside = tuple(entry for entry in self.layout if entry[0] != "updates")
        return replace(self, layout=beside, updates={})

    def summary(self, sums: Sequence[Counts | Reals | FlatWeights]) -> Summary:
        """The summary that these sums stand for, in the order of the vectors."""
        remaining = list(sums)
        return join_summaries([lot.take_sums(remaining) for lot in self.lots])


def find_lot(vector: str) -> tuple[int, bool] | None:
    """Group and whether it steers of the lot that a vector's name tells; None if it tells none.

    Examples
    --------
    >>> find_lot("reals 9eb737fe235fb06e low 2 steering")
    (2, True)
    """
    words = vector.split(" ")
    if len(words) < _WORDS_OF_A_LOT or not words[-2].isdecimal() or words[-1] not in _KINDS_OF_LOTS:
        return None
    return int(words[-2]), _KINDS_OF_LOTS[words[-1]]


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


def _join_levels(levels: Sequence[Reals]) -> Reals:
    if not levels:
        return np.empty(0)
    if len(levels) == 1:
        return np.asarray(levels[0], dtype=np.float64)
    middle, high, low = levels
    return np.asarray(np.ldexp(high, _CUT) + (middle + np.ldexp(low, -_CUT)), dtype=np.float64)
