"""The division of one site's patients into training, validation and test: drawn, or made beforehand.

A drawn division is stratified by outcome. Each patient's place depends on (seed, identifier) alone, so the
order of the table's rows does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, TypeAlias

from common.seeds import derive_seed

SplitPart: TypeAlias = Literal["train", "validation", "test"]
"""train: fits models; validation: chooses the round of a training; test: only evaluates."""
Strata: TypeAlias = tuple[tuple[str, ...], ...]
"""Identifiers of the patients with expansion, then of those without."""

FEWEST_TRAINING = 2
"""Fewest training patients with which a site trains networks: BatchNorm cannot normalise a single patient."""


@dataclass(frozen=True)
class Fractions:
    """How large the parts are.

    Attributes
    ----------
    training : float
        Share of all patients that train, validation included (the paper: 0.7).
    validation : float
        Share of the training patients that only choose the round; 0 for no validation.
    """

    training: float = 0.7
    validation: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.training < 1:
            raise ValueError(f"the training fraction must lie between 0 and 1, not be {self.training}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"the validation fraction must be at least 0 and below 1, not {self.validation}")


@dataclass(frozen=True)
class Split:
    """Who is in which part; every tuple is sorted.

    Attributes
    ----------
    train, validation, test : tuple of str
        Identifiers; nobody is in two parts.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def part_of(self, identifier: str) -> SplitPart:
        """The part of one patient.

        Raises
        ------
        KeyError
            If the patient was not divided.
        """
        parts: tuple[tuple[SplitPart, tuple[str, ...]], ...] = (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
        )
        for part, members in parts:
            if identifier in members:
                return part
        raise KeyError(identifier)


def draw_split(
    identifiers: Sequence[str], positives: Sequence[bool], fractions: Fractions, seed: int
) -> Split:
    """A random division of the patients, the same for every order in which they are given.

    The training part has `round(fraction * n)` patients, shared between the classes by largest remainder
    (556 patients with 169 expansions give 389 with 118, as in the paper). Every part has every class that has
    a patient for each part; for that, a very small class gives or keeps one patient more than its share. A
    class of fewer patients has one to train, then one to test, and none to choose the round: its site counts
    in what needs one class, and in sums over sites.

    Parameters
    ----------
    identifiers : sequence of str
        One for each patient.
    positives : sequence of bool
        Whether the patient's hematoma expanded, in the same order.
    fractions : Fractions
        The parts' sizes.
    seed : int
        Seed of this site's split.

    Raises
    ------
    ValueError
        If an identifier stands twice, or the sequences differ in length.
    """
    if len(identifiers) != len(positives) or len(set(identifiers)) < len(identifiers):
        raise ValueError("identifiers must be unique, with one outcome for each")
    strata = tuple(
        _shuffle(
            [i for i, positive in zip(identifiers, positives, strict=True) if bool(positive) == cls], seed
        )
        for cls in (True, False)
    )
    training, test = _divide(
        strata, Fraction(repr(fractions.training)), least=2 if fractions.validation else 1
    )
    if not fractions.validation:
        return Split(_merge(training), (), _merge(test))
    fitting, validation = _divide(training, 1 - Fraction(repr(fractions.validation)), least=1)
    return Split(_merge(fitting), _merge(validation), _merge(test))


def adopt_split(identifiers: Sequence[str], positives: Sequence[bool], parts: Sequence[SplitPart]) -> Split:
    """The division that the hospital made beforehand; a part may lack a class, or have nobody.

    Parameters
    ----------
    identifiers : sequence of str
        One for each patient.
    positives : sequence of bool
        Whether the patient's hematoma expanded, in the same order.
    parts : sequence of {"train", "validation", "test"}
        Where each patient is, in the same order.

    Raises
    ------
    ValueError
        If an identifier stands twice, or the sequences differ in length.
    """
    if not len(identifiers) == len(positives) == len(parts) or len(set(identifiers)) < len(identifiers):
        raise ValueError("identifiers must be unique, with one outcome and one part for each")
    members: dict[SplitPart, tuple[str, ...]] = {}
    for part in ("train", "validation", "test"):
        members[part] = tuple(
            sorted(name for name, other in zip(identifiers, parts, strict=True) if other == part)
        )
    return Split(**members)


def _shuffle(stratum: list[str], seed: int) -> tuple[str, ...]:
    """The patients in an order that depends on the seed and on each identifier, not on the order given."""
    return tuple(sorted(stratum, key=lambda identifier: (derive_seed(seed, "split", identifier), identifier)))


def _divide(strata: Strata, share: Fraction, least: int) -> tuple[Strata, Strata]:
    """Each class' first patients and its other patients, so that `share` of all are among the first.

    Parameters
    ----------
    strata : Strata
        The classes.
    share : Fraction
        Exact, so that 0.7 of 10 is 7.
    least : int
        Fewest patients of each class in the first part; the second part gets at least one of each. Of a class
        that is too small for both, the first part gets a patient first, then the second.
    """
    quotas = [share * len(stratum) for stratum in strata]
    sizes = [floor(quota) for quota in quotas]
    total = floor(sum(quotas) + Fraction(1, 2))
    by_remainder = sorted(range(len(sizes)), key=lambda index: sizes[index] - quotas[index])
    for index in by_remainder[: total - sum(sizes)]:
        sizes[index] += 1
    sizes = [
        _limit_size(size, least, patients=len(stratum)) for size, stratum in zip(sizes, strata, strict=True)
    ]
    first = tuple(stratum[:size] for stratum, size in zip(strata, sizes, strict=True))
    second = tuple(stratum[size:] for stratum, size in zip(strata, sizes, strict=True))
    return first, second


def _limit_size(size: int, least: int, *, patients: int) -> int:
    """How many patients of a class its first part gets: as wanted, if both parts get what they need."""
    if patients > least:
        return min(max(size, least), patients - 1)
    return min(patients, max(1, patients - 1))


def _merge(strata: Strata) -> tuple[str, ...]:
    return tuple(sorted(identifier for stratum in strata for identifier in stratum))
