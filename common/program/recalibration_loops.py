"""Intercepts and slopes of the calibration: one Newton loop a cohort, all cohorts in the same rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from common.errors import NotThePlanError
from common.messages.calibrations import read_calibrated_cohorts, read_calibrated_scores, write_calibrations
from common.messages.catalogue import Operation
from common.messages.protocol import Parameters
from common.plan.matrix import cohorts_of, find_comparable, scorers_of
from common.plan.study import StudyPlan
from common.program.judging import JudgedScores
from common.program.steps import GroupSums, Program, Step, ask
from common.stats.calibration import Recalibration, iterate_recalibration
from common.stats.dialogue import Dialogue
from common.stats.minima import minima_of
from common.stats.newton import MAXIMUM_ROUNDS_UNPENALISED, NewtonQuestion

CalibratedScores: TypeAlias = Mapping[int, Sequence[int]]
"""Numbers of the scores that are calibrated, by the number of the cohort."""


def recalibrate_scores(
    plan: StudyPlan, judged: JudgedScores, wanted: CalibratedScores | None
) -> Program[dict[tuple[int, int], Recalibration]]:
    """The recalibrations by cohort and score; at a site those of its cohorts.

    Parameters
    ----------
    plan : StudyPlan
    judged : JudgedScores
        With the sums of `local_calibration`.
    wanted : CalibratedScores or None
        What is calibrated; None at a site, which is told.
    """
    loops = _Loops(plan, judged)
    if wanted is None:
        first = yield Step(
            Operation.CALIBRATE, derive=loops.begin_as_asked, is_optional=True, absent=loops.own_names
        )
        if first is None:
            return {}
        loops.take(first.sums)
    else:
        loops.begin(wanted)
    while loops.pending:
        answered = yield from ask(loops.make_step())
        loops.take(answered.sums)
    if wanted is None:
        # Other cohorts may take longer
        for _ in range(MAXIMUM_ROUNDS_UNPENALISED):
            if (yield loops.make_step(is_optional=True)) is None:
                break
    return loops.results


@dataclass
class _Loops:
    """The Newton loops of the cohorts that are known here."""

    plan: StudyPlan
    judged: JudgedScores
    pending: dict[int, NewtonQuestion] = field(default_factory=dict)
    results: dict[tuple[int, int], Recalibration] = field(default_factory=dict)
    _scores: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _dialogues: dict[int, Dialogue[NewtonQuestion, tuple[Recalibration, ...]]] = field(default_factory=dict)

    def begin(self, wanted: CalibratedScores) -> None:
        """Begin the loop of each of these cohorts."""
        self.pending, self._dialogues = {}, {}
        for index, scores in wanted.items():
            cohort = cohorts_of(self.plan)[index]
            sums = self.judged.answers.of(cohort.sites)
            calibrations = [sums.part(f"{cohort.part}/{score}/calibration") for score in scores]
            self._scores[index] = tuple(scores)
            self._dialogues[index] = iterate_recalibration(calibrations, minima_of(self.plan.profile))
            self._advance(index, None)

    def begin_as_asked(self, asked: Parameters) -> Parameters:
        """Begin what the coordinator chose of the cohorts that are known here, and return what it has to ask.

        Raises
        ------
        NotThePlanError
            If a score may not be judged on the cohort.
        """
        cohorts = cohorts_of(self.plan)
        wanted = {}
        for index in read_calibrated_cohorts(asked, len(cohorts)):
            if not self.judged.answers.concern(cohorts[index].sites):
                continue
            wanted[index] = read_calibrated_scores(asked, index, len(scorers_of(self.plan)))
            comparable, permitted = find_comparable(self.plan, cohorts[index]), self.judged.permitted
            for score in wanted[index]:
                if score not in comparable or not permitted[cohorts[index]][score].ok:
                    raise NotThePlanError(f"score {score} may not be calibrated on cohort {index}")
        self.begin(wanted)
        return self._write()

    def make_step(self, *, is_optional: bool = False) -> Step:
        """The next round."""
        return Step(Operation.CALIBRATE, self._write(), is_optional=is_optional, absent=self.own_names)

    @property
    def own_names(self) -> tuple[str, ...]:
        """How parameters begin of the cohorts that are known here: nothing in them is the coordinator's."""
        return tuple(
            f"{index}."
            for index, cohort in enumerate(cohorts_of(self.plan))
            if self.judged.answers.concern(cohort.sites)
        )

    def take(self, sums: GroupSums) -> None:
        """Advance every loop by the answer to its question."""
        for index in tuple(self.pending):
            self._advance(index, sums)

    def _write(self) -> Parameters:
        return write_calibrations(
            {index: (self._scores[index], question) for index, question in self.pending.items()}
        )

    def _advance(self, index: int, sums: GroupSums | None) -> None:
        dialogue = self._dialogues[index]
        try:
            if sums is None:
                self.pending[index] = next(dialogue)
                return
            cohort = cohorts_of(self.plan)[index]
            self.pending[index] = dialogue.send(sums.of(cohort.sites).part(f"calibrated/{index}"))
        except StopIteration as end:
            self.pending.pop(index, None)
            found: tuple[Recalibration, ...] = end.value
            self.results |= {
                (index, score): result for score, result in zip(self._scores[index], found, strict=True)
            }
