"""Models compared on the same patients of a site, and their risks calibrated, as sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from client.answers.evaluate import (
    EVALUATED,
    find_compared_here,
    find_paired_patients,
    grids_of,
    select_complete,
    thresholds_of,
)
from client.answers.inquiry import Backing, Inquiry
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


def list_calibrated_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The patients of each cohort on which a score is calibrated, and who of them has it."""
    board, parameters = inquiry.board, inquiry.parameters
    cohorts = cohorts_of(board.plan)
    for index in read_calibrated_cohorts(parameters, len(cohorts)):
        cohort, (scorers, members) = cohorts[index], _read_scorers(board, index, parameters)
        yield Backing(
            what=EVALUATED,
            sites=cohort.sites,
            cohort=cohort.part,
            complete=~np.isnan(board.scores[scorers][:, members]),
            labels=board.labels[members],
            part=f"calibrated/{index}",
        )


def list_compared_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The patients of each comparison, and who of them has all its scores."""
    for scores, _ in _find_wanted(inquiry.board, inquiry.parameters):
        yield find_paired_patients(inquiry.board, scores)


def calibrate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """One round of Newton's method for the intercepts and slopes of many scores on many cohorts.

    Raises
    ------
    ProtocolError
        If a score is not to be calibrated on the cohort, or the problem is not of one column.
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
    scorers, members = _read_scorers(board, index, parameters)
    matrix = np.full((len(board.cases), len(scorers)), np.nan)
    matrix[members] = logits(board.scores[scorers][:, members]).T
    problem, query = read_newton(select_calibrated(parameters, index), len(scorers))
    if problem.columns.shape[1] != 1:
        raise ProtocolError(f"a calibration is of one score, not of {problem.columns.shape[1]}")
    refuse_singling_newton("a calibration", (matrix, board.labels), (problem, query), STEEP)
    return local_newton(matrix, board.labels, problem, query)


def _read_scorers(board: Scoreboard, index: int, parameters: Parameters) -> tuple[list[int], Counts]:
    """The scores that are calibrated on a cohort, and positions of this site's patients of it.

    Raises
    ------
    ProtocolError
        If one is not to be calibrated on it.
    """
    cohort = cohorts_of(board.plan)[index]
    scorers = list(read_calibrated_scores(parameters, index, len(board.scores)))
    strangers = set(scorers) - set(find_comparable(board.plan, cohort))
    if strangers:
        raise ProtocolError(f"score {min(strangers)} was asked to be calibrated on cohort {index}")
    return scorers, board.find_cohort(cohort)


def compare_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """DeLong's second round of each comparison; discordant calls and net benefit of the pairs."""
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
