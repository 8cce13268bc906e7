"""Folds of a cross-validation over sites: stratified within each site, as many as the patients carry.

A site deals its patients by a keyed hash, class by class, so it needs no other site's numbers. How many folds
there are is decided for all sites from the counts of the guard round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.stats.estimate import OK, Status, suppressed
from common.stats.minima import STANDARD, Minima
from common.types import Counts, Flags


@dataclass(frozen=True, eq=False)
class FoldChoice:
    """How many folds a cross-validation has.

    Attributes
    ----------
    number : int
        Folds of all sites; 0 unless the status is ok.
    planned : int
        Folds of the plan: the most there can be.
    classes : int array, shape (number, 2)
        Patients of each fold by outcome, negatives first.
    why : str
        In words, why there are fewer folds than planned; empty if there are as many.
    status : Status
        Whether the patients carry a cross-validation.
    """

    number: int
    planned: int
    classes: Counts
    why: str
    status: Status


def deal_folds(seed: int, site: str, patients: Sequence[str], labels: Flags, n_folds: int) -> Counts:
    """Each patient's fold, shape (n,), from 0.

    The patients of a class, in the order of a keyed hash, go to one fold after the other; the second class
    goes on where the first ended. At a site, then, folds differ by at most one patient, and by at most one of
    each class.

    Parameters
    ----------
    seed : int
        The study's.
    site : str
        The site's name; each site begins with a fold of its own.
    patients : sequence of str
        The patients' identifiers at the site; the order in which they come does not matter.
    labels : bool array, shape (n,)
        Their outcomes.
    n_folds : int
        As chosen for all sites.

    Raises
    ------
    ValueError
        If there is not one outcome for each patient.
    """
    if labels.shape != (len(patients),):
        raise ValueError(f"{len(patients)} patients and outcomes {labels.shape} do not belong together")
    ranks = [_hash_name(seed, f"{site}/{patient}") for patient in patients]
    order = sorted(range(len(ranks)), key=lambda place: (bool(labels[place]), ranks[place]))
    folds = np.empty(len(ranks), dtype=np.int64)
    folds[order] = (_hash_name(seed, site) % n_folds + np.arange(len(ranks))) % n_folds
    return folds


def list_numbers(planned: int, fewest: int) -> tuple[int, ...]:
    """The numbers of folds that are tried, from the plan's down to the fewest."""
    return tuple(range(planned, min(planned, fewest) - 1, -1))


def find_members(folds: Sequence[Counts], numbers: Sequence[int]) -> Flags:
    """Who is in each fold of each number of folds, shape (folds of all numbers, n).

    Parameters
    ----------
    folds : sequence of int arrays, shape (n,)
        The patients' folds for each number; -1 for a patient who is in none.
    numbers : sequence of int
        As `list_numbers` lists them.
    """
    members = [dealt == np.arange(n)[:, np.newaxis] for dealt, n in zip(folds, numbers, strict=True)]
    return np.concatenate(members)


def choose_folds(classes: Counts, planned: int, fewest: int, minima: Minima = STANDARD) -> FoldChoice:
    """The largest number of folds, up to the plan's, of which every fold has enough patients of each class.

    Parameters
    ----------
    classes : int array, shape (folds of all numbers, 2)
        Pooled patients of the rows of `find_members`, negatives first.
    planned, fewest : int
        The plan's number of folds, and the smallest that is of use.

    Raises
    ------
    ValueError
        If there is not one row for each fold of each number.
    """
    numbers = list_numbers(planned, fewest)
    if len(classes) != sum(numbers):
        raise ValueError(f"{len(classes)} folds counted, {sum(numbers)} asked for")
    too_small = f"fewer than {minima.fold} patients or {minima.fold_class} of a class"
    for number, rows in zip(numbers, np.split(classes, np.cumsum(numbers)[:-1]), strict=True):
        if _has_enough(rows, minima):
            why = "" if number == planned else f"of {number + 1} or more, one would have {too_small}"
            return FoldChoice(number, planned, rows, why, OK)
    status = suppressed(f"a fold would have {too_small}, even with {numbers[-1]} folds")
    return FoldChoice(0, planned, np.zeros((0, 2), dtype=np.int64), "", status)


def _has_enough(classes: Counts, minima: Minima) -> bool:
    return bool(classes.sum(axis=1).min() >= minima.fold and classes.min() >= minima.fold_class)


def _hash_name(seed: int, name: str) -> int:
    digest = hashlib.blake2b(name.encode(), key=str(seed).encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big")
