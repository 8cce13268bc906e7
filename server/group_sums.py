"""The sites' own answers, added up over each group of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.groups import SiteGroup
from common.program.steps import GroupSums
from common.stats.contract import Summary, total


def sum_by_group(
    operation: Operation, groups: Sequence[SiteGroup], summaries: Mapping[str, Summary]
) -> GroupSums:
    """The sites' answers, added up by group; raises as `add_answers`."""
    return GroupSums(
        {
            group.sites: add_answers(operation, {site: group.select(summaries[site]) for site in group.sites})
            for group in groups
        }
    )


def add_answers(operation: Operation, summaries: Mapping[str, Summary]) -> Summary:
    """The sum of the sites' answers.

    Parameters
    ----------
    operation : Operation
        What was asked, for the message of the error.
    summaries : mapping of str to Summary
        By site; at least one.

    Raises
    ------
    ExchangeError
        If a site's answer has other arrays than the first site's.
    """
    (first, pattern), *others = summaries.items()
    for site, summary in others:
        if summary.layout() != pattern.layout():
            raise ExchangeError(
                f"{site}: its answer to {operation} has other arrays than that of {first} -> see that both "
                "sites run the same version of rhe and have approved the same plan"
            )
    return total(summaries.values())
