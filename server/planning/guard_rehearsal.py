"""The study's guard rounds, rehearsed with invented patients: who would object, and what the sum comes to.

Every rule is asked and none written anew: the minima of sums and of single sites, and the differencing rule
with which each site compares cohorts with those of which numbers left it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.messages.catalogue import Operation, find_question
from common.messages.groups import SiteGroup, groups_of
from common.plan.matrix import Part, TablePart
from common.plan.study import StudyPlan
from common.program.guard_rounds import judge_counted
from common.program.own_minima import find_short_here, find_widest_group
from common.stats.contract import Summary, total
from common.stats.differencing import is_too_close
from common.stats.estimate import Status
from common.stats.guard import local_guard
from common.stats.minima import minima_of
from server.planning.expected_patients import ExpectedPatients


@dataclass
class GuardRehearsal:
    """The guard rounds of one study, in the order in which they are asked.

    Attributes
    ----------
    plan : StudyPlan
        The study's plan.
    patients : mapping of str to ExpectedPatients
        Of every site.
    """

    plan: StudyPlan
    patients: Mapping[str, ExpectedPatients]
    _released: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)

    def begin(self, operation: Operation, stage: str, arm: str = "") -> RehearsedStage:
        """A guard round, and the questions that follow it.

        Parameters
        ----------
        operation : Operation
            The first of these questions.
        stage : str
            The guard round's.
        arm : str
            On whose patients something is fitted; by default all training sites'.
        """
        return RehearsedStage(self, stage, self._find_close(stage), groups_of(self.plan, operation, "", arm))

    def remember(self, site: str, part: Part | TablePart) -> None:
        """From now on, numbers of a part of a site's patients have left it."""
        self._released.setdefault(site, {})[part] = self.patients[site].name_members(part)

    def _find_close(self, stage: str) -> frozenset[tuple[str, str]]:
        """Site and part of every cohort that a site's registry forbids, asked in the order of precedence."""
        close, minima = set(), minima_of(self.plan.profile)
        for site, expected in self.patients.items():
            known = list(self._released.get(site, {}).values())
            for part in find_question(Operation.GUARD, stage).cohorts:
                rows = frozenset() if part == "read again" else expected.name_members(part)
                if rows and is_too_close(rows, known, minima):
                    close.add((site, str(part)))
                elif rows:
                    known.append(rows)
        return frozenset(close)


@dataclass
class RehearsedStage:
    """One guard round.

    Attributes
    ----------
    rehearsal : GuardRehearsal
        The study.
    stage : str
        As in the request's header.
    close : frozenset of (str, str)
        Sites, and parts of their patients, to which the differencing rule objects.
    groups : tuple of SiteGroup
        Over whom the numbers are added for which it asks.
    """

    rehearsal: GuardRehearsal
    stage: str
    close: frozenset[tuple[str, str]]
    groups: tuple[SiteGroup, ...]

    def judge(self, sites: Sequence[str], part: Part | TablePart, columns: int = 0) -> Status:
        """Whether these sites' patients of a part suffice, all of them with every value that is needed.

        Parameters
        ----------
        sites : sequence of str
            Whose patients.
        part : str
            Which of them.
        columns : int
            Covariate columns of a model; 0 where there is none.
        """
        plan = self.rehearsal.plan
        counted = total(self._count(site, part, columns) for site in sites)
        (guard,) = judge_counted(
            plan, self.stage, counted, one_site=len(sites) == 1, columns=(columns,) if columns else ()
        )
        return guard.status

    def remember(self, sites: Sequence[str], part: Part | TablePart) -> None:
        """Note that the stage's numbers of these patients were asked for."""
        for site in sites:
            if len(self.rehearsal.patients[site].list_labels(part)):
                self.rehearsal.remember(site, part)

    def _count(self, site: str, part: Part | TablePart, columns: int) -> Summary:
        """What a site counts, with its objections."""
        plan, labels = self.rehearsal.plan, self.rehearsal.patients[site].list_labels(part)
        complete = np.ones((1, len(labels)), dtype=np.bool_)
        demand = find_question(Operation.GUARD, self.stage).make_demand(columns)
        added_over = find_widest_group(self.groups, site, part)
        short = find_short_here(plan, added_over, (complete, labels), (demand,))
        return local_guard(complete, labels, short, np.array([(site, part) in self.close]))
