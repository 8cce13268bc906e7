"""Models compared on the same patients: DeLong's second round, with the placement values of the first."""

from __future__ import annotations

import numpy as np

from common.messages.catalogue import Operation
from common.messages.questions import write_placements
from common.program.judging import ComparedStatus, JudgedScores
from common.program.steps import GroupSums, Program, Step
from common.stats.contract import Summary
from common.stats.delong import placements_of


def compare_judged_scores(judged: JudgedScores) -> Program[GroupSums | None]:
    """The sums of everything that is compared; None if nothing may be compared.

    Parameters
    ----------
    judged : JudgedScores
        Its answers hold the first round of DeLong's method.
    """
    is_complete = all(judged.answers.concern(one.scores.cohort.sites) for one in judged.compared)
    asked = [compared for compared in judged.compared if compared.status.ok]
    if not asked and is_complete:
        return None
    placements = {
        compared.scores.name_histogram(number, recounted=compared.recounted): placements_of(
            find_histogram(judged.answers, compared, number)
        )
        for compared in asked
        for number in compared.scores.scorers
    }
    question = {
        **judged.counting,
        "compared": np.array([compared.status.ok for compared in judged.compared], dtype=np.bool_),
        "thresholds": judged.thresholds,
        **write_placements(placements),
    }
    # A site does not know whether cohorts of others alone are compared
    here = np.array(
        [judged.answers.concern(one.scores.cohort.sites) for one in judged.compared], dtype=np.bool_
    )
    answered = yield Step(
        Operation.COMPARE, question, is_optional=not asked, relevant={"compared": here, "recounted": here}
    )
    return None if answered is None else answered.sums


def find_histogram(answers: GroupSums, compared: ComparedStatus, number: int) -> Summary:
    """The first round of one score: of those who are compared, or of its cell where these are the same."""
    scores = compared.scores
    sums = answers.of(scores.cohort.sites)
    if compared.recounted:
        return sums.part(f"{scores.name}/{number}")
    return sums.part(f"{scores.cohort.part}/{number}/roc")
