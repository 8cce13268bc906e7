"""How far two sets of coefficients lie apart, by what they say of this site's own patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from client.answers.patient_arrays import labels_of, make_arm_matrix
from client.answers.score_store import ScoreStore
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from common.messages.catalogue import Operation
from common.messages.protocol import Parameters
from common.messages.questions import read_coefficients, read_newton
from common.plan.study import StudyPlan
from common.program.steps import Step
from common.stats.newton import find_largest_shift


@dataclass(frozen=True)
class PredictorShifts:
    """Measures by how much coefficients move a linear predictor of a patient here.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    cases : tuple of PreparedCase
        Its patients.
    store : ScoreStore
        The scores that the study's networks gave them, which may be covariates.
    """

    plan: StudyPlan
    cases: tuple[PreparedCase, ...]
    store: ScoreStore

    def measure(self, step: Step, expected: Parameters, asked: Parameters) -> float:
        """The largest move from expected to asked coefficients of Newton's method, or of a model that scores.

        Raises
        ------
        ProtocolError
            If one of them is malformed.
        """
        cases = cases_of(self.cases, "training") if step.operation is Operation.NEWTON else self.cases
        matrix = make_arm_matrix(self.plan, self.store, self.cases, (step.arm, cases))
        if step.operation is Operation.NEWTON:
            first, second = (read_newton(one, matrix.shape[1]) for one in (expected, asked))
            return find_largest_shift(matrix, labels_of(cases), first, second)
        moved = np.subtract(*(np.nan_to_num(read_coefficients(one)) for one in (expected, asked)))
        return float(np.abs(moved[0] + np.nan_to_num(matrix) @ moved[1:]).max(initial=0.0))
