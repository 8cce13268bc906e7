"""Phase: compare models on the same patients (Fig. 7), and one model between centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.plan.comparisons import PAIR, ComparedScores, ComparedTable, find_compared_tables
from common.plan.matrix import Cohort, Scorer, scorers_of
from common.plan.study import StudyPlan
from common.program.comparisons_of_scores import compare_judged_scores, find_histogram
from common.program.judging import ComparedStatus
from common.program.names import COMPARISON
from common.program.steps import GroupSums
from common.stats.contract import Summary
from common.stats.decision_difference import DecisionDifference, finish_decision_difference
from common.stats.delong import (
    AucCovariance,
    AucDifference,
    OmnibusResult,
    adjust_differences,
    compare_aucs,
    finish_delong,
    omnibus,
    withhold_difference,
    withhold_omnibus,
)
from common.stats.estimate import Status, suppressed
from common.stats.mcnemar import McNemarResult, finish_mcnemar
from common.stats.minima import minima_of
from server.exchange import Exchange
from server.phases.between_centres import ScoreAcrossCentres, compare_scores_across_centres
from server.phases.evaluation import EvaluatedModels
from server.phases.shown_cohorts import may_show_beside
from server.procedures import carry_out


@dataclass(frozen=True)
class PairResult:
    """The reference model compared with another one on the patients who have both scores.

    Attributes
    ----------
    first : Scorer
        A score of the reference model.
    second : Scorer
        The score that it is compared with.
    auc : AucDifference
        Difference of the AUCs, by DeLong.
    specificity : McNemarResult
        McNemar's test in patients without expansion.
    sensitivity : McNemarResult
        McNemar's test in patients with expansion.
    benefit : DecisionDifference or None
        Difference of net benefit, if both scores are predicted risks.
    """

    first: Scorer
    second: Scorer
    auc: AucDifference
    specificity: McNemarResult
    sensitivity: McNemarResult
    benefit: DecisionDifference | None


@dataclass(frozen=True)
class TableComparison:
    """One score of the reference model against others in one cohort.

    Attributes
    ----------
    cohort : Cohort
        On whose patients.
    omnibus : OmnibusResult
        Whether the AUCs of the table's scores are equal, on the patients who have all of them.
    pairs : tuple of PairResult
        The reference model's score with each other one; a pair without enough patients says so.
    """

    cohort: Cohort
    omnibus: OmnibusResult
    pairs: tuple[PairResult, ...]


@dataclass(frozen=True)
class ComparedModels:
    """All comparisons of a study.

    Attributes
    ----------
    tables : tuple of TableComparison
        Those of which at least one pair has enough patients.
    centres : tuple of ScoreAcrossCentres
        Differences between centres, of every score; empty if the plan has one centre.
    """

    tables: tuple[TableComparison, ...]
    centres: tuple[ScoreAcrossCentres, ...]


def compare_models(exchange: Exchange, evaluated: EvaluatedModels, reference: str) -> ComparedModels:
    """Every comparison of the reference model, in one round; none if nothing may be compared.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    evaluated : EvaluatedModels
        Its answers hold the first round of DeLong's method.
    reference : str
        Name of the model that the others are compared with.
    """
    plan = exchange.plan
    centres = compare_scores_across_centres(plan, evaluated.judgements)
    answers = carry_out(exchange, COMPARISON, compare_judged_scores(evaluated.judged))
    if answers is None:
        return ComparedModels((), centres)
    scores = _FinishedScores(
        plan,
        evaluated,
        answers,
        {compared.scores: compared.status for compared in evaluated.compared},
        {compared.scores: compared.recounted for compared in evaluated.compared},
    )
    scored = evaluated.judged.counting["scored"].tolist()
    tables = [
        scores.finish_table(table)
        for table in find_compared_tables(plan, scored, reference)
        if any(scores.statuses[pair].ok for pair in table.pairs)
    ]
    return ComparedModels(_protect(plan, _adjust(tables)), centres)


@dataclass(frozen=True)
class _FinishedScores:
    """Comparisons from the sums of both rounds.

    Attributes
    ----------
    plan : StudyPlan
    evaluated : EvaluatedModels
        With the first round.
    answers : GroupSums
        Of the second round.
    statuses : mapping of ComparedScores to Status
        Whether they may be compared.
    recounted : mapping of ComparedScores to bool
        Whether the first round has histograms of their own.
    """

    plan: StudyPlan
    evaluated: EvaluatedModels
    answers: GroupSums
    statuses: Mapping[ComparedScores, Status]
    recounted: Mapping[ComparedScores, bool]

    def finish_table(self, table: ComparedTable) -> TableComparison:
        """The pairs of a table, and its omnibus test."""
        minima = minima_of(self.plan.profile)
        together, status = table.together, self.statuses[table.together]
        test = omnibus(self._find_covariance(together), minima) if status.ok else withhold_omnibus(status)
        return TableComparison(table.cohort, test, tuple(self._finish_pair(pair) for pair in table.pairs))

    def _find_covariance(self, scores: ComparedScores) -> AucCovariance:
        compared = ComparedStatus(scores, self.statuses[scores], self.recounted[scores])
        firsts = [
            find_histogram(self.evaluated.judged.answers, compared, number) for number in scores.scorers
        ]
        grids = [self.evaluated.judged.grids[number] for number in scores.scorers]
        return finish_delong(firsts, grids, self._find_second(scores).part("delong"))

    def _find_second(self, scores: ComparedScores) -> Summary:
        return self.answers.of(scores.cohort.sites).part(scores.name)

    def _finish_pair(self, pair: ComparedScores) -> PairResult:
        minima, evaluation, scorers = (
            minima_of(self.plan.profile),
            self.plan.evaluation,
            scorers_of(self.plan),
        )
        first, second = (scorers[number] for number in pair.scorers)
        status = self.statuses[pair]
        if not status.ok:
            hidden = McNemarResult(None, None, None, evaluation.mcnemar, status, None, None, None)
            return PairResult(first, second, withhold_difference(status), hidden, hidden, None)
        (auc,) = compare_aucs(self._find_covariance(pair), ((0, PAIR - 1),), minima)
        sums = self._find_second(pair)
        specificity, sensitivity = finish_mcnemar(sums.part("mcnemar"), 0, evaluation.mcnemar, minima)
        benefit = sums.part("benefit")
        return PairResult(
            first,
            second,
            auc,
            specificity,
            sensitivity,
            finish_decision_difference(benefit, evaluation.decision_thresholds, minima)
            if benefit.counts
            else None,
        )


def _adjust(tables: Sequence[TableComparison]) -> list[TableComparison]:
    """The tables with p adjusted for the number of comparisons in each cohort."""
    adjusted = {}
    for cohort in dict.fromkeys(table.cohort for table in tables):
        pairs = [pair for table in tables if table.cohort == cohort for pair in table.pairs]
        for pair, auc in zip(pairs, adjust_differences([pair.auc for pair in pairs]), strict=True):
            adjusted[cohort, pair.first, pair.second] = replace(pair, auc=auc)
    return [
        replace(
            table,
            pairs=tuple(adjusted[table.cohort, pair.first, pair.second] for pair in table.pairs),
        )
        for table in tables
    ]


def _protect(plan: StudyPlan, compared: Sequence[TableComparison]) -> tuple[TableComparison, ...]:
    """The comparisons without discordant calls from which few patients of another cohort would follow."""
    pairs = {
        (place, number): pair
        for place, comparison in enumerate(compared)
        for number, pair in enumerate(comparison.pairs)
    }
    for models in {(pair.first, pair.second): None for pair in pairs.values()}:
        for positive in (False, True):
            counts = {
                key: discordant
                for key, pair in pairs.items()
                if (pair.first, pair.second) == models
                and (discordant := _count_discordant(pair, positive=positive)) is not None
            }
            cohorts = [compared[place].cohort for place, _ in counts]
            shown = may_show_beside(plan, cohorts, list(counts.values()))
            for key, is_shown in zip(counts, shown, strict=True):
                if not is_shown:
                    pairs[key] = _withhold_class(pairs[key], positive=positive)
    return tuple(
        replace(comparison, pairs=tuple(pairs[place, number] for number in range(len(comparison.pairs))))
        for place, comparison in enumerate(compared)
    )


def _count_discordant(pair: PairResult, *, positive: bool) -> tuple[int, int] | None:
    """Patients of one class whom only the first, and only the second score calls right; None if hidden."""
    test = pair.sensitivity if positive else pair.specificity
    if test.only_first is None or test.only_second is None:
        return None
    return test.only_first, test.only_second


def _withhold_class(pair: PairResult, *, positive: bool) -> PairResult:
    """The pair without one class' discordant calls, and without the net benefit, which discloses them too."""
    test = pair.sensitivity if positive else pair.specificity
    status = suppressed("few patients of another cohort could be worked out")
    hidden = McNemarResult(None, None, None, test.method, status, None, test.n_used, test.n_missing)
    if positive:
        return replace(pair, sensitivity=hidden, benefit=None)
    return replace(pair, specificity=hidden, benefit=None)
