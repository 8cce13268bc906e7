"""Means of attention maps over tested patients, about the lesion's centre: the federated form of Fig. 5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from pydantic import Field

from common.imaging.lesion_cells import CELL_MM, CELLS
from common.plan.mapped_cohorts import OUTCOMES, is_mapped_on, list_mapped_networks
from common.plan.matrix import Part
from common.plan.study import StudyPlan
from common.program.attention_means import MappedClass, SummedMaps
from common.stats.estimate import OK, Status, suppressed
from common.stats.mean_map import finish_mean_map
from common.types import Reals
from server.results.records import Count, Record

MeanRows: TypeAlias = tuple[tuple[float | None, ...], ...]
"""Rows of cells from the front of the head to its back, in each from the patient's right to the left."""
_DECIMALS = 4
_NOWHERE = suppressed("in no cell do enough patients of every centre have something")


class MeanAttention(Record):
    """What spoke for a network's decisions, on average over patients of one outcome."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    cohort_sites: tuple[str, ...]
    """Whose patients these are."""
    part: Part
    """Part of the cohort: test patients, or all of centres that trained nothing."""
    positive: bool
    """Whether they have the outcome."""
    patients: Count | None = None
    """Who has a map; None where the number may not be shown."""
    sites: Count = 0
    """Centres to which they belong; one with fewer patients than a cell may hold adds none."""
    cell_mm: float = Field(default=CELL_MM, gt=0)
    """Width and height of a cell."""
    left_mm: float = 0.0
    """Centre of the first column of cells, from the lesion's; negative: on the patient's right."""
    front_mm: float = 0.0
    """Centre of the first row; negative: in front of the lesion's centre."""
    attention: MeanRows = ()
    """Mean attention in [0, 1]; None in a cell where too few patients have something. Cells beyond those
    of any number are left out; empty where there is no map."""
    lesion: MeanRows = ()
    """Mean share of each of the same cells that lesions cover."""
    standing: Status = OK
    """Whether there is a map; if not, why."""


def record_mean_attention(
    plan: StudyPlan, summed: SummedMaps, unexplained: Mapping[tuple[str, str], Status]
) -> tuple[MeanAttention, ...]:
    """Of every network the maps of each cohort that did not train it, by outcome.

    Parameters
    ----------
    plan : StudyPlan
    summed : SummedMaps
        The sums over the sites.
    unexplained : mapping of (model, arm) to Status
        Why a network has no map.
    """
    return tuple(_list_records(plan, summed, unexplained))


def _list_records(
    plan: StudyPlan, summed: SummedMaps, unexplained: Mapping[tuple[str, str], Status]
) -> Iterator[MeanAttention]:
    for row, scorer in enumerate(list_mapped_networks(plan)):
        for mapped, guards in summed.counted.items():
            cohort, outcome = mapped
            if not is_mapped_on(plan, scorer, cohort):
                continue
            key, guard = (scorer.model.name, scorer.arm.name), guards[row]
            standing = unexplained.get(key, guard.status)
            record = MeanAttention(
                model=key[0],
                arm=key[1],
                cohort_sites=cohort.sites,
                part=cohort.part,
                positive=bool(OUTCOMES.index(outcome)),
                standing=standing,
            )
            yield _fill_in(record, summed, (mapped, row)) if standing.ok else record


def _fill_in(record: MeanAttention, summed: SummedMaps, asked: tuple[MappedClass, int]) -> MeanAttention:
    """The record with its map.

    Raises
    ------
    ValueError
        If it was not asked for.
    """
    (cohort, outcome), row = asked
    guard, patients = summed.counted[cohort, outcome][row], summed.patients[cohort, outcome][row]
    if summed.sums is None:
        raise ValueError(f"{record.model}: a map that may be shown was not asked for")
    sums = summed.sums.of(cohort.sites).part(f"{outcome}/{row}")
    mean = finish_mean_map(sums, patients, guard.sites)
    shown = ~np.isnan(mean.attention) | ~np.isnan(mean.lesion)
    counted = {"patients": guard.n_used, "sites": guard.sites}
    if not shown.any():
        return record.model_copy(update={**counted, "standing": _NOWHERE})
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    window = np.ix_(*(np.arange(held[0], held[-1] + 1) for held in (rows, columns)))
    return record.model_copy(
        update={
            **counted,
            "left_mm": _find_centre_mm(int(columns[0])),
            "front_mm": _find_centre_mm(int(rows[0])),
            "attention": _write_rows(mean.attention[window]),
            "lesion": _write_rows(mean.lesion[window]),
        }
    )


def _find_centre_mm(cell: int) -> float:
    return (cell + 0.5 - CELLS / 2) * CELL_MM


def _write_rows(values: Reals) -> MeanRows:
    return tuple(
        tuple(None if np.isnan(value) else round(value, _DECIMALS) for value in row)
        for row in values.tolist()
    )


def read_cells(rows: Sequence[Sequence[float | None]]) -> Reals:
    """The cells as an array, NaN where there is no number, shape (rows, columns)."""
    return np.array([[np.nan if value is None else value for value in row] for row in rows])
