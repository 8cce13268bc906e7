"""What the sites answered to a question about several groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import ExchangeError
from common.groups import Group
from common.headers import Operation
from common.stats.contract import Summary, total


@dataclass(frozen=True)
class Gathered:
    """One sum for each group of sites of `common.groups`.

    Attributes
    ----------
    sums : mapping of tuple of str to Summary
        By the sites of the group, sorted.
    """

    sums: Mapping[tuple[str, ...], Summary]

    def of(self, sites: Sequence[str]) -> Summary:
        """What these sites add up to.

        Raises
        ------
        KeyError
            If the plan has no such group.
        """
        return self.sums[tuple(sorted(sites))]


def gathered(operation: Operation, groups: Sequence[Group], summaries: Mapping[str, Summary]) -> Gathered:
    """Sites' answers, added up by group; raises as `added`."""
    return Gathered(
        {
            group.sites: added(operation, {site: group.of(summaries[site]) for site in group.sites})
            for group in groups
        }
    )


def added(operation: Operation, summaries: Mapping[str, Summary]) -> Summary:
    """The sum of answers, by site.

    Raises
    ------
    ExchangeError
        If a site's has other arrays than the first one's.
    """
    (first, pattern), *others = summaries.items()
    for site, summary in others:
        if summary.layout() != pattern.layout():
            raise ExchangeError(
                f"{site}: its answer to {operation} has other arrays than that of {first} -> see that both "
                "sites run the same version of rhe and have approved the same plan"
            )
    return total(summaries.values())
