"""A site's answers to the questions of statistics: each a sum over its patients that is added to others'.

All take one path: who stands behind each number, whether they are enough where nothing else hides them,
the question's own limits, the sum, and the registry of those of whom numbers were released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.answers.agreement import (
    list_read_cohorts,
    list_read_patients,
    list_reread_cohorts,
    list_reread_patients,
    sum_agreement,
    sum_reading_means,
    sum_reading_products,
)
from client.answers.attention_sums import list_mapped_patients, sum_maps
from client.answers.compare import (
    calibrate_scores,
    compare_scores,
    list_calibrated_patients,
    list_compared_patients,
)
from client.answers.describe import list_table_patients, sum_tables
from client.answers.evaluate import (
    count_scores,
    evaluate_scores,
    list_evaluated_patients,
    list_scored_patients,
)
from client.answers.inquiry import Backing, Inquiry
from client.answers.model_sums import (
    add_cells,
    list_iterated_patients,
    list_modelled_patients,
    sum_newton,
    sum_setup,
)
from client.answers.score_store import ScoreStore
from client.answers.selection import (
    answer_gram,
    answer_path,
    answer_prescreen,
    answer_scaling,
    list_featured_patients,
    open_features,
    refuse_unplanned_products,
)
from client.answers.svm_sums import list_machine_patients, open_machine, refuse_wide_machine
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.registry import ReleaseRegistry
from client.release.releases import NamedCohort, SiteReleases
from common.errors import SmallNumberError
from common.messages.catalogue import QUESTIONS, READ_AGAIN, Operation, Question, find_question
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.study import StudyPlan
from common.program.own_minima import find_short_alone, find_short_here, is_shown_alone
from common.stats.contract import Summary, join_summaries
from common.stats.guard import Demand, local_guard
from common.types import Flags, Reals


@dataclass(frozen=True)
class SiteAnswer:
    """A site's half of a question: what the catalogue declares is done with the site's patients.

    Attributes
    ----------
    list_behind : callable
        Who stands behind the numbers that are asked for; in the guard round, behind all that may be.
    compute : callable
        The site's sum, of patients who are enough.
    limit : callable
        Refuses what the site's own patients do not allow, minima apart.
    complete_guard : callable
        What the guard round counts besides the patients.
    list_cohorts : callable or None
        The cohorts of patients who were read repeatedly; None where the catalogue names parts.
    """

    list_behind: Callable[[Inquiry], Iterable[Backing]]
    compute: Callable[[Inquiry], Summary]
    limit: Callable[[Inquiry], None] = lambda _: None
    complete_guard: Callable[[Inquiry, Summary], Summary] = lambda _, counted: counted
    list_cohorts: Callable[[Inquiry], tuple[NamedCohort, ...]] | None = None


ANSWERS: Mapping[Operation, SiteAnswer] = {
    Operation.COHORT: SiteAnswer(list_table_patients, sum_tables),
    Operation.AGREEMENT: SiteAnswer(list_read_patients, sum_agreement, list_cohorts=list_read_cohorts),
    Operation.READING_MEANS: SiteAnswer(
        list_reread_patients, sum_reading_means, list_cohorts=list_reread_cohorts
    ),
    Operation.READING_SUMS: SiteAnswer(
        list_reread_patients, sum_reading_products, list_cohorts=list_reread_cohorts
    ),
    Operation.SETUP: SiteAnswer(list_modelled_patients, sum_setup, complete_guard=add_cells),
    Operation.NEWTON: SiteAnswer(list_iterated_patients, sum_newton),
    Operation.MAGNITUDES: SiteAnswer(
        list_featured_patients, lambda asked: open_features(asked, dealt=False).sum_magnitudes()
    ),
    Operation.SCALING: SiteAnswer(
        list_featured_patients,
        lambda asked: answer_scaling(open_features(asked), asked.parameters),
    ),
    Operation.PRESCREEN: SiteAnswer(
        list_featured_patients, lambda asked: answer_prescreen(open_features(asked), asked.parameters)
    ),
    Operation.GRAM: SiteAnswer(
        list_featured_patients,
        lambda asked: answer_gram(open_features(asked), asked.parameters),
        refuse_unplanned_products,
    ),
    Operation.PATH: SiteAnswer(
        list_featured_patients,
        lambda asked: answer_path(open_features(asked), asked.parameters),
        refuse_unplanned_products,
    ),
    Operation.RIDGE: SiteAnswer(
        list_machine_patients,
        lambda asked: open_machine(asked).sum_ridge(asked.parameters),
        refuse_wide_machine,
        add_cells,
    ),
    Operation.HELD_OUT: SiteAnswer(
        list_machine_patients,
        lambda asked: open_machine(asked).sum_held_out(asked.parameters),
        refuse_wide_machine,
    ),
    Operation.GRID: SiteAnswer(
        list_scored_patients, lambda asked: count_scores(asked.board, asked.parameters)
    ),
    Operation.EVALUATE: SiteAnswer(
        list_evaluated_patients, lambda asked: evaluate_scores(asked.board, asked.parameters)
    ),
    Operation.CALIBRATE: SiteAnswer(
        list_calibrated_patients, lambda asked: calibrate_scores(asked.board, asked.parameters)
    ),
    Operation.COMPARE: SiteAnswer(
        list_compared_patients, lambda asked: compare_scores(asked.board, asked.parameters)
    ),
    Operation.ATTENTION: SiteAnswer(list_mapped_patients, sum_maps),
}
"""What a site does with its patients at each question of statistics."""


def find_half(question: Question) -> SiteAnswer:
    """The site's half of a question; of a guard round, that of the first question which it precedes."""
    if question.operation is not Operation.GUARD:
        return ANSWERS[question.operation]
    return next(
        ANSWERS[one.operation] for one in QUESTIONS.values() if one.guard == question.stage != one.stage
    )


@dataclass(frozen=True)
class SiteAnalyses:
    """What statistics may ask of one site.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    cases : tuple of PreparedCase
        Its patients.
    store : ScoreStore
        The scores that the study's models gave them.
    registry : ReleaseRegistry
        Of the cohorts of which numbers were released.
    own_seed : int or None
        With which the site deals its patients into folds; None for the plan's seed.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    store: ScoreStore
    registry: ReleaseRegistry
    own_seed: int | None = None

    def answer(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """What this site adds to the sum that a question asks for.

        Raises
        ------
        ProtocolError
            If there is no such question, or it is malformed.
        SmallNumberError
            If it is asked of too few patients, or of patients too close to others of whom numbers left.
        """
        question = find_question(header.operation, header.stage)
        half, inquiry = find_half(question), self._inquire(header, parameters)
        if inquiry.is_guard:
            return self._count(question, half, inquiry)
        behind = tuple(half.list_behind(inquiry))
        for backing in behind:
            short = self._find_short(question, backing)
            if short is not None and short.any():
                raise SmallNumberError(f"{backing.what} asked for with too few patients at this site")
        half.limit(inquiry)
        summary = half.compute(inquiry)
        self._remember(question, _list_cohorts(question, half, inquiry), behind)
        return summary

    def _remember(
        self, question: Question, cohorts: Iterable[NamedCohort], behind: Iterable[Backing]
    ) -> None:
        """Tell the registry whose numbers leave, before they do."""
        asked = {one.cohort for one in behind if len(one.complete) and self.site in one.sites}
        named = [cohort for cohort in cohorts if cohort[0] in asked]
        self._releases.remember(named, read_again=question.cohorts == READ_AGAIN)

    def withhold_few(self, header: RequestHeader, parameters: Parameters, own: Summary) -> Summary:
        """What leaves of this site alone: zeros wherever its own patients fall below its minima.

        The same numbers may stand in a sum over several sites, which hides how few they are of.

        Parameters
        ----------
        header : RequestHeader
            The question.
        parameters : Parameters
            What it carried.
        own : Summary
            The arrays of the answer that no other site is added to.
        """
        question = find_question(header.operation, header.stage)
        groups = groups_of(self.plan, header.operation, header.stage, header.arm)
        if question.operation not in ANSWERS or not any(group.sites == (self.site,) for group in groups):
            return own
        withheld: list[str] = []
        for backing in find_half(question).list_behind(self._inquire(header, parameters)):
            if backing.rows and is_shown_alone(groups, self.site, backing.part):
                demands = _list_demands(question, backing)
                short = find_short_alone(self.plan, (backing.complete, backing.labels), demands)
                withheld += [f"{backing.part}/{backing.rows[row]}" for row in np.flatnonzero(short).tolist()]
        return own.blank(tuple(withheld))

    def _count(self, question: Question, half: SiteAnswer, inquiry: Inquiry) -> Summary:
        """The guard round: how many patients each number of the next stage rests on, and nothing else.

        Of a cohort that is too close to another nobody is counted: what differs would be of few patients.
        """
        cohorts = _list_cohorts(question, half, inquiry)
        flags = self._releases.find_too_close(cohorts, read_again=question.cohorts == READ_AGAIN)
        close = {name: is_close for (name, _), is_close in zip(cohorts, flags, strict=True)}
        behind = tuple(half.list_behind(inquiry))
        counted = half.complete_guard(
            inquiry,
            join_summaries(
                self._count_patients(question, backing, is_close=close[backing.cohort]) for backing in behind
            ),
        )
        if question.cohorts != READ_AGAIN:
            self._remember(question, [cohort for cohort in cohorts if not close[cohort[0]]], behind)
        return counted

    def _count_patients(self, question: Question, backing: Backing, *, is_close: bool) -> Summary:
        """The patients of each analysis, to which the site may object, and of each fold."""
        folds = backing.complete[:0] if backing.folds is None else backing.folds
        members, labels = np.concatenate([backing.complete, folds]), backing.labels
        short, objections = np.zeros(len(members), dtype=np.bool_), self._find_short(question, backing)
        # Who was read again is counted without an outcome
        if is_close and question.cohorts != READ_AGAIN:
            members, labels = members[:, :0], labels[:0]
        elif objections is not None:
            short[: len(objections)] = objections
        counted = local_guard(members, labels, short, np.full(len(members), is_close))
        return counted.under(backing.part) if backing.part else counted

    def _find_short(self, question: Question, backing: Backing) -> Flags | None:
        """Which analyses have too few patients here; None where only the sum must have enough."""
        patients, demands = (backing.complete, backing.labels), _list_demands(question, backing)
        return find_short_here(self.plan, backing.sites, patients, demands)

    def _inquire(self, header: RequestHeader, parameters: Parameters) -> Inquiry:
        seed = self.plan.seed if self.own_seed is None else self.own_seed
        asked = (header, parameters, self._matrices)
        return Inquiry(self.plan, self.site, self.cases, self.store, seed, *asked)

    @cached_property
    def _matrices(self) -> dict[str, Reals]:
        return {}

    @cached_property
    def _releases(self) -> SiteReleases:
        return SiteReleases(self.plan, self.cases, self.registry)


def _list_cohorts(question: Question, half: SiteAnswer, inquiry: Inquiry) -> tuple[NamedCohort, ...]:
    if half.list_cohorts is not None:
        return half.list_cohorts(inquiry)
    return tuple((part, cases_of(inquiry.cases, part)) for part in question.cohorts if part != "read again")


def _list_demands(question: Question, backing: Backing) -> tuple[Demand, ...]:
    columns = backing.columns or (0,) * len(backing.complete)
    return tuple(question.make_demand(number) for number in columns)
