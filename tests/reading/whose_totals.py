"""Whose totals follow from sums over several groups of sites: the rank of the groups' incidence matrix.

Unknown are the totals of every site's parts (train, validation, test) of one statistic. Every sum that a
reader has is one equation: the parts of the sites in its group. A site knows its own parts. What lies in the
row space of the equations is known exactly, what does not could be anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from common.messages.catalogue import Operation
from common.messages.groups import SiteGroup, groups_of
from common.plan.matrix import PARTS, SPLITS, Part
from common.plan.study import StudyPlan
from common.types import Flags, Reals


def find_known_sites(plan: StudyPlan, reader: str, operation: Operation) -> tuple[str, ...]:
    """The other sites whose own totals of a statistic a reader can compute.

    Parameters
    ----------
    plan : StudyPlan
    reader : str
        A site, to which sums of its groups come back; empty for the coordinator, to which all are opened.
    operation : Operation
        The statistic.
    """
    atoms = _list_atoms(plan)
    rows = list(_list_equations(plan, reader, operation, atoms))
    others = [site for site in plan.site_names if site != reader]
    return tuple(
        site for site in others if _follows(rows, _mark(atoms, (site,), _split_all(plan, operation)))
    )


def find_known_parts(plan: StudyPlan, reader: str) -> tuple[tuple[str, str], ...]:
    """The parts of other sites of which a reader can compute how a score does on them."""
    atoms = _list_atoms(plan)
    rows = list(_list_equations(plan, reader, Operation.EVALUATE, atoms))
    return tuple(
        atom for atom in atoms if atom[0] != reader and _follows(rows, _mark(atoms, (atom[0],), (atom[1],)))
    )


def _list_equations(
    plan: StudyPlan, reader: str, operation: Operation, atoms: Sequence[tuple[str, str]]
) -> Iterator[Flags]:
    arms = [arm.name for arm in plan.all_arms()] if operation is Operation.NEWTON else [""]
    for arm in arms:
        for group in groups_of(plan, operation, "", arm):
            if not reader or reader in group.sites:
                yield from (
                    _mark(atoms, group.sites, splits) for splits in _list_splits(plan, group, operation)
                )
    if reader:
        yield from (_mark(atoms, (reader,), (split,)) for split in SPLITS)


def _list_splits(plan: StudyPlan, group: SiteGroup, operation: Operation) -> Iterator[tuple[str, ...]]:
    if operation is not Operation.EVALUATE:
        yield _split_all(plan, operation)
        return
    parts: list[Part] = [part for part in PARTS if part in group.parts]
    for part in parts:
        yield SPLITS if part == "whole" else (part,)


def _split_all(plan: StudyPlan, operation: Operation) -> tuple[str, ...]:
    del plan
    return SPLITS if operation is Operation.EVALUATE else ("train", "validation")


def _list_atoms(plan: StudyPlan) -> list[tuple[str, str]]:
    """Each part of each site that can have patients; an external site has tested ones only."""
    splits = ("train", *(("validation",) if plan.cohort.validation_fraction else ()), "test")
    return [
        (site, split)
        for site, split in product(plan.site_names, splits)
        if site in plan.training_sites or split == "test"
    ]


def _mark(atoms: Sequence[tuple[str, str]], sites: Sequence[str], splits: Sequence[str]) -> Flags:
    return np.array([site in sites and split in splits for site, split in atoms])


def _follows(rows: Sequence[Flags], wanted: Flags) -> bool:
    """Whether a total is a combination of the sums."""
    if not wanted.any():
        return False
    known: Reals = np.array(rows, dtype=np.float64)
    return bool(np.linalg.matrix_rank(known) == np.linalg.matrix_rank(np.vstack([known, wanted])))
