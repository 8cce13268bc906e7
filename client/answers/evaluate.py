"""How good every score of a site's patients is, as sums; before it, how many stand behind each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from client.answers.own_minima import find_short_here, find_widest_group
from client.answers.patient_arrays import codes_of
from client.answers.scoreboard import Scoreboard
from common.cohort.schema import BY_NAME
from common.errors import ProtocolError, SmallNumberError
from common.messages.groups import groups_of
from common.messages.headers import Operation
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_grids, read_integer_array, read_real_array
from common.plan.comparisons import ComparedScores, find_compared_scores
from common.plan.grids import most_counted_edges, most_edges
from common.plan.matrix import (
    PARTS,
    Part,
    scorers_of,
)
from common.plan.variables import levels_of
from common.stats.calibration import local_calibration
from common.stats.confusion import local_confusion
from common.stats.contract import Summary, join_summaries
from common.stats.decision import local_decision
from common.stats.guard import Demand, local_guard
from common.stats.roc import local_roc
from common.stats.score_grid import ScoreGrid, count_by_bin
from common.stats.subgroups import local_subgroups
from common.types import Counts, Flags, Reals

JUDGED_PARTS: tuple[Part, ...] = ("test", "whole")
"""Parts on which calibration, net benefit and subgroups are judged."""


def guard_scores(board: Scoreboard, too_close: Flags, parameters: Parameters) -> Summary:
    """Guard round: patients behind each score on each part, and behind each comparison.

    Parameters
    ----------
    board : Scoreboard
        The scores of the site's patients.
    too_close : bool array, shape (parts,)
        Whether a part differs too little from a cohort already released.
    """
    parts = [
        _guard(board, board.find_members(part), board.scores, (find_sites_of(board, part), bool(near))).under(
            part
        )
        for part, near in zip(PARTS, too_close, strict=True)
    ]
    paired = [
        _guard(
            board,
            board.find_cohort(compared.cohort),
            board.scores[list(compared.scorers)].sum(axis=0, keepdims=True),
            (compared.cohort.sites, bool(too_close[PARTS.index(compared.cohort.part)])),
        ).under(compared.name)
        for compared in find_compared_here(board, parameters)
    ]
    return join_summaries([*parts, *paired])


def count_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """How many patients of each outcome each score has in each bin, so that all agree on its bins.

    Returns
    -------
    Summary
        Counts "PART/SCORER/histogram" (2, bins), negatives first, of the scorers that the question names; 0
        where a part was not asked.

    Raises
    ------
    ProtocolError
        If the question names a scorer that there is not, or its grids are none or too fine.
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    asked = read_asked(board, parameters)
    numbers = read_integer_array(parameters, "scorers", 1)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(board.scores):
        raise ProtocolError(
            f"scores {numbers.min()} to {numbers.max()} of {len(board.scores)} were asked for"
        )
    grids = read_grids(parameters, numbers.size, most_counted_edges(board.plan))
    counts = {}
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.find_members(part)
        sites = find_sites_of(board, part)
        refuse_too_few(board, sites, board.scores[of_part][:, members], board.labels[members])
        for scorer, grid in zip(numbers.tolist(), grids, strict=True):
            patients = members if of_part[scorer] else members[:0]
            counts[f"{part}/{scorer}/histogram"] = count_by_bin(
                board.scores[scorer, patients], board.labels[patients], grid
            )
    return Summary(counts)


def evaluate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """Discrimination, confusion, calibration and net benefit of every score on every part that was asked.

    What was not asked has zeros, so that all sites can be added.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    asked = read_asked(board, parameters)
    thresholds, grids = thresholds_of(board, parameters), grids_of(board, parameters)
    cells = []
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.find_members(part)
        sites = find_sites_of(board, part)
        refuse_too_few(board, sites, board.scores[of_part][:, members], board.labels[members])
        for scorer, wanted in enumerate(of_part.tolist()):
            patients = members if wanted else members[:0]
            cell = _sum_score(board, patients, scorer, (part, float(thresholds[scorer]), grids[scorer]))
            cells.append(cell.under(f"{part}/{scorer}"))
    compared = find_compared_here(board, parameters)
    recounted = read_flag_array(parameters, "recounted", (len(compared),)).tolist()
    together = [
        _sum_complete(board, scores, grids).under(scores.name)
        for scores, wanted in zip(compared, recounted, strict=True)
        if wanted
    ]
    return join_summaries([*cells, *together])


def list_evaluated_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that an evaluation is about, alone or in pairs of scores."""
    asked = set(list_asked_parts(board, parameters))
    compared = find_compared_here(board, parameters)
    recounted = read_flag_array(parameters, "recounted", (len(compared),)).tolist()
    asked |= {
        scores.cohort.part
        for scores, wanted in zip(compared, recounted, strict=True)
        if wanted and board.site in scores.cohort.sites
    }
    return tuple(part for part in PARTS if part in asked)


def list_asked_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients of which a score was asked for."""
    asked = read_asked(board, parameters)
    return tuple(part for part, of_part in zip(PARTS, asked, strict=True) if of_part.any())


def read_asked(board: Scoreboard, parameters: Parameters) -> Flags:
    """What is asked of this site, shape (parts, scorers); other sites may be asked more."""
    sites = board.plan.site_names
    asked = read_flag_array(parameters, "asked", (len(sites), len(PARTS), len(board.scores)))
    return np.asarray(asked[sites.index(board.site)], dtype=np.bool_)


def find_compared_here(board: Scoreboard, parameters: Parameters) -> tuple[ComparedScores, ...]:
    """What is compared, given which models exist and which is the reference.

    Raises
    ------
    ProtocolError
        If the reference is no model of the plan.
    """
    scored = read_flag_array(parameters, "scored", (len(board.scores),))
    reference = read_integer_array(parameters, "reference", 1)
    models = board.plan.models
    if reference.shape != (1,) or not 0 <= int(reference[0]) < len(models):
        raise ProtocolError(f"the reference {reference.tolist()} is none of {len(models)} models")
    return find_compared_scores(board.plan, scored.tolist(), models[int(reference[0])].name)


def grids_of(board: Scoreboard, parameters: Parameters) -> tuple[ScoreGrid, ...]:
    """The grid of each score; bins finer than the plan allows would tell more of single patients."""
    return read_grids(parameters, len(board.scores), most_edges(board.plan))


def thresholds_of(board: Scoreboard, parameters: Parameters) -> Reals:
    """The operating point of each score, shape (scorers,).

    Raises
    ------
    ProtocolError
        If there is not one for each score.
    """
    thresholds = read_real_array(parameters, "thresholds", 1)
    if thresholds.shape != (len(board.scores),):
        raise ProtocolError(f"{thresholds.size} thresholds came for {len(board.scores)} scores")
    return thresholds


def select_complete(board: Scoreboard, compared: ComparedScores) -> tuple[Reals, Flags]:
    """Scores, shape (scorers, n), and outcomes of the cohort's patients at this site who have all of them."""
    members = board.find_cohort(compared.cohort)
    scores = board.scores[list(compared.scorers)][:, members]
    scored = ~np.isnan(scores).any(axis=0)
    return scores[:, scored], board.labels[members[scored]]


def find_sites_of(board: Scoreboard, part: Part) -> tuple[str, ...]:
    """The largest group of sites to which this site adds the scores of its patients of a part."""
    return find_widest_group(groups_of(board.plan, Operation.EVALUATE), board.site, part)


def refuse_too_few(board: Scoreboard, sites: Sequence[str], scores: Reals, labels: Flags) -> None:
    """Refuse what the guard round would have objected to, whatever the coordinator made of it.

    Parameters
    ----------
    board : Scoreboard
        The scores of the site's patients.
    sites : sequence of str
        Over whom the numbers are added.
    scores : float array, shape (scorers, n)
        Of the patients who are asked for; NaN where one has none.
    labels : bool array, shape (n,)
        Their outcomes.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    short = _find_short(board, sites, ~np.isnan(scores), labels)
    if short is not None and short.any():
        raise SmallNumberError("an evaluation was asked for with too few patients at this site")


def _guard(board: Scoreboard, members: Counts, scores: Reals, added: tuple[Sequence[str], bool]) -> Summary:
    (sites, close), labels = added, board.labels[members]
    present = ~np.isnan(scores[:, members])
    short = _find_short(board, sites, present, labels)
    return local_guard(present, labels, short, np.full(len(present), close))


def _find_short(board: Scoreboard, sites: Sequence[str], present: Flags, labels: Flags) -> Flags | None:
    """Which scores have too few patients here; None where only the sum over sites must reach the minimums."""
    demands = (Demand("discrimination"),) * len(present)
    return find_short_here(board.plan, sites, (present, labels), demands)


def _sum_complete(board: Scoreboard, compared: ComparedScores, grids: tuple[ScoreGrid, ...]) -> Summary:
    """Each score's histogram over the patients who have all that are compared."""
    scores, labels = select_complete(board, compared)
    refuse_too_few(board, compared.cohort.sites, scores[:1], labels)
    return join_summaries(
        local_roc(row, labels, grids[scorer]).under(f"{scorer}")
        for scorer, row in zip(compared.scorers, scores, strict=True)
    )


def _sum_score(
    board: Scoreboard, members: Counts, scorer: int, terms: tuple[Part, float, ScoreGrid]
) -> Summary:
    """One score on one part; calibration and net benefit of predicted risks alone, where they are judged."""
    part, threshold, grid = terms
    evaluation = board.plan.evaluation
    scores, labels = board.scores[scorer, members], board.labels[members]
    sums = [
        local_roc(scores, labels, grid).under("roc"),
        local_confusion(scores, labels, threshold).under("confusion"),
    ]
    if part in JUDGED_PARTS:
        if scorers_of(board.plan)[scorer].probability:
            sums.append(local_calibration(scores, labels).under("calibration"))
            sums.append(local_decision(scores, labels, evaluation.decision_thresholds).under("decision"))
        sums += [
            _sum_subgroups(board, members, (scorer, grid), name).under(f"subgroups/{name}")
            for name in evaluation.subgroups
        ]
    return join_summaries(sums)


def _sum_subgroups(board: Scoreboard, members: Counts, scored: tuple[int, ScoreGrid], name: str) -> Summary:
    scorer, grid = scored
    variable = BY_NAME[name]
    parts = codes_of([board.cases[index] for index in members], variable)
    scores, labels = board.scores[scorer, members], board.labels[members]
    return local_subgroups(scores, labels, parts, len(levels_of(variable)), grid)
