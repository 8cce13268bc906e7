"""Models compared on the same patients of a site, and their risks calibrated, as sums."""

from __future__ import annotations

import numpy as np

from client.answers.evaluate import (
    compute_centre_roc,
    find_compared_here,
    read_asked,
    refuse_too_few,
    select_complete,
    thresholds_of,
)
from client.answers.scoreboard import Scoreboard
from common.errors import ProtocolError
from common.messages.protocol import Parameters
from common.messages.questions import read_newton, read_pairs, read_placements, read_real_array
from common.plan.matrix import (
    PARTS,
    Cohort,
    Part,
    cohorts_of,
    find_comparable,
    judged_part_of,
    scorers_of,
)
from common.stats.calibration import logits
from common.stats.contract import Summary, join_summaries
from common.stats.decision_difference import local_decision_difference
from common.stats.delong import local_delong
from common.stats.mcnemar import local_mcnemar
from common.stats.meta import local_weighted
from common.stats.newton import local_newton
from common.types import Counts

_CALLED = 0.5
"""Between the 0 and the 1 that stand for a call."""


def calibrate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """One round of Newton's method for the intercepts and slopes of many scores on many cohorts.

    Raises
    ------
    ProtocolError
        If a score is not to be calibrated on the cohort, or the problem is not of one column.
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    pairs = _read_calibrated(board, parameters)
    matrix = np.full((len(board.cases), len(pairs)), np.nan)
    for column, (scorer, index) in enumerate(pairs):
        members = _find_calibrated(board, scorer, index)
        matrix[members, column] = logits(board.scores[scorer, members])
    problem, query = read_newton(parameters, len(pairs))
    if problem.columns.shape[1] != 1:
        raise ProtocolError(f"a calibration is of one score, not of {problem.columns.shape[1]}")
    return local_newton(matrix, board.labels, problem, query)


def _read_calibrated(board: Scoreboard, parameters: Parameters) -> tuple[tuple[int, int], ...]:
    """Which scores on which cohorts a question of calibration is about, by their numbers."""
    return read_pairs(parameters, "pairs", (len(board.scores), len(cohorts_of(board.plan))))


def _find_calibrated(board: Scoreboard, scorer: int, index: int) -> Counts:
    """Positions of this site's patients of a cohort on which a score may be calibrated.

    Raises
    ------
    ProtocolError
        If the score is not to be calibrated on the cohort.
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    cohort = cohorts_of(board.plan)[index]
    if scorer not in find_comparable(board.plan, cohort):
        raise ProtocolError(f"score {scorer} was asked to be calibrated on cohort {index}")
    members = board.find_cohort(cohort)
    refuse_too_few(board, board.scores[[scorer]][:, members], board.labels[members])
    return members


def compare_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """DeLong's second round, discordant calls and net benefit by pairs, and the second round over centres.

    Raises
    ------
    ProtocolError
        If there is not one variance between centres for each score.
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    spread = read_real_array(parameters, "tau_squared", 1)
    if spread.shape != (len(board.scores),):
        raise ProtocolError(f"{spread.size} variances came for {len(board.scores)} scores")
    asked, own_part = read_asked(board, parameters), PARTS.index(judged_part_of(board.plan, board.site))
    paired = [
        _compare(board, (index, cohort, scorers), parameters).under(f"paired/{index}")
        for index, cohort, scorers in find_compared_here(board, parameters)
        if f"{index}.auc" in parameters
    ]
    centres = [
        local_weighted(
            compute_centre_roc(board, scorer, wanted=bool(asked[own_part, scorer])), float(spread[scorer])
        ).under(f"centre/{scorer}")
        for scorer in range(len(board.scores))
    ]
    return join_summaries([*paired, *centres])


def _compare(
    board: Scoreboard, compared: tuple[int, Cohort, tuple[int, ...]], parameters: Parameters
) -> Summary:
    index, cohort, scorers = compared
    members = board.find_cohort(cohort)
    rows, outcomes = board.scores[list(scorers)][:, members], board.labels[members]
    calls = np.where(
        np.isnan(rows), np.nan, rows >= thresholds_of(board, parameters)[list(scorers), np.newaxis]
    )
    scores, labels = select_complete(board, cohort, scorers)
    refuse_too_few(board, scores[:1], labels)
    pairs = read_pairs(parameters, f"{index}.pairs", (len(scorers), len(scorers)))
    thresholds = board.plan.evaluation.decision_thresholds
    risks = [scorers_of(board.plan)[scorer].probability for scorer in scorers]
    return join_summaries(
        [
            local_delong(
                rows, outcomes, read_placements(parameters, index, (len(scorers), board.plan.evaluation.bins))
            ).under("delong"),
            local_mcnemar(calls, outcomes, _CALLED).under("mcnemar"),
            *(
                local_decision_difference(scores[[first, second]], labels, thresholds).under(
                    f"benefit/{pair}"
                )
                for pair, (first, second) in enumerate(pairs)
                if risks[first] and risks[second]
            ),
        ]
    )


def list_calibrated_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that a calibration is about."""
    cohorts = cohorts_of(board.plan)
    pairs = _read_calibrated(board, parameters)
    asked = {cohorts[index].part for _, index in pairs if board.site in cohorts[index].sites}
    return tuple(part for part in PARTS if part in asked)


def list_compared_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that a comparison is about."""
    asked = {
        cohort.part
        for index, cohort, _ in find_compared_here(board, parameters)
        if f"{index}.auc" in parameters and board.site in cohort.sites
    }
    own_part = judged_part_of(board.plan, board.site)
    if read_asked(board, parameters)[PARTS.index(own_part)].any():
        asked.add(own_part)
    return tuple(part for part in PARTS if part in asked)
