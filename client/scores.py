"""The scores that stand in a site's table: what each patient's is, and whether the plan's range holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME
from common.errors import Finding
from common.study import ScoresModel
from common.types import Reals

if TYPE_CHECKING:
    from client.prepare import PreparedCase


def raw_scores(cases: Sequence[PreparedCase], model: ScoresModel) -> Reals:
    """Values of the score's column in its own unit, shape (n,), in the patients' order; NaN where missing.

    A volume is the one on which the patient's outcome rests: the table's, or the mask's where the table
    gives none.
    """
    values = (raw_score(case.patient, case.baseline, model.column) for case in cases)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def scaled_scores(cases: Sequence[PreparedCase], model: ScoresModel) -> Reals:
    """The same on [0, 1], rising with the risk, shape (n,); NaN where missing."""
    return np.array([model.scaled(value) for value in raw_scores(cases, model)], dtype=np.float64)


def raw_score(patient: Patient, baseline: Volumes | None, column: str) -> float | None:
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


def range_findings(
    table: str, models: Sequence[ScoresModel], patients: Iterable[tuple[Patient, Volumes | None]]
) -> Iterator[Finding]:
    """Fatal findings on values beyond a plan's range, of variables that have a range of their own too.

    Columns of the plan's own were checked cell by cell when the table was read.

    Parameters
    ----------
    table : str
        The file's name.
    models : sequence of ScoresModel
        The plan's scores.
    patients : iterable of (Patient, Volumes or None)
        Those who are studied, with their baseline volumes as far as they are known.
    """
    columns = {model.column: model for model in models if model.column in BY_NAME}
    for patient, baseline in patients:
        for column, model in columns.items():
            value = raw_score(patient, baseline, column)
            if value is not None and not model.low <= value <= model.high:
                yield Finding(
                    f"{table}, row {patient.row}, column {column!r}",
                    f"{value:g} lies outside {model.low:g} to {model.high:g}, the plan's range of the score "
                    f"{model.name!r}",
                    "correct the value; if it is right, the plan needs a wider range",
                )
