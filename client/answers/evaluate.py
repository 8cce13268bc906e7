"""How good every score of a site's patients is, as sums; before it, how many stand behind each."""

from __future__ import annotations

import numpy as np

from client.answers.patient_arrays import codes_of
from client.answers.scoreboard import Scoreboard
from common.cohort.schema import BY_NAME
from common.errors import ProtocolError, SmallNumberError
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_real_array
from common.plan.matrix import (
    FAIR,
    PARTS,
    Cohort,
    Part,
    find_compared_cohorts,
    is_available,
    judged_part_of,
    relation_of,
    scorers_of,
)
from common.plan.variables import levels_of
from common.stats.calibration import local_calibration
from common.stats.confusion import local_confusion
from common.stats.contract import Summary, join_summaries
from common.stats.decision import local_decision
from common.stats.guard import Demand, find_short_analyses, local_guard
from common.stats.meta import local_site
from common.stats.minima import minima_of
from common.stats.roc import RocResult, finish_roc, local_roc
from common.stats.subgroups import local_subgroups
from common.types import Counts, Flags, Reals

JUDGED_PARTS: tuple[Part, ...] = ("test", "whole")
"""Parts on which calibration, net benefit and subgroups are judged."""


def guard_scores(board: Scoreboard, too_close: Flags, parameters: Parameters) -> Summary:
    """Guard round: patients behind each score on each part, and behind each cohort's comparisons.

    Parameters
    ----------
    board : Scoreboard
        The scores of the site's patients.
    too_close : bool array, shape (parts,)
        Whether a part differs too little from a cohort already released.
    """
    parts = [
        _guard(board, board.find_members(part), board.scores, bool(near)).under(part)
        for part, near in zip(PARTS, too_close, strict=True)
    ]
    paired = [
        _guard(
            board,
            board.find_cohort(cohort),
            board.scores[list(scorers)].sum(axis=0, keepdims=True),
            bool(too_close[PARTS.index(cohort.part)]),
        ).under(f"paired/{index}")
        for index, cohort, scorers in find_compared_here(board, parameters)
    ]
    return join_summaries([*parts, *paired])


def evaluate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """Discrimination, confusion, calibration and net benefit of every score on every part that was asked.

    What was not asked has zeros, so that all sites can be added.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    asked = read_asked(board, parameters)
    thresholds = thresholds_of(board, parameters)
    cells = []
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.find_members(part)
        refuse_too_few(board, board.scores[of_part][:, members], board.labels[members])
        for scorer, wanted in enumerate(of_part.tolist()):
            patients = members if wanted else members[:0]
            cell = _sum_score(board, patients, scorer, (part, float(thresholds[scorer])))
            cells.append(cell.under(f"{part}/{scorer}"))
    compared = find_compared_here(board, parameters)
    paired = read_flag_array(parameters, "paired", (len(compared),))
    together = [
        _sum_pair(board, cohort if wanted else None, scorers).under(f"paired/{index}")
        for (index, cohort, scorers), wanted in zip(compared, paired.tolist(), strict=True)
    ]
    own_part = PARTS.index(judged_part_of(board.plan, board.site))
    centres = [
        local_site(compute_centre_roc(board, scorer, wanted=bool(asked[own_part, scorer]))).under(
            f"centre/{scorer}"
        )
        for scorer in range(len(board.scores))
    ]
    return join_summaries([*cells, *together, *centres])


def list_evaluated_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that an evaluation is about, alone or in pairs of scores."""
    asked = {
        part for part, of_part in zip(PARTS, read_asked(board, parameters), strict=True) if of_part.any()
    }
    compared = find_compared_here(board, parameters)
    paired = read_flag_array(parameters, "paired", (len(compared),)).tolist()
    asked |= {
        cohort.part
        for (_, cohort, _), wanted in zip(compared, paired, strict=True)
        if wanted and board.site in cohort.sites
    }
    return tuple(part for part in PARTS if part in asked)


def read_asked(board: Scoreboard, parameters: Parameters) -> Flags:
    """What is asked of this site, shape (parts, scorers); other sites may be asked more."""
    sites = board.plan.site_names
    asked = read_flag_array(parameters, "asked", (len(sites), len(PARTS), len(board.scores)))
    return np.asarray(asked[sites.index(board.site)], dtype=np.bool_)


def find_compared_here(
    board: Scoreboard, parameters: Parameters
) -> tuple[tuple[int, Cohort, tuple[int, ...]], ...]:
    """The cohorts of `find_compared_cohorts`, given which models exist."""
    scored = read_flag_array(parameters, "scored", (len(board.scores),))
    return find_compared_cohorts(board.plan, scored.tolist())


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


def select_complete(
    board: Scoreboard, cohort: Cohort | None, scorers: tuple[int, ...]
) -> tuple[Reals, Flags]:
    """Scores, shape (scorers, n), and outcomes of the cohort's patients at this site who have all of them."""
    members = board.find_members("whole")[:0] if cohort is None else board.find_cohort(cohort)
    scores = board.scores[list(scorers)][:, members]
    scored = ~np.isnan(scores).any(axis=0)
    return scores[:, scored], board.labels[members[scored]]


def refuse_too_few(board: Scoreboard, scores: Reals, labels: Flags) -> None:
    """Refuse what the guard round would have objected to, whatever the coordinator made of it.

    Parameters
    ----------
    board : Scoreboard
        The scores of the site's patients.
    scores : float array, shape (scorers, n)
        Of the patients who are asked for; NaN where one has none.
    labels : bool array, shape (n,)
        Their outcomes.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    short = _find_short(board, ~np.isnan(scores), labels)
    if short is not None and short.any():
        raise SmallNumberError("an evaluation was asked for with too few patients at this site")


def compute_centre_roc(board: Scoreboard, scorer: int, *, wanted: bool) -> RocResult:
    """The site's own discrimination, for heterogeneity between centres; suppressed below the minimums."""
    part = judged_part_of(board.plan, board.site)
    here, of_scorer = Cohort((board.site,), part), scorers_of(board.plan)[scorer]
    fair = is_available(board.plan, of_scorer, here) and relation_of(of_scorer, here) in FAIR
    members = board.find_members(part) if wanted and fair else board.find_members(part)[:0]
    summary = local_roc(board.scores[scorer, members], board.labels[members], board.plan.evaluation.bins)
    return finish_roc(summary, minima=minima_of(board.plan.profile))


def _guard(board: Scoreboard, members: Counts, scores: Reals, close: bool) -> Summary:  # noqa: FBT001
    present, labels = ~np.isnan(scores[:, members]), board.labels[members]
    return local_guard(present, labels, _find_short(board, present, labels), np.full(len(present), close))


def _find_short(board: Scoreboard, present: Flags, labels: Flags) -> Flags | None:
    """Which scores have too few patients here; None where only the sum over sites must reach the minimums.

    With two sites, each can compute the other's numbers, so every minimum must also hold at each site.
    """
    if not board.plan.two_site_ack:
        return None
    demands = (Demand("discrimination"),) * len(present)
    return find_short_analyses(present, labels, demands, minima_of(board.plan.profile))


def _sum_pair(board: Scoreboard, cohort: Cohort | None, scorers: tuple[int, ...]) -> Summary:
    scores, labels = select_complete(board, cohort, scorers)
    refuse_too_few(board, scores[:1], labels)
    return local_roc(scores, labels, board.plan.evaluation.bins)


def _sum_score(board: Scoreboard, members: Counts, scorer: int, terms: tuple[Part, float]) -> Summary:
    """One score on one part; calibration and net benefit of predicted risks alone, where they are judged."""
    part, threshold = terms
    evaluation = board.plan.evaluation
    scores, labels = board.scores[scorer, members], board.labels[members]
    sums = [
        local_roc(scores, labels, evaluation.bins).under("roc"),
        local_confusion(scores, labels, threshold).under("confusion"),
    ]
    if part in JUDGED_PARTS:
        if scorers_of(board.plan)[scorer].probability:
            sums.append(local_calibration(scores, labels).under("calibration"))
            sums.append(local_decision(scores, labels, evaluation.decision_thresholds).under("decision"))
        sums += [
            _sum_subgroups(board, members, scorer, name).under(f"subgroups/{name}")
            for name in evaluation.subgroups
        ]
    return join_summaries(sums)


def _sum_subgroups(board: Scoreboard, members: Counts, scorer: int, name: str) -> Summary:
    variable = BY_NAME[name]
    parts = codes_of([board.cases[index] for index in members], variable)
    scores, labels = board.scores[scorer, members], board.labels[members]
    return local_subgroups(scores, labels, parts, len(levels_of(variable)), board.plan.evaluation.bins)
