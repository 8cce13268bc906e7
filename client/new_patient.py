"""A new patient: what the table, the command line and the scan say of one whose outcome is not known."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.cohort.cells import Reader, Refused
from common.cohort.contradictions import contradictions
from common.cohort.eligibility import CRITERIA
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME
from common.errors import CohortError, Finding
from common.radiomics.features import FEATURES
from common.study_models import SCORE_OF
from common.types import Pixels, Reals

GIVEN = "--set"
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

    @property
    def where(self) -> str:
        """For messages."""
        name = f"patient {self.patient.identifier!r}"
        return f"{self.source}, {name}" if self.source else name

    def source_of(self, name: str) -> str:
        """Where a value came from."""
        return GIVEN if name in self.given else self.source


def new_patient(patient: Patient, source: str = "") -> NewPatient:
    """A patient of a table, or of files alone."""
    return NewPatient(patient, source, baseline=patient.baseline_volumes, notes=_outside(patient))


def with_values(one: NewPatient, pairs: Sequence[str]) -> NewPatient:
    """The patient with values from the command line, which replace the table's.

    Parameters
    ----------
    pairs : sequence of str
        ``name=value``: a variable of the cohort table, a radiomics feature, or "score:NETWORK".

    Raises
    ------
    CohortError
        If a name is unknown or given twice, or a value impossible, with every such pair.
    """
    values, features, scores = dict(one.patient.values), np.full(len(FEATURES), np.nan), dict(one.scores)
    findings: list[Finding] = []
    seen: set[str] = set()
    for pair in pairs:
        name, _, text = pair.partition("=")
        value = Refused("is given twice", "give it once") if name in seen else _value(name, text)
        seen.add(name)
        if isinstance(value, Refused):
            findings.append(Finding(f"{GIVEN} {pair}", value.what, value.remedy))
        elif name.startswith(SCORE_OF):
            scores[name.removeprefix(SCORE_OF)] = float(value)
        elif name in FEATURES:
            features[FEATURES.index(name)] = float(value)
        else:
            values[name] = value
    findings += contradictions(values)
    if findings:
        raise CohortError(tuple(findings))
    patient = replace(one.patient, values=values)
    found = None if np.isnan(features).all() else features
    return replace(new_patient(patient, one.source), given=frozenset(seen), features=found, scores=scores)


def _value(name: str, text: str) -> float | str | Refused:
    variable = BY_NAME.get(name)
    if variable is not None and variable.kind in _KINDS:
        here = Path()
        value = Reader(typed=False, folder=here, root=here).read(variable, text.strip() or None)
        if value is None:
            return Refused("has no value", f"write {name}=VALUE ({variable.allowed})")
        return value if isinstance(value, float | str | Refused) else str(value)
    if name not in FEATURES and not name.startswith(SCORE_OF):
        known = [*(known for known, one in BY_NAME.items() if one.kind in _KINDS), *FEATURES]
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "take a name of the model's covariates"
        return Refused("unknown name", remedy)
    try:
        number = float(text)
    except ValueError:
        return Refused(f"{text!r} is not a number", "write digits with a decimal point and no unit")
    if not math.isfinite(number) or (name.startswith(SCORE_OF) and not 0 <= number <= 1):
        return Refused(f"{text} is impossible", "a score is a probability, a feature a finite number")
    return number


def _outside(patient: Patient) -> tuple[str, ...]:
    """Criteria of the study that the patient fails: nobody like this was in it."""
    failed = []
    for criterion in CRITERIA:
        value = patient.value(criterion.variable)
        if criterion.name != _LATER and isinstance(value, float) and criterion.excludes(value):
            failed.append(f"outside the study's population: {criterion.label}")
    return tuple(failed)
