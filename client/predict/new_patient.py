"""A new patient, whose outcome is not known: what table, command line and scan say of the patient."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.cohort.cells import CellReader, RefusedCell
from common.cohort.contradictions import find_contradictions
from common.cohort.eligibility import CRITERIA, Criterion
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME, Variable
from common.errors import CohortError, Finding
from common.plan.models import SCORE_OF
from common.radiomics.features import FEATURES
from common.types import Pixels, Reals

SET_OPTION = "--set"
"""The command line's option by which values are given."""
_KINDS = frozenset({"binary", "categorical", "continuous"})
_LATER = "followup"
"""Criterion of eligibility that a new patient cannot fail yet."""


@dataclass(frozen=True)
class NewPatient:
    """One patient to predict for.

    Attributes
    ----------
    patient : Patient
        Files, and values of the table and the command line.
    source : str
        Where the values came from, e.g. "cohort.csv, row 5".
    given : frozenset of str
        Names of the values that came from the command line.
    baseline : Volumes or None
        Of the table, or measured on the mask.
    measured : bool
        Whether the volumes are the mask's.
    lesion : Volumes or None
        Of the mask, where a network looked at it or features were extracted.
    image : float32 array, shape (channels, [z,] y, x), or None
        A network's input.
    features : float array, shape (851,), or None
        Radiomics that were given or extracted, NaN for all others.
    scores : mapping of str to float
        Of networks, by name.
    notes : tuple of str
        What a reader should know.
    doubts : tuple of str
        What a person must look at, because it is probably wrong.
    criteria : tuple of Criterion
        Whom the model's study left out.
    """

    patient: Patient
    source: str = ""
    given: frozenset[str] = frozenset()
    baseline: Volumes | None = None
    measured: bool = False
    lesion: Volumes | None = None
    image: Pixels | None = field(default=None, repr=False, compare=False)
    features: Reals | None = field(default=None, hash=False, compare=False)
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = field(default=CRITERIA, hash=False, compare=False, repr=False)

    @property
    def where(self) -> str:
        """Whom and which row a message is about."""
        name = f"patient {self.patient.identifier!r}"
        return f"{self.source}, {name}" if self.source else name

    def source_of(self, name: str) -> str:
        """Where a value came from."""
        return SET_OPTION if name in self.given else self.source


def make_new_patient(
    patient: Patient, source: str = "", criteria: tuple[Criterion, ...] = CRITERIA
) -> NewPatient:
    """A patient of a table, or of files alone; `criteria` say whom the model's study left out."""
    notes = _list_unmet_criteria(patient, criteria)
    return NewPatient(patient, source, baseline=patient.baseline_volumes, notes=notes, criteria=criteria)


def add_values(case: NewPatient, pairs: Sequence[str]) -> NewPatient:
    """The patient with values from the command line, which replace the table's.

    Parameters
    ----------
    case : NewPatient
        With the table's values, if any.
    pairs : sequence of str
        ``name=value``: a variable of the cohort table, a radiomics feature, or "score:NETWORK".

    Raises
    ------
    CohortError
        If a name is unknown or given twice, or a value impossible, with every such pair.
    """
    values, features, scores = dict(case.patient.values), np.full(len(FEATURES), np.nan), dict(case.scores)
    findings: list[Finding] = []
    seen: set[str] = set()
    for pair in pairs:
        name, _, text = pair.partition("=")
        value = (
            RefusedCell("is given twice", "give it once")
            if name in seen
            else _read_value(name, text, case.patient.own)
        )
        seen.add(name)
        if isinstance(value, RefusedCell):
            findings.append(Finding(f"{SET_OPTION} {pair}", value.what, value.remedy))
        elif name.startswith(SCORE_OF):
            scores[name.removeprefix(SCORE_OF)] = float(value)
        elif name in FEATURES:
            features[FEATURES.index(name)] = float(value)
        else:
            values[name] = value
    findings += find_contradictions(values)
    if findings:
        raise CohortError(tuple(findings))
    patient = replace(case.patient, values=values)
    given_features = None if np.isnan(features).all() else features
    return replace(
        make_new_patient(patient, case.source, case.criteria),
        given=frozenset(seen),
        features=given_features,
        scores=scores,
    )


def _read_value(name: str, text: str, own: Mapping[str, Variable]) -> float | str | RefusedCell:
    variable = own.get(name) or BY_NAME.get(name)
    if variable is not None and variable.kind in _KINDS:
        here = Path()
        value = CellReader(typed=False, folder=here, root=here).read(variable, text.strip() or None)
        if value is None:
            return RefusedCell("has no value", f"write {name}=VALUE ({variable.allowed})")
        return value if isinstance(value, float | str | RefusedCell) else str(value)
    if name not in FEATURES and not name.startswith(SCORE_OF):
        of_tables = (column for column, entry in BY_NAME.items() if entry.kind in _KINDS)
        known = [*own, *of_tables, *FEATURES]
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "take a name of the model's covariates"
        return RefusedCell("unknown name", remedy)
    try:
        number = float(text)
    except ValueError:
        return RefusedCell(f"{text!r} is not a number", "write digits with a decimal point and no unit")
    if not math.isfinite(number) or (name.startswith(SCORE_OF) and not 0 <= number <= 1):
        return RefusedCell(f"{text} is impossible", "a score is a probability, a feature a finite number")
    return number


def _list_unmet_criteria(patient: Patient, criteria: tuple[Criterion, ...]) -> tuple[str, ...]:
    """Notes on the study's criteria that the patient does not meet: it had no such patients."""
    failed = []
    for criterion in criteria:
        value = patient.value(criterion.variable)
        if criterion.name != _LATER and value is not None and criterion.excludes(value):
            failed.append(f"outside the study's population: {criterion.label}")
    return tuple(failed)
