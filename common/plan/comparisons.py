"""Which scores are compared with each other, and on whose patients.

Sites and coordinator derive it from the plan, from which models exist, and from the reference model's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.plan.matrix import Cohort, Scorer, cohorts_of, find_comparable, scorers_of
from common.plan.study import StudyPlan

PAIR = 2
"""Scores of a pair; only pairs are compared by McNemar's test and net benefit."""


@dataclass(frozen=True)
class ComparedScores:
    """Scores that are compared on the patients who have all of them: two, or all of a table.

    Attributes
    ----------
    index : int
        Number of the cohort in `common.plan.matrix.cohorts_of`.
    cohort : Cohort
        Among whose patients.
    scorers : tuple of int
        Numbers in `common.plan.matrix.scorers_of`; the reference model's first.
    """

    index: int
    cohort: Cohort
    scorers: tuple[int, ...]

    @property
    def name(self) -> str:
        """Prefix of its sums in an answer, and of its parameters in a question."""
        return f"paired/{self.index}/{'-'.join(str(scorer) for scorer in self.scorers)}"

    def name_histogram(self, scorer: int, *, recounted: bool) -> str:
        """The name of a score's histogram: of those who are compared, or of all in the cohort who have it.

        Parameters
        ----------
        scorer : int
            Number of the score.
        recounted : bool
            Whether some patients have one of the scores but not all.
        """
        return f"{self.name if recounted else f'cohort/{self.index}'}/{scorer}"


@dataclass(frozen=True)
class ComparedTable:
    """One score of the reference model against others in one cohort: a table of the report.

    Attributes
    ----------
    index : int
        Number of the cohort in `common.plan.matrix.cohorts_of`.
    cohort : Cohort
        Among whose patients.
    reference : int
        Number of the reference model's score in `common.plan.matrix.scorers_of`.
    others : tuple of int
        Numbers of the scores that it is compared with.
    """

    index: int
    cohort: Cohort
    reference: int
    others: tuple[int, ...]

    @property
    def pairs(self) -> tuple[ComparedScores, ...]:
        """The reference and each other score, on the patients who have both."""
        return tuple(
            ComparedScores(self.index, self.cohort, (self.reference, other)) for other in self.others
        )

    @property
    def together(self) -> ComparedScores:
        """All scores of the table, on the patients who have every one."""
        return ComparedScores(self.index, self.cohort, (self.reference, *self.others))


def find_compared_tables(
    plan: StudyPlan, scored: Sequence[bool], reference: str
) -> tuple[ComparedTable, ...]:
    """The tables of each cohort: one for each arm of the reference model.

    In each arm it is compared with the arm's other models and with scores from elsewhere; in its first arm,
    with its own other arms too.

    Parameters
    ----------
    plan : StudyPlan
    scored : sequence of bool
        Which of `scorers_of` exist; a model that could not be fitted scores nobody.
    reference : str
        Name of the reference model.
    """
    scorers = scorers_of(plan)
    tables = []
    for index, cohort in enumerate(cohorts_of(plan)):
        members = [number for number in find_comparable(plan, cohort) if scored[number]]
        leads = [number for number in members if scorers[number].model.name == reference]
        for place, lead in enumerate(leads):
            others = tuple(
                number
                for number in members
                if _are_compared(scorers[lead], scorers[number], is_first=place == 0)
            )
            if others:
                tables.append(ComparedTable(index, cohort, lead, others))
    return tuple(tables)


def find_compared_scores(
    plan: StudyPlan, scored: Sequence[bool], reference: str
) -> tuple[ComparedScores, ...]:
    """Every pair of `find_compared_tables`, and all scores of each table that has more than two."""
    found = [
        scores
        for table in find_compared_tables(plan, scored, reference)
        for scores in (*table.pairs, table.together)
    ]
    return tuple(dict.fromkeys(found))


def _are_compared(first: Scorer, second: Scorer, *, is_first: bool) -> bool:
    """Whether the reference model's score is compared with the second.

    Parameters
    ----------
    first : Scorer
        Of the reference model.
    second : Scorer
    is_first : bool
        Whether the first score is of the reference model's first arm.
    """
    if first == second:
        return False
    if second.model.name == first.model.name:
        return is_first
    is_from_elsewhere = not {"given", "earlier"}.isdisjoint({first.arm.kind, second.arm.kind})
    return is_from_elsewhere or first.arm == second.arm
