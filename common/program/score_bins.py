"""Bins of each score so fine that no two patients who matter share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.errors import UnknownSumError
from common.messages.catalogue import Operation
from common.messages.questions import write_grids
from common.plan.grids import MOST_PIECES, first_grid_of, most_edges
from common.plan.matrix import Cohort, is_available, scorers_of
from common.plan.study import StudyPlan
from common.program.asked_rows import ask_cohorts, list_groups
from common.program.steps import Program, Step, ask
from common.stats.estimate import Status
from common.stats.score_grid import ScoreGrid, divide_bins, find_mixed, keep_needed
from common.types import Counts

_A_BIN, _FEWEST_PIECES = 256, 4096
"""Pieces of each bin that a question divides, and of all bins if these are few: so ties are soon certain."""
_MOST_ROUNDS = 14
"""Questions after which bins stay as they are; even ties of scores with 16 digits are certain by then."""


@dataclass(frozen=True)
class _Division:
    """One score's bins on their way.

    Attributes
    ----------
    grid : ScoreGrid
        As far as it goes.
    mixed : int array, shape (k,)
        Numbers of its bins that hold patients of both outcomes whose scores may differ; most pairs first.
    """

    grid: ScoreGrid
    mixed: Counts


def agree_on_grids(
    plan: StudyPlan, permitted: Mapping[Cohort, Sequence[Status]], *, is_complete: bool
) -> Program[tuple[ScoreGrid, ...] | None]:
    """The grid of each score on which all sites count; None at a site, which is told.

    The first question counts on the plan's grid. Bins in which a cohort has patients of both outcomes are
    divided, again and again, until there is none, the scores in each are equal, or the grid has as many bins
    as the plan allows. What is then left stands in the bounds of the results.

    Parameters
    ----------
    plan : StudyPlan
    permitted : mapping of Cohort to sequence of Status
        Whether each score may be judged on the cohort.
    is_complete : bool
        Whether all cohorts are known: which bins are divided follows from all of them.
    """
    step = _make_step(plan, permitted)
    asked = step.parameters["asked"]
    if not is_complete:
        yield from _follow_choice(step)
        return None
    grids = [first_grid_of(plan, scorer) for scorer in scorers_of(plan)]
    first = {
        number: grid for number, grid in enumerate(grids) if asked[..., number].any() and not grid.one_value
    }
    counted = yield from _count(plan, step, first, permitted)
    if counted is None:
        yield from _follow_choice(step, begun=True)
        return None
    divisions = {number: _begin(grid, counted[number]) for number, grid in first.items()}
    for _ in range(_MOST_ROUNDS - 1):
        pending = {number: division for number, division in divisions.items() if division.mixed.size}
        if not pending:
            break
        divisions |= yield from _divide(plan, step, pending, permitted)
    return tuple(divisions[number].grid if number in divisions else grid for number, grid in enumerate(grids))


def _make_step(plan: StudyPlan, permitted: Mapping[Cohort, Sequence[Status]]) -> Step:
    """The question about bins, without them: whom of it which site is asked for."""
    wanted = {cohort: [status.ok for status in statuses] for cohort, statuses in permitted.items()}
    return Step(Operation.GRID, {"asked": ask_cohorts(plan, wanted)}, groups=list_groups(plan, wanted))


def _follow_choice(step: Step, *, begun: bool = False) -> Program[None]:
    """At a site: as many questions as the coordinator needs, none of scores that may not be judged."""
    for _ in range(_MOST_ROUNDS - begun):
        if (yield replace(step, is_optional=True)) is None:
            return


def _divide(
    plan: StudyPlan,
    step: Step,
    pending: Mapping[int, _Division],
    permitted: Mapping[Cohort, Sequence[Status]],
) -> Program[dict[int, _Division]]:
    """The divisions one question later.

    Raises
    ------
    UnknownSumError
        If the counts are not known here.
    """
    share, limit = MOST_PIECES // len(pending), most_edges(plan)
    # A bin of which a question has two pieces takes three edges of it.
    taken = {number: division.mixed[: share // 3] for number, division in pending.items()}
    divided = {
        number: divide_bins(
            pending[number].grid, bins, min(share - bins.size, max(_FEWEST_PIECES, _A_BIN * bins.size))
        )
        for number, bins in taken.items()
    }
    counted = yield from _count(plan, step, divided, permitted)
    if counted is None:
        raise UnknownSumError("the counts of the divided bins are not known here")
    return {
        number: _refine(pending[number], taken[number].size, (pieces, counted[number]), limit)
        for number, pieces in divided.items()
    }


def _count(
    plan: StudyPlan,
    step: Step,
    grids: Mapping[int, ScoreGrid],
    permitted: Mapping[Cohort, Sequence[Status]],
) -> Program[dict[int, list[Counts]] | None]:
    """Patients by outcome and bin in each cohort on which a score may be judged, each of shape (2, bins).

    None where the counts are not known here.
    """
    if not grids:
        return {}
    scorers = scorers_of(plan)
    parameters = {
        **step.parameters,
        "scorers": np.array(list(grids), dtype=np.int64),
        **write_grids(list(grids.values())),
    }
    answered = yield from ask(replace(step, parameters=parameters))
    if not all(answered.sums.tell(cohort.sites) for cohort in permitted):
        return None
    return {
        number: [
            answered.sums.of(cohort.sites).part(f"{cohort.part}/{number}").counts["histogram"]
            for cohort, statuses in permitted.items()
            if statuses[number].ok and is_available(plan, scorers[number], cohort)
        ]
        for number in grids
    }


def _begin(grid: ScoreGrid, histograms: Sequence[Counts]) -> _Division:
    pairs = _count_pairs(grid, histograms)
    return _Division(grid, _sort_by_pairs(np.flatnonzero(pairs), pairs))


def _refine(
    division: _Division, taken: int, counted: tuple[ScoreGrid, Sequence[Counts]], limit: int
) -> _Division:
    """The division with the edges that keep outcomes apart.

    Parameters
    ----------
    division : _Division
    taken : int
        How many of its mixed bins were divided, from the first on; the others wait, and come first then.
    counted : (ScoreGrid, sequence of int arrays, shape (2, bins))
        These bins in pieces, and the patients of each cohort in the pieces.
    limit : int
        Most edges of a grid; where it would need more, no bin is divided any more.
    """
    divided, histograms = counted
    grid, room = division.grid, limit - division.grid.edges.size
    edges = np.setdiff1d(keep_needed(divided, list(histograms)), grid.edges)
    if edges.size > room:
        # Spread evenly, a few leave least: of a bin's pairs a fourth, where it is divided in four.
        edges = edges[np.linspace(0, edges.size - 1, room).round().astype(np.int64)]
        return _Division(ScoreGrid(np.union1d(grid.edges, edges)), np.empty(0, dtype=np.int64))
    finer = ScoreGrid(np.union1d(grid.edges, edges))
    in_pieces = _count_pairs(divided, histograms)
    in_pieces[~np.isin(grid.find_bins(divided.starts), division.mixed[:taken])] = 0
    pairs = np.bincount(finer.find_bins(divided.starts), weights=in_pieces, minlength=finer.bins)
    waiting = finer.find_bins(grid.starts[division.mixed[taken:]])
    mixed = _sort_by_pairs(np.flatnonzero(pairs), pairs.astype(np.int64))
    return _Division(finer, np.concatenate([waiting, mixed]))


def _count_pairs(grid: ScoreGrid, histograms: Sequence[Counts]) -> Counts:
    """Pairs of patients of both outcomes in each bin whose scores may differ, in the cohort with the most."""
    pairs = [np.where(find_mixed(grid, counts), counts[0] * counts[1], 0) for counts in histograms]
    return np.max(pairs, axis=0) if pairs else np.zeros(grid.bins, dtype=np.int64)


def _sort_by_pairs(bins: Counts, pairs: Counts) -> Counts:
    return bins[np.argsort(-pairs[bins], kind="stable")]
