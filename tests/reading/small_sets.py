"""Which numbers, and which differences of two numbers, rest on fewer patients than may be shown.

A released number is a sum over patients of something that a reader can name: 1 for a count, an age, a product
of two covariates. Two numbers of the same thing over two sets of patients differ by the sum over those who
are in one set alone. The reader does not know who they are, but it knows how the sets are defined.

Numbers are compared as vectors of what each patient adds to them. To be at most four patients apart, two must
be equal on at least one of five blocks of patients, so that equal blocks find all such pairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from common.stats.minima import STANDARD
from common.types import Counts, Flags, Reals
from tests.reading.received import ReadArray

FEWEST = STANDARD.cell
_ROUNDING = 1e-9


@dataclass(frozen=True)
class SmallSet:
    """One number that rests on too few patients of others, or two whose difference does.

    Attributes
    ----------
    names : tuple of str
        What was read.
    patients : tuple of int
        On whom it rests.
    is_count : bool
        Whether it tells their number only, not a value that they have.
    """

    names: tuple[str, ...]
    patients: tuple[int, ...]
    is_count: bool


def find_small_numbers(arrays: Sequence[ReadArray], others: Flags) -> Iterator[SmallSet]:
    """Every number that rests on one to four of these patients, once the reader's own are subtracted."""
    for array in arrays:
        parts = array.parts * others
        for row in np.flatnonzero(_is_small((parts != 0).sum(axis=1))):
            yield SmallSet((describe(array),), _list_patients(parts[row]), array.is_count)


def find_small_differences(arrays: Sequence[ReadArray], others: Flags) -> Iterator[SmallSet]:
    """Every pair of numbers that rest on many of these patients, and differ in one to four of them."""
    arrays = [array for array in arrays if array.parts.size]
    rows = np.concatenate([array.parts for array in arrays]) * others
    origin = np.repeat(np.arange(len(arrays)), [len(array.parts) for array in arrays])
    kept = (rows != 0).sum(axis=1) >= 2 * FEWEST
    rows, origin = rows[kept], origin[kept]
    rows, first = np.unique(np.round(rows, 9), axis=0, return_index=True)
    origin = origin[first]
    for one, two in sorted(_list_candidates(rows)):
        apart = np.abs(rows[one] - rows[two]) > _ROUNDING
        if _is_small(apart.sum()):
            pair = (arrays[origin[one]], arrays[origin[two]])
            of_counts = all(array.is_count for array in pair)
            yield SmallSet(tuple(map(describe, pair)), _list_patients(apart), of_counts)


def find_singled_out(few: Iterable[SmallSet], apart: Iterable[SmallSet]) -> tuple[int, ...]:
    """Patients of whom two values or more are known to belong together.

    Two cohorts that differ in one patient tell all that was asked of both. Numbers that rest on one patient
    each belong together only in one array: of another, nobody says that it is the same patient.
    """
    values: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for small, names in [*((each, each.names) for each in few), *((each, ()) for each in apart)]:
        if len(small.patients) == 1 and not small.is_count:
            values[small.patients[0], names] += 1
    return tuple(sorted({patient for (patient, _), known in values.items() if known > 1}))


def describe(array: ReadArray) -> str:
    """A number in words, without its place in the array."""
    return f"{array.operation} {array.name} over {'+'.join(array.sites)}"


def _list_candidates(rows: Reals) -> set[tuple[int, int]]:
    """Pairs of rows that are equal, and not 0, on a block of the patients."""
    order = np.random.default_rng(0).permutation(rows.shape[1])
    pairs: set[tuple[int, int]] = set()
    for block in np.array_split(order, FEWEST):
        alike: dict[bytes, list[int]] = defaultdict(list)
        for number, row in enumerate(np.ascontiguousarray(rows[:, block]) + 0.0):
            if row.any():
                alike[row.tobytes()].append(number)
        for members in alike.values():
            pairs.update(combinations(members, 2))
    return pairs


def _is_small(patients: Counts) -> Flags:
    return np.asarray((patients > 0) & (patients < FEWEST))


def _list_patients(row: Reals | Flags) -> tuple[int, ...]:
    return tuple(np.flatnonzero(row).tolist())
