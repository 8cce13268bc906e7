"""A coordinator's line to sites in this process: no message, no key, no file but registries and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client.analyses import SiteAnalyses
from client.prepare import PreparedCase
from client.registry import ReleaseRegistry
from client.score_store import ScoreStore
from common.headers import Operation, RequestHeader
from common.protocol import Parameters
from common.stats.contract import Summary, total
from common.stats.minima import minima_of
from common.study import StudyPlan

_ANSWERS: dict[Operation, Callable[[SiteAnalyses, RequestHeader, Parameters], Summary]] = {
    Operation.GUARD: SiteAnalyses.guard,
    Operation.COHORT: SiteAnalyses.cohort,
    Operation.SETUP: SiteAnalyses.setup,
    Operation.NEWTON: SiteAnalyses.newton,
    Operation.EVALUATE: SiteAnalyses.evaluate,
    Operation.CALIBRATE: SiteAnalyses.calibrate,
    Operation.COMPARE: SiteAnalyses.compare,
}


def analyses_of(plan: StudyPlan, site: str, cases: Sequence[PreparedCase], folder: Path) -> SiteAnalyses:
    """One site's answers about these patients; its registry and scores lie in the folder."""
    minima = minima_of(plan.profile)
    registry = ReleaseRegistry(folder / "released.json", plan.cohort.maximum_releases, minima)
    return SiteAnalyses(plan, site, tuple(cases), ScoreStore(folder / "scores", plan.digest()), registry)


@dataclass
class NearExchange:
    """Asks sites as `server.exchange.Exchange` does.

    Attributes
    ----------
    plan : StudyPlan
    sites : dict of SiteAnalyses
    asked : list
        Operation, site and parameters of every question, in their order.
    rounds : int
    """

    plan: StudyPlan
    sites: Mapping[str, SiteAnalyses]
    asked: list[tuple[Operation, str, Parameters]] = field(default_factory=list)
    rounds: int = 0

    def summaries(
        self,
        operation: Operation,
        sites: Sequence[str],
        parameters: Parameters | None = None,
        **context: object,
    ) -> dict[str, Summary]:
        """What each of these sites adds, sorted by name."""
        self.rounds += 1
        return {site: self._answer(operation, site, parameters or {}, context) for site in sorted(sites)}

    def sum(
        self,
        operation: Operation,
        sites: Sequence[str],
        parameters: Parameters | None = None,
        **context: object,
    ) -> Summary:
        """What these sites add up to."""
        return total(self.summaries(operation, sites, parameters, **context).values())

    def _answer(
        self, operation: Operation, site: str, parameters: Parameters, context: Mapping[str, object]
    ) -> Summary:
        self.asked.append((operation, site, parameters))
        fields = {"operation": operation, "plan_hash": self.plan.digest(), "site": site, **context}
        return _ANSWERS[operation](self.sites[site], RequestHeader.model_validate(fields), parameters)
