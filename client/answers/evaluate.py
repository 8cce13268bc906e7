"""How good every score of a site's patients is, as sums; before it, how many stand behind each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from client.answers.inquiry import Backing, Inquiry
from client.answers.patient_arrays import codes_of
from client.answers.scoreboard import Scoreboard
from common.errors import ProtocolError
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_grids, read_integer_array, read_real_array
from common.plan.comparisons import ComparedScores, find_compared_scores
from common.plan.grids import most_counted_edges, most_edges
from common.plan.matrix import (
    PARTS,
    Part,
    scorers_of,
)
from common.plan.repeated_trainings import is_repeat
from common.plan.variables import levels_of
from common.program.own_minima import find_widest_group
from common.stats.calibration import local_calibration
from common.stats.confusion import local_confusion
from common.stats.contract import Summary, join_summaries
from common.stats.decision import local_decision
from common.stats.roc import local_roc
from common.stats.score_grid import ScoreGrid, count_by_bin
from common.stats.subgroups import local_subgroups
from common.types import Counts, Flags, Reals

JUDGED_PARTS: tuple[Part, ...] = ("test", "whole")
"""Parts on which calibration, net benefit and subgroups are judged."""
EVALUATED = "an evaluation was"
"""What is asked for, in words."""


def list_scored_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The patients of each part, and who of them has each score that was asked for."""
    board = inquiry.board
    everything = np.ones((len(PARTS), len(board.scores)), dtype=np.bool_)
    asked = everything if inquiry.is_guard else read_asked(board, inquiry.parameters)
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.find_members(part)
        yield Backing(
            what=EVALUATED,
            sites=find_sites_of(board, part),
            cohort=part,
            complete=~np.isnan(board.scores[of_part][:, members]),
            labels=board.labels[members],
            part=part,
            rows=tuple(str(scorer) for scorer in np.flatnonzero(of_part).tolist()),
        )


def list_evaluated_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The same, and those who have all scores of which the histograms over these patients are asked."""
    yield from list_scored_patients(inquiry)
    compared = find_compared_here(inquiry.board, inquiry.parameters)
    wanted = [True] * len(compared) if inquiry.is_guard else _read_recounted(inquiry.parameters, compared)
    for scores, is_wanted in zip(compared, wanted, strict=True):
        if is_wanted:
            yield find_paired_patients(inquiry.board, scores)


def find_paired_patients(board: Scoreboard, compared: ComparedScores) -> Backing:
    """The patients of this site's cohort, and who of them has all scores that are compared."""
    members = board.find_cohort(compared.cohort)
    return Backing(
        what=EVALUATED,
        sites=compared.cohort.sites,
        cohort=compared.cohort.part,
        complete=~np.isnan(board.scores[list(compared.scorers)][:, members].sum(axis=0, keepdims=True)),
        labels=board.labels[members],
        part=compared.name,
    )


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
        for scorer, grid in zip(numbers.tolist(), grids, strict=True):
            patients = members if of_part[scorer] else members[:0]
            counts[f"{part}/{scorer}/histogram"] = count_by_bin(
                board.scores[scorer, patients], board.labels[patients], grid
            )
    return Summary(counts)


def evaluate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """Discrimination, confusion, calibration and net benefit of every score on every part that was asked.

    What was not asked has zeros, so that all sites can be added.
    """
    asked = read_asked(board, parameters)
    thresholds, grids = thresholds_of(board, parameters), grids_of(board, parameters)
    cells = []
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.find_members(part)
        for scorer, wanted in enumerate(of_part.tolist()):
            patients = members if wanted else members[:0]
            cell = _sum_score(board, patients, scorer, (part, float(thresholds[scorer]), grids[scorer]))
            cells.append(cell.under(f"{part}/{scorer}"))
    compared = find_compared_here(board, parameters)
    recounted = _read_recounted(parameters, compared)
    together = [
        _sum_complete(board, scores, grids).under(scores.name)
        for scores, wanted in zip(compared, recounted, strict=True)
        if wanted
    ]
    return join_summaries([*cells, *together])


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


def _read_recounted(parameters: Parameters, compared: Sequence[ComparedScores]) -> list[bool]:
    """Of which comparisons the histograms are of their own patients."""
    return [bool(flag) for flag in read_flag_array(parameters, "recounted", (len(compared),))]


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


def _sum_complete(board: Scoreboard, compared: ComparedScores, grids: tuple[ScoreGrid, ...]) -> Summary:
    """Each score's histogram over the patients who have all that are compared."""
    scores, labels = select_complete(board, compared)
    return join_summaries(
        local_roc(row, labels, grids[scorer]).under(f"{scorer}")
        for scorer, row in zip(compared.scorers, scores, strict=True)
    )


def _sum_score(
    board: Scoreboard, members: Counts, scorer: int, terms: tuple[Part, float, ScoreGrid]
) -> Summary:
    """One score on one part; calibration and net benefit of predicted risks alone, where they are judged.

    Of a further training of a network, only what its AUC and its calls need.
    """
    part, threshold, grid = terms
    evaluation = board.plan.evaluation
    scores, labels = board.scores[scorer, members], board.labels[members]
    sums = [
        local_roc(scores, labels, grid).under("roc"),
        local_confusion(scores, labels, threshold).under("confusion"),
    ]
    if part in JUDGED_PARTS and not is_repeat(scorers_of(board.plan)[scorer].model):
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
    variable = board.plan.variable(name)
    parts = codes_of([board.cases[index] for index in members], variable)
    scores, labels = board.scores[scorer, members], board.labels[members]
    return local_subgroups(scores, labels, parts, len(levels_of(variable)), grid)
