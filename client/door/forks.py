"""Another branch of the program, taken where the site's own does not lead to the coordinator's question.

Only where a statistic of the site lies within rounding of its threshold is there another; the coordinator has
then decided, as the plan's program lets it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from client.door.course import AskedStep
from client.door.follower import Follower
from common.errors import NotThePlanError
from common.stats.branches import Fork

_log = logging.getLogger(__name__)


def follow_any_branch(
    follower: Follower, step: AskedStep, replay: Callable[[Mapping[str, frozenset[Fork]]], Follower]
) -> tuple[Follower, bool]:
    """The follower after a question, on the branch that leads to it; whether the site's patients are in it.

    Parameters
    ----------
    follower : Follower
        As far as the site was asked.
    step : AskedStep
        What is asked next.
    replay : callable
        A follower that went as far on other branches, by procedure; raises `NotThePlanError` if these do not
        lead so far.

    Raises
    ------
    NotThePlanError
        If no branch leads to the question; as the site's own branch says it.
    """
    try:
        return follower, follower.follow(step)
    except NotThePlanError:
        for course in follower.list_concerned(step.header.procedure):
            for branches in course.branches.list_others():
                turned = {**follower.turned, course.procedure.name: branches.turned}
                try:
                    other = replay(turned)
                    is_member = other.follow(step)
                except NotThePlanError:
                    continue
                _log.info("other branch procedure=%s step=%d", step.header.procedure, step.header.step)
                return other, is_member
        raise
