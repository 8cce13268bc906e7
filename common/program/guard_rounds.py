"""What a guard round comes to: whether enough patients stand behind each number that may be asked next."""

from __future__ import annotations

from collections.abc import Sequence

from common.messages.catalogue import Operation, find_question
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.guard import GuardResult, finish_guard
from common.stats.minima import minima_of


def judge_counted(
    plan: StudyPlan, stage: str, counted: Summary, *, one_site: bool, columns: Sequence[int] = ()
) -> tuple[GuardResult, ...]:
    """Of each analysis that was counted, its numbers and whether it may be asked for.

    Parameters
    ----------
    plan : StudyPlan
    stage : str
        Of the guard round: the catalogue says what the questions behind it demand.
    counted : Summary
        The sum over the sites.
    one_site : bool
        Whether one site alone has the patients: no sum hides them.
    columns : sequence of int
        Columns of covariates of each analysis; empty where analyses have none.
    """
    question = find_question(Operation.GUARD, stage)
    demands = tuple(
        question.make_demand(number, one_site=one_site)
        for number in columns or (0,) * len(counted.counts["classes"])
    )
    return finish_guard(counted, demands, minima_of(plan.profile), two_site_ack=plan.two_site_ack)
