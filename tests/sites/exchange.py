"""A coordinator's line to sites in this process: no message, no key, no file but registries and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sites.patients import a_case

from client.answers.score_store import ScoreStore
from client.answers.scoreboard import Scoreboard, open_scoreboard
from client.answers.statistics import SiteAnalyses
from client.cohort.cases import PreparedCase
from client.release.registry import ReleaseRegistry
from common.cohort.split import SplitPart
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters, Reply
from common.plan.matrix import scorers_of
from common.plan.study import StudyPlan
from common.program.steps import GroupSums
from common.stats.contract import Summary
from common.stats.minima import minima_of
from common.types import Flags, FlatWeights, Reals
from server.group_sums import sum_by_group


def analyses_of(plan: StudyPlan, site: str, cases: Sequence[PreparedCase], folder: Path) -> SiteAnalyses:
    """One site's answers about these patients; its registry and scores lie in the folder."""
    minima = minima_of(plan.profile)
    registry = ReleaseRegistry(folder / "released.json", plan.cohort.maximum_releases, minima)
    return SiteAnalyses(plan, site, tuple(cases), ScoreStore(folder / "scores", plan.digest()), registry)


def open_board(analyses: SiteAnalyses) -> Scoreboard:
    """Every score of a site's patients."""
    return open_scoreboard(analyses.plan, analyses.site, analyses.cases, analyses.store)


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

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """What every group of sites adds up to; nobody here trains a network."""
        del weights
        stage, arm = str(context.get("stage", "")), str(context.get("arm", ""))
        groups = groups_of(self.plan, operation, stage, arm)
        sites = {site for group in groups for site in group.sites}
        summaries = self.summaries(operation, tuple(sites), parameters, **context)
        return sum_by_group(operation, groups, summaries)

    def sum(
        self,
        operation: Operation,
        sites: Sequence[str],
        parameters: Parameters | None = None,
        **context: object,
    ) -> Summary:
        """What these sites add up to."""
        return self.gather(operation, parameters, None, **context).of(sites)

    def ask(
        self,
        operation: Operation,
        sites: Sequence[str],
        weights: FlatWeights | None = None,
        parameters: Parameters | None = None,
        **context: object,
    ) -> dict[str, Reply]:
        """Nothing: sites here answer with sums alone."""
        raise NotImplementedError(operation, sites, weights, parameters, context)

    def _answer(
        self, operation: Operation, site: str, parameters: Parameters, context: Mapping[str, object]
    ) -> Summary:
        self.asked.append((operation, site, parameters))
        fields = {"operation": operation, "plan_hash": self.plan.digest(), "site": site, **context}
        return self.sites[site].answer(RequestHeader.model_validate(fields), parameters)


def make_scored_cases(seed: int, patients: int) -> tuple[PreparedCase, ...]:
    """Two of five with expansion; a third train, the others are tested; the table has a score."""
    random = np.random.default_rng(seed)
    return tuple(
        a_case(
            f"P{n:02d}",
            grows=n % 5 < 2,
            part="train" if n % 3 == 0 else "test",
            scores={"vendor": float(random.integers(0, 13) + 8 * (n % 5 < 2)) / 20},
        )
        for n in range(patients)
    )


def make_cases(
    labels: Flags, scores: Mapping[str, Reals], part: SplitPart = "test"
) -> tuple[PreparedCase, ...]:
    """Patients with these outcomes, whose table has these columns of scores; NaN is blank."""
    return tuple(
        a_case(
            f"P{n:05d}",
            grows=bool(grows),
            part=part,
            scores={name: None if np.isnan(row[n]) else float(row[n]) for name, row in scores.items()},
        )
        for n, grows in enumerate(labels)
    )


def scored_exchange(
    plan: StudyPlan, cases: Mapping[str, Sequence[PreparedCase]], folder: Path
) -> NearExchange:
    """Sites at which every model has scored: multiples of 1/20, so that histograms are exact."""
    sites = {}
    for seed, (name, own) in enumerate(cases.items()):
        analyses = analyses_of(plan, name, own, folder / name)
        for number, scorer in enumerate(scorers_of(plan)):
            random = np.random.default_rng([seed, number])
            signal = np.array([case.positive for case in own]) * (4 + 2 * number)
            scores = np.clip(random.integers(1, 12, len(own)) + signal, 1, 19) / 20
            analyses.store.keep(scorer.model.name, scorer.arm.name, own, scores)
        sites[name] = analyses
    return NearExchange(plan, sites)
