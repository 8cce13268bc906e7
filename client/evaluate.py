"""How good every score of a site's patients is, as sums: first who stands behind each, then what they add."""

from __future__ import annotations

import numpy as np

from client.covariates import codes_of
from client.scoreboard import Scoreboard
from common.cohort.schema import BY_NAME
from common.errors import ProtocolError, SmallNumberError
from common.matrix import (
    FAIR,
    PARTS,
    Cohort,
    Part,
    compared_cohorts,
    is_available,
    own_test,
    relation_of,
    scorers_of,
)
from common.protocol import Parameters
from common.questions import flags, reals
from common.stats.calibration import local_calibration
from common.stats.confusion import local_confusion
from common.stats.contract import Summary, join
from common.stats.decision import local_decision
from common.stats.guard import Demand, local_guard, short_at_site
from common.stats.meta import local_site
from common.stats.minima import minima_of
from common.stats.roc import RocResult, finish_roc, local_roc
from common.stats.subgroups import local_subgroups
from common.types import Counts, Flags, Reals
from common.variables import levels_of

JUDGED: tuple[Part, ...] = ("test", "whole")
"""Parts on which calibration, net benefit and subgroups are looked at."""


def guard_scores(board: Scoreboard, close: Flags, parameters: Parameters) -> Summary:
    """R0: patients behind each score on each part, and behind each cohort's comparisons.

    Parameters
    ----------
    close : bool array, shape (parts,)
        Whether a part differs too little from a cohort already released.
    """
    parts = [
        _guard(board, board.members(part), board.scores, bool(near)).under(part)
        for part, near in zip(PARTS, close, strict=True)
    ]
    paired = [
        _guard(
            board,
            board.of_cohort(cohort),
            board.scores[list(scorers)].sum(axis=0, keepdims=True),
            bool(close[PARTS.index(cohort.part)]),
        ).under(f"paired/{index}")
        for index, cohort, scorers in compared_here(board, parameters)
    ]
    return join([*parts, *paired])


def evaluate_scores(board: Scoreboard, parameters: Parameters) -> Summary:
    """Discrimination, calls, calibration and net benefit of every score on every part that was asked.

    What was not asked is there with zeros, so that all sites can be added.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    asked = asked_here(board, parameters)
    thresholds = thresholds_of(board, parameters)
    cells = []
    for part, of_part in zip(PARTS, asked, strict=True):
        members = board.members(part)
        insist(board, board.scores[of_part][:, members], board.labels[members])
        for scorer, wanted in enumerate(of_part.tolist()):
            own = members if wanted else members[:0]
            cell = _cell(board, own, scorer, (part, float(thresholds[scorer])))
            cells.append(cell.under(f"{part}/{scorer}"))
    compared = compared_here(board, parameters)
    paired = flags(parameters, "paired", (len(compared),))
    together = [
        _paired(board, cohort if wanted else None, scorers).under(f"paired/{index}")
        for (index, cohort, scorers), wanted in zip(compared, paired.tolist(), strict=True)
    ]
    own_part = PARTS.index(own_test(board.plan, board.site))
    centres = [
        local_site(centre_roc(board, scorer, wanted=bool(asked[own_part, scorer]))).under(f"centre/{scorer}")
        for scorer in range(len(board.scores))
    ]
    return join([*cells, *together, *centres])


def evaluated_parts(board: Scoreboard, parameters: Parameters) -> tuple[Part, ...]:
    """The parts of this site's patients that an evaluation is about, alone or in pairs of scores."""
    asked = {
        part for part, of_part in zip(PARTS, asked_here(board, parameters), strict=True) if of_part.any()
    }
    compared = compared_here(board, parameters)
    paired = flags(parameters, "paired", (len(compared),)).tolist()
    asked |= {
        cohort.part
        for (_, cohort, _), wanted in zip(compared, paired, strict=True)
        if wanted and board.site in cohort.sites
    }
    return tuple(part for part in PARTS if part in asked)


def asked_here(board: Scoreboard, parameters: Parameters) -> Flags:
    """What is asked of this site, shape (parts, scorers); others' cohorts may be judged where its may not."""
    sites = board.plan.site_names
    asked = flags(parameters, "asked", (len(sites), len(PARTS), len(board.scores)))
    return np.asarray(asked[sites.index(board.site)], dtype=np.bool_)


def compared_here(
    board: Scoreboard, parameters: Parameters
) -> tuple[tuple[int, Cohort, tuple[int, ...]], ...]:
    """The cohorts of `compared_cohorts`, given which models exist."""
    scored = flags(parameters, "scored", (len(board.scores),))
    return compared_cohorts(board.plan, scored.tolist())


def thresholds_of(board: Scoreboard, parameters: Parameters) -> Reals:
    """The operating point of each score, shape (scorers,)."""
    thresholds = reals(parameters, "thresholds", 1)
    if thresholds.shape != (len(board.scores),):
        raise ProtocolError(f"{thresholds.size} thresholds came for {len(board.scores)} scores")
    return thresholds


def complete(board: Scoreboard, cohort: Cohort | None, scorers: tuple[int, ...]) -> tuple[Reals, Flags]:
    """Scores, shape (scorers, n), and outcomes of a cohort's patients here who have all of these scores."""
    members = board.members("whole")[:0] if cohort is None else board.of_cohort(cohort)
    scores = board.scores[list(scorers)][:, members]
    kept = ~np.isnan(scores).any(axis=0)
    return scores[:, kept], board.labels[members[kept]]


def insist(board: Scoreboard, scores: Reals, labels: Flags) -> None:
    """Refuses what the guard round would have objected to, whatever the coordinator made of it.

    Parameters
    ----------
    scores : float array, shape (scorers, n)
        Of those that are asked for; NaN for a patient without.

    Raises
    ------
    SmallNumberError
        If a minimum is not reached at this site where each of two sites must reach it.
    """
    short = _short(board, ~np.isnan(scores), labels)
    if short is not None and short.any():
        raise SmallNumberError("an evaluation was asked for with too few patients at this site")


def centre_roc(board: Scoreboard, scorer: int, *, wanted: bool) -> RocResult:
    """The site's own discrimination, for heterogeneity between centres; suppressed where it must be."""
    part = own_test(board.plan, board.site)
    here, of_scorer = Cohort((board.site,), part), scorers_of(board.plan)[scorer]
    fair = is_available(board.plan, of_scorer, here) and relation_of(of_scorer, here) in FAIR
    own = board.members(part) if wanted and fair else board.members(part)[:0]
    summary = local_roc(board.scores[scorer, own], board.labels[own], board.plan.evaluation.bins)
    return finish_roc(summary, minima=minima_of(board.plan.profile))


def _guard(board: Scoreboard, members: Counts, scores: Reals, close: bool) -> Summary:  # noqa: FBT001
    present, labels = ~np.isnan(scores[:, members]), board.labels[members]
    return local_guard(present, labels, _short(board, present, labels), np.full(len(present), close))


def _short(board: Scoreboard, present: Flags, labels: Flags) -> Flags | None:
    """Of two sites each can tell the other's numbers: then every minimum holds at each of them."""
    if not board.plan.two_site_ack:
        return None
    demands = (Demand("discrimination"),) * len(present)
    return short_at_site(present, labels, demands, minima_of(board.plan.profile))


def _paired(board: Scoreboard, cohort: Cohort | None, scorers: tuple[int, ...]) -> Summary:
    scores, labels = complete(board, cohort, scorers)
    insist(board, scores[:1], labels)
    return local_roc(scores, labels, board.plan.evaluation.bins)


def _cell(board: Scoreboard, own: Counts, scorer: int, terms: tuple[Part, float]) -> Summary:
    """One score on one part: calibration and net benefit of predicted risks alone, where they are judged."""
    part, threshold = terms
    evaluation = board.plan.evaluation
    scores, labels = board.scores[scorer, own], board.labels[own]
    found = [
        local_roc(scores, labels, evaluation.bins).under("roc"),
        local_confusion(scores, labels, threshold).under("confusion"),
    ]
    if part in JUDGED:
        if scorers_of(board.plan)[scorer].probability:
            found.append(local_calibration(scores, labels).under("calibration"))
            found.append(local_decision(scores, labels, evaluation.decision_thresholds).under("decision"))
        found += [
            _subgroups(board, own, scorer, name).under(f"subgroups/{name}") for name in evaluation.subgroups
        ]
    return join(found)


def _subgroups(board: Scoreboard, own: Counts, scorer: int, name: str) -> Summary:
    variable = BY_NAME[name]
    parts = codes_of([board.cases[index] for index in own], variable)
    scores, labels = board.scores[scorer, own], board.labels[own]
    return local_subgroups(scores, labels, parts, len(levels_of(variable)), board.plan.evaluation.bins)
