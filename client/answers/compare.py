"""Models compared on the same patients of a site, and their risks calibrated, as sums."""

from __future__ import annotations

import numpy as np

from client.answers.evaluate import (
    find_compared_here,
    grids_of,
    refuse_too_few,
    select_complete,
    thresholds_of,
)
from client.answers.scoreboard import Scoreboard
from client.answers.singling import refuse_singling_newton
from common.errors import ProtocolError
from common.messages.calibrations import (
    read_calibrated_cohorts,
    read_calibrated_scores,
    select_calibrated,
)
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_newton, read_placements
from common.plan.comparisons import PAIR, ComparedScores
from common.plan.matrix import (
    PARTS,
    Part,
    cohorts_of,
    find_comparable,
    scorers_of,
)
from common.stats.calibration import logits
from common.stats.contract import Summary, join_summaries
from common.stats.decision_difference import local_decision_difference
from common.stats.delong import local_delong
from common.stats.mcnemar import local_mcnemar
from common.stats.newton import local_newton
from common.stats.score_grid import ScoreGrid
from common.stats.second_line import STEEP
from common.types import Counts, Reals

_CALLED = 0.5
"""Between the 0 and the 1 that stand for a call."""


def calibrate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """One round of Newton's method for the intercepts and slopes of many scores on many cohorts.

    Raises
    ------
    ProtocolError
        If a score is not to be calibrated on the cohort, or the problem is not of one column.
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    return join_summaries(
        _calibrate(board, index, parameters).under(f"calibrated/{index}")
        for index in read_calibrated_cohorts(parameters, len(cohorts_of(board.plan)))
    )


def _calibrate(board: Scoreboard, index: int, parameters: Parameters) -> Summary:
    """One cohort's part of the round.

    Raises
    ------
    ProtocolError
        If the problem is not of one column.
    """
    scorers = read_calibrated_scores(parameters, index, len(board.scores))
    matrix = np.full((len(board.cases), len(scorers)), np.nan)
    for column, scorer in enumerate(scorers):
        members = _find_calibrated(board, scorer, index)
        matrix[members, column] = logits(board.scores[scorer, members])
    problem, query = read_newton(select_calibrated(parameters, index), len(scorers))
    if problem.columns.shape[1] != 1:
        raise ProtocolError(f"a calibration is of one score, not of {problem.columns.shape[1]}")
    refuse_singling_newton("a calibration", (matrix, board.labels), (problem, query), STEEP)
    return local_newton(matrix, board.labels, problem, query)


def _find_calibrated(board: Scoreboard, scorer: int, index: int) -> Counts:
    """Positions of this site's patients of a cohort on which a score may be calibrated.

    Raises
    ------
    ProtocolError
        If the score is not to be calibrated on the cohort.
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    cohort = cohorts_of(board.plan)[index]
    if scorer not in find_comparable(board.plan, cohort):
        raise ProtocolError(f"score {scorer} was asked to be calibrated on cohort {index}")
    members = board.find_cohort(cohort)
    refuse_too_few(board, cohort.sites, board.scores[[scorer]][:, members], board.labels[members])
    return members


def compare_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """DeLong's second round of each comparison; discordant calls and net benefit of the pairs.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where its own patients must reach it.
    """
    grids, thresholds = grids_of(board, parameters), thresholds_of(board, parameters)
    return join_summaries(
        _compare(board, (scores, recounted), (grids, thresholds), parameters).under(scores.name)
        for scores, recounted in _find_wanted(board, parameters)
    )


def _find_wanted(board: Scoreboard, parameters: Parameters) -> list[tuple[ComparedScores, bool]]:
    """What a comparison is about, and whether its histograms are of its own patients."""
    compared = find_compared_here(board, parameters)
    wanted, recounted = (
        read_flag_array(parameters, name, (len(compared),)).tolist() for name in ("compared", "recounted")
    )
    return [(scores, own) for scores, own, asked in zip(compared, recounted, wanted, strict=True) if asked]


def _compare(
    board: Scoreboard,
    compared: tuple[ComparedScores, bool],
    terms: tuple[tuple[ScoreGrid, ...], Reals],
    parameters: Parameters,
) -> Summary:
    (scores, recounted), (grids, thresholds) = compared, terms
    numbers = list(scores.scorers)
    members = board.find_cohort(scores.cohort)
    rows, outcomes = board.scores[numbers][:, members], board.labels[members]
    known, labels = select_complete(board, scores)
    refuse_too_few(board, scores.cohort.sites, known[:1], labels)
    of_scores = [grids[number] for number in numbers]
    placements = [
        read_placements(parameters, scores.name_histogram(number, recounted=recounted), grid.bins)
        for number, grid in zip(numbers, of_scores, strict=True)
    ]
    sums = [local_delong(rows, outcomes, of_scores, placements).under("delong")]
    if len(numbers) == PAIR:
        calls = np.where(np.isnan(rows), np.nan, rows >= thresholds[numbers, np.newaxis])
        sums.append(local_mcnemar(calls, outcomes, _CALLED).under("mcnemar"))
        if all(scorers_of(board.plan)[number].probability for number in numbers):
            cuts = board.plan.evaluation.decision_thresholds
            sums.append(local_decision_difference(known, labels, cuts).under("benefit"))
    return join_summaries(sums)


def list_calibrated_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that a calibration is about."""
    cohorts = cohorts_of(board.plan)
    asked = {
        cohorts[index].part
        for index in read_calibrated_cohorts(parameters, len(cohorts))
        if board.site in cohorts[index].sites
    }
    return tuple(part for part in PARTS if part in asked)


def list_compared_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that a comparison is about."""
    asked = {
        scores.cohort.part
        for scores, _ in _find_wanted(board, parameters)
        if board.site in scores.cohort.sites
    }
    return tuple(part for part in PARTS if part in asked)
