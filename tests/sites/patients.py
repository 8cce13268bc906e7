"""Patients as a site holds them after preparation, made by hand without any file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from client.cohort.cases import PreparedCase
from common.cohort.outcome import OutcomeDefinition, Volumes, classify
from common.cohort.patient import Patient
from common.cohort.split import SplitPart


def a_case(
    identifier: str,
    *,
    grows: bool = False,
    part: SplitPart = "train",
    volumes_ml: tuple[float, float] = (12.0, 0.0),
    scores: dict[str, float | None] | None = None,
    **values: float | str,
) -> PreparedCase:
    """One patient, whose hematoma grows by 10 mL or not at all.

    Parameters
    ----------
    volumes_ml : tuple of float
        ICH and IVH of the baseline CT.
    values
        Of the table; what is not given is missing.
    """
    baseline = Volumes(*volumes_ml)
    followup = Volumes(baseline.ich_ml + (10 if grows else 0), baseline.ivh_ml)
    return PreparedCase(
        patient=Patient(identifier, 2, None, None, None, None, values, scores or {}),
        expansion=classify(baseline, followup, OutcomeDefinition()),
        positive=grows,
        part=part,
        inputs={},
        baseline=baseline,
        followup=followup,
        entry=None,
    )


def cases_with(
    parts: Sequence[SplitPart], negatives: int, positives: int, **values: Any
) -> tuple[PreparedCase, ...]:
    """So many patients without and with expansion in each of these parts, all with the same values."""
    return tuple(
        a_case(f"{part}-{'+' if grows else '-'}{number:02d}", grows=grows, part=part, **values)
        for part in parts
        for grows, patients in ((False, negatives), (True, positives))
        for number in range(patients)
    )
