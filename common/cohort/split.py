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

from common.errors import SmallNumberError
from common.seeds import derive_seed

SplitPart: TypeAlias = Literal["train", "validation", "test"]
"""train: fits models; validation: chooses the round of a training; test: only evaluates."""
Strata: TypeAlias = tuple[tuple[str, ...], ...]
"""Identifiers of the patients with expansion, then of those without."""


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
    (556 patients with 169 expansions give 389 with 118, as in the paper). Every part has both classes; for
    that, a very small class gives or keeps one patient more than its share.

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
    SmallNumberError
        If a class has fewer patients than there are parts.
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
    _refuse_too_few(strata, parts=3 if fractions.validation else 2)
    training, test = _divide(
        strata, Fraction(repr(fractions.training)), least=2 if fractions.validation else 1
    )
    if not fractions.validation:
        return Split(_merge(training), (), _merge(test))
    fitting, validation = _divide(training, 1 - Fraction(repr(fractions.validation)), least=1)
    return Split(_merge(fitting), _merge(validation), _merge(test))


def adopt_split(identifiers: Sequence[str], positives: Sequence[bool], parts: Sequence[SplitPart]) -> Split:
    """The division that the hospital made beforehand, checked.

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
    SmallNumberError
        If training or test lack a class; validation may lack both classes and then chooses no round.
    ValueError
        If an identifier stands twice, or the sequences differ in length.
    """
    if not len(identifiers) == len(positives) == len(parts) or len(set(identifiers)) < len(identifiers):
        raise ValueError("identifiers must be unique, with one outcome and one part for each")
    members: dict[SplitPart, tuple[str, ...]] = {}
    for part in ("train", "validation", "test"):
        chosen = [index for index, other in enumerate(parts) if other == part]
        expanded = sum(bool(positives[index]) for index in chosen)
        if part != "validation":
            _refuse_one_class(part, expanded, len(chosen) - expanded)
        members[part] = tuple(sorted(identifiers[index] for index in chosen))
    return Split(**members)


def _refuse_one_class(part: SplitPart, positives: int, negatives: int) -> None:
    for number, name in ((positives, "with"), (negatives, "without")):
        if not number:
            raise SmallNumberError(
                f"0 patients {name} expansion are in the part {part!r} of the table's column 'split' "
                "-> at least 1 of each class is needed there"
            )


def _shuffle(stratum: list[str], seed: int) -> tuple[str, ...]:
    """The patients in an order that depends on the seed and on each identifier, not on the order given."""
    return tuple(sorted(stratum, key=lambda identifier: (derive_seed(seed, "split", identifier), identifier)))


def _refuse_too_few(strata: Strata, parts: int) -> None:
    for stratum, name in zip(strata, ("with", "without"), strict=True):
        if len(stratum) < parts:
            raise SmallNumberError(
                f"{len(stratum)} patients {name} expansion cannot be divided into {parts} parts "
                f"-> at least {parts} of each class are needed"
            )


def _divide(strata: Strata, share: Fraction, least: int) -> tuple[Strata, Strata]:
    """Each class' first patients and its other patients, so that `share` of all are among the first.

    Parameters
    ----------
    strata : Strata
        The classes.
    share : Fraction
        Exact, so that 0.7 of 10 is 7.
    least : int
        Fewest patients of each class in the first part; the second part gets at least one of each.
    """
    quotas = [share * len(stratum) for stratum in strata]
    sizes = [floor(quota) for quota in quotas]
    total = floor(sum(quotas) + Fraction(1, 2))
    by_remainder = sorted(range(len(sizes)), key=lambda index: sizes[index] - quotas[index])
    for index in by_remainder[: total - sum(sizes)]:
        sizes[index] += 1
    sizes = [min(max(size, least), len(stratum) - 1) for size, stratum in zip(sizes, strata, strict=True)]
    first = tuple(stratum[:size] for stratum, size in zip(strata, sizes, strict=True))
    second = tuple(stratum[size:] for stratum, size in zip(strata, sizes, strict=True))
    return first, second


def _merge(strata: Strata) -> tuple[str, ...]:
    return tuple(sorted(identifier for stratum in strata for identifier in stratum))
