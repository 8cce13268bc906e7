"""What one reader of a study finds out: the coordinator, or a hospital that subtracts its own patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.messages.catalogue import Operation
from common.plan.design import design_of, is_factor
from tests.reading.newton_rows import SolvedRow, list_rounds, solve_rows
from tests.reading.received import ReadArray, ReadExchange, find_others, select_told
from tests.reading.small_sets import (
    SmallSet,
    find_singled_out,
    find_small_differences,
    find_small_numbers,
)
from tests.reading.whose_totals import find_known_sites

COORDINATOR = ""


@dataclass(frozen=True)
class Findings:
    """What a reader finds out about patients of others.

    Attributes
    ----------
    reader : str
        A site; empty for the coordinator.
    numbers : int
        Numbers that it has of others' patients, 0 not counted.
    few : tuple of SmallSet
        Those that rest on one to four of them.
    apart : tuple of SmallSet
        Pairs that differ in one to four of them.
    rows : tuple of SolvedRow
        Rows that the rounds of Newton's method give.
    fits_of, judgements_of : tuple of str
        Sites whose own totals of the regressions, and of how scores do, it can compute.
    """

    reader: str
    numbers: int
    few: tuple[SmallSet, ...]
    apart: tuple[SmallSet, ...]
    rows: tuple[SolvedRow, ...]
    fits_of: tuple[str, ...]
    judgements_of: tuple[str, ...]

    @property
    def counts_of_few(self) -> int:
        """How many numbers of one to four patients it knows."""
        return sum(small.is_count for small in self.few)

    @property
    def values_of_few(self) -> int:
        """How many sums of values of one to four patients it knows."""
        return len(self.few) - self.counts_of_few

    @property
    def values_apart(self) -> int:
        """How many pairs of sums of values tell what one to four patients add."""
        return sum(not small.is_count for small in self.apart)

    @property
    def singled_out(self) -> tuple[int, ...]:
        """Patients of whom it knows two values or more, and that they belong together."""
        return find_singled_out(self.few, self.apart)


def find_out(
    line: ReadExchange, homes: Sequence[str], arrays: Sequence[ReadArray], reader: str = COORDINATOR
) -> Findings:
    """What follows from everything that a reader has of a whole study.

    Parameters
    ----------
    line : ReadExchange
        After the study.
    homes : sequence of str
        The site of each patient.
    arrays : sequence of ReadArray
        Everything that was opened.
    reader : str
        A site; empty for the coordinator.
    """
    plan = line.plan
    others = find_others(homes, (reader,))
    own = list(arrays) if reader == COORDINATOR else select_told(arrays, reader)
    return Findings(
        reader=reader,
        numbers=sum(int((array.parts * others).any(axis=1).sum()) for array in own),
        few=tuple(find_small_numbers(own, others)),
        apart=tuple(find_small_differences(own, others)),
        rows=find_rows(line, reader),
        fits_of=find_known_sites(plan, reader, Operation.NEWTON),
        judgements_of=find_known_sites(plan, reader, Operation.EVALUATE),
    )


def find_rows(line: ReadExchange, reader: str = COORDINATOR) -> tuple[SolvedRow, ...]:
    """The rows that a reader solves for, none if no regression's sums come to it."""
    sites = line.plan.training_sites
    if reader not in {COORDINATOR, *sites}:
        return ()
    columns = design_of(line.plan).columns
    binary = frozenset(place for place, column in enumerate(columns) if is_factor(column.variable))
    own = line.sites[reader] if reader else None
    return tuple(solve_rows(list(list_rounds(line.received, sites, own)), binary))
