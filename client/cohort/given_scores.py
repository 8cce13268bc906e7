"""Each patient's scores in the site's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from client.cohort.cases import PreparedCase
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.plan.study import ScoresModel
from common.types import Reals


def find_raw_scores(cases: Sequence[PreparedCase], model: ScoresModel) -> Reals:
    """Values of the score's column in its own unit, shape (n,), in the patients' order; NaN where missing.

    A volume is the one on which the patient's outcome rests: the table's, or the mask's where the table
    gives none.
    """
    values = (find_raw_score(case.patient, case.baseline, model.column) for case in cases)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def find_scaled_scores(cases: Sequence[PreparedCase], model: ScoresModel) -> Reals:
    """Values of the score on [0, 1], rising with the risk, shape (n,); NaN where missing."""
    return np.array([model.scale(value) for value in find_raw_scores(cases, model)], dtype=np.float64)


def find_raw_score(patient: Patient, baseline: Volumes | None, column: str) -> float | None:
    """One patient's value of a score column, None where it is missing.

    Parameters
    ----------
    patient : Patient
    baseline : Volumes or None
        Of the baseline CT; None while they are unknown.
    column : str
        A column of the plan's own, or a continuous variable of the schema.

    Raises
    ------
    KeyError
        If the column was not read from the table.
    """
    if column == "ich_volume_ml":
        return None if baseline is None else baseline.ich_ml
    if column == "ivh_volume_ml":
        return None if baseline is None else baseline.ivh_ml
    return patient.score(column)
