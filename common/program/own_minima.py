"""The minima that a site's own patients must reach, because nothing else hides their numbers.

A sum over several sites hides how few patients one of them adds. Numbers of one site alone hide nothing, and
with two sites each can compute the other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.messages.groups import SiteGroup
from common.plan.study import StudyPlan
from common.stats.guard import Demand, find_short_analyses
from common.stats.minima import minima_of
from common.types import Flags


def find_short_here(
    plan: StudyPlan, sites: Sequence[str], patients: tuple[Flags, Flags], demands: Sequence[Demand]
) -> Flags | None:
    """The analyses that fall below a minimum of their own here, shape (analyses,).

    Parameters
    ----------
    plan : StudyPlan
    sites : sequence of str
        Over whom the numbers are added: of one site alone, its own minima hold.
    patients : (bool array of shape (analyses, n), bool array of shape (n,))
        Who has all that an analysis needs, and the outcomes.
    demands : sequence of Demand
        One for each analysis.

    Returns
    -------
    bool array, or None
        None where only the sum must reach the minima.
    """
    if len(sites) == 1:
        return find_short_alone(plan, patients, demands)
    minima = minima_of(plan.profile)
    return find_short_analyses(*patients, tuple(demands), minima) if plan.two_site_ack else None


def find_short_alone(plan: StudyPlan, patients: tuple[Flags, Flags], demands: Sequence[Demand]) -> Flags:
    """The analyses whose numbers may not be shown of this site alone, shape (analyses,)."""
    alone = tuple(replace(demand, one_site=True) for demand in demands)
    return find_short_analyses(*patients, alone, minima_of(plan.profile))


def find_widest_group(groups: Sequence[SiteGroup], site: str, part: str) -> tuple[str, ...]:
    """The sites of the largest group to which a site adds a part's numbers; it alone if there is none."""
    sets = [group.sites for group in groups if _has_part(group, site, part)]
    return max(sets, key=len, default=(site,))


def is_shown_alone(groups: Sequence[SiteGroup], site: str, part: str) -> bool:
    """Whether a site's numbers of a part are shown by themselves, beside a sum that hides them."""
    sets = [group.sites for group in groups if _has_part(group, site, part)]
    return (site,) in sets and len(sets) > 1


def _has_part(group: SiteGroup, site: str, part: str) -> bool:
    return site in group.sites and (not group.parts or part in group.parts)
