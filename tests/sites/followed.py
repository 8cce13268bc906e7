"""Sites in this process that follow the study's program with what the protocol would tell them, unmasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sites.exchange import NearExchange

from client.answers.shifts import PredictorShifts
from client.answers.statistics import SiteAnalyses
from client.door.course import AskedStep
from client.door.follower import Follower
from common.messages.catalogue import Operation, find_question
from common.messages.groups import SiteGroup, groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.program.steps import GroupSums
from common.stats.contract import Summary
from common.types import FlatWeights
from server.group_sums import sum_by_group


@dataclass
class FollowedExchange(NearExchange):  # type: ignore[misc]
    """Asks each site's follower before the site answers, and tells it the sums that come back to it.

    Attributes
    ----------
    followers : dict of Follower
        By site; all sites of the plan, unless set.
    """

    followers: dict[str, Follower] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, analyses in self.sites.items():
            self.followers.setdefault(name, _follow(analyses))

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """What every group of sites adds up to, once every site admits the question."""
        del weights
        asked = AskedStep(self.make_header(operation, parameters or {}, context), parameters or {})
        for follower in self.followers.values():
            follower.follow(asked)
        header = asked.header
        groups = groups_of(self.plan, operation, header.stage, header.arm)
        sites = {site for group in groups for site in group.sites}
        summaries = self.summaries(operation, tuple(sites), parameters, **context)
        sums = sum_by_group(operation, groups, summaries)
        for name, follower in self.followers.items():
            follower.learn(self._tell(name, header, groups, sums))
        return sums

    def make_header(
        self, operation: Operation, parameters: Parameters, context: Mapping[str, object]
    ) -> RequestHeader:
        """The header that the coordinator's question has."""
        fields = {"operation": operation, "plan_hash": self.plan.digest(), "site": "", **context}
        return RequestHeader.model_validate({**fields, "parameters": tuple(sorted(parameters))})

    def _tell(
        self, site: str, header: RequestHeader, groups: tuple[SiteGroup, ...], sums: GroupSums
    ) -> dict[tuple[str, ...], Summary]:
        """Its own sums, and of others that it is in what steers later questions."""
        told = {}
        for group in groups:
            if site not in group.sites:
                continue
            summary = sums.of(group.sites)
            known = summary if group.alone else _select_steering(header, summary)
            if known.layout():
                told[group.sites] = known
        return told


def _follow(analyses: SiteAnalyses) -> Follower:
    shifts = PredictorShifts(analyses.plan, analyses.cases, analyses.store)
    return Follower(analyses.plan, analyses.site, shifts.measure)


def _select_steering(header: RequestHeader, summary: Summary) -> Summary:
    steers = find_question(header.operation, header.stage).steers
    return Summary(
        {name: array for name, array in summary.counts.items() if steers(name)},
        {name: array for name, array in summary.reals.items() if steers(name)},
    )
