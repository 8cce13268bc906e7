"""What is shown of one site alone, beside sums over several: nothing of fewer patients than its minima."""

from __future__ import annotations

import numpy as np

from client.answers.describe import DESCRIPTION
from client.answers.evaluate import read_asked
from client.answers.own_minima import find_short_alone, is_shown_alone
from client.answers.patient_arrays import find_described, labels_of
from client.answers.scoreboard import Scoreboard, open_scoreboard
from client.answers.statistics import SiteAnalyses
from client.cohort.parts import cases_of
from common.messages.groups import groups_of
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Parameters
from common.plan.matrix import PARTS, TABLE_PARTS
from common.plan.variables import DESCRIBED
from common.stats.contract import Summary
from common.stats.guard import Demand


def withhold_few(
    analyses: SiteAnalyses, header: RequestHeader, parameters: Parameters, own: Summary
) -> Summary:
    """What leaves of this site alone: zeros wherever its own patients fall below its minima.

    The same numbers may stand in a sum over several sites, which hides how few they are of.

    Parameters
    ----------
    analyses : SiteAnalyses
        What the site computes.
    header : RequestHeader
        The question.
    parameters : Parameters
        What it carried.
    own : Summary
        The arrays of the answer that no other site is added to.
    """
    if header.operation is Operation.COHORT:
        return own.blank(_list_withheld_rows(analyses))
    if header.operation in {Operation.GRID, Operation.EVALUATE}:
        board = open_scoreboard(analyses.plan, analyses.site, analyses.cases, analyses.store)
        return own.blank(_list_withheld_scores(board, parameters))
    return own


def _list_withheld_rows(analyses: SiteAnalyses) -> tuple[str, ...]:
    """Names of the rows of Table 1, "PART/VARIABLE", with too few patients here."""
    groups, withheld = groups_of(analyses.plan, Operation.COHORT), []
    for part in TABLE_PARTS:
        if is_shown_alone(groups, analyses.site, part):
            cases = cases_of(analyses.cases, part)
            patients = (find_described(cases, DESCRIBED), labels_of(cases))
            short = find_short_alone(analyses.plan, patients, DESCRIPTION)
            withheld += [f"{part}/{DESCRIBED[row].name}" for row in np.flatnonzero(short).tolist()]
    return tuple(withheld)


def _list_withheld_scores(board: Scoreboard, parameters: Parameters) -> tuple[str, ...]:
    """Names of the cells, "PART/SCORER", with too few patients here."""
    groups, withheld = groups_of(board.plan, Operation.EVALUATE), []
    demands = (Demand("discrimination"),) * len(board.scores)
    for part, asked in zip(PARTS, read_asked(board, parameters), strict=True):
        if is_shown_alone(groups, board.site, part):
            members = board.find_members(part)
            patients = (~np.isnan(board.scores[:, members]), board.labels[members])
            short = find_short_alone(board.plan, patients, demands)
            withheld += [f"{part}/{scorer}" for scorer in np.flatnonzero(asked & short).tolist()]
    return tuple(withheld)
