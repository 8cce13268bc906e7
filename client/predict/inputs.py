"""What a model takes of a new patient: which values it needs, which are missing, and where each came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from client.answers.carded_risks import find_unknown_level
from client.predict.new_patient import NewPatient
from common.cards.card import NetworkContent, TableContent, design_of_card
from common.cards.card_in_plan import list_inputs
from common.cohort.outcome import Volumes
from common.cohort.schema import BY_NAME
from common.errors import CohortError, Finding
from common.models.brain_score import list_brain_columns
from common.plan.models import BRAIN, SCORE_OF
from common.plan.own_variables import MISSING_LEVEL
from common.radiomics.features import FEATURES

FROM_MASK = "mask"
FROM_SCAN = "CT and mask"
VOLUME_VARIABLES = frozenset({"ich_volume_ml", "ivh_volume_ml"})
_PLACES = {name: place for place, name in enumerate(FEATURES)}


@dataclass(frozen=True)
class Input:
    """One value that went into a prediction.

    Attributes
    ----------
    name, value, source : str
        Of the covariate or network input; as shown; where it came from.
    """

    name: str
    value: str
    source: str


def list_covariates(content: TableContent) -> tuple[str, ...]:
    """The model's covariates that have a coefficient, each once."""
    return list_inputs(content)


def list_needed_variables(content: TableContent) -> tuple[str, ...]:
    """What has to be known of a patient: the covariates, and what they are computed from."""
    of_brain = list_brain_columns(design_of_card(content).brain_a)
    names = [
        name
        for covariate in list_covariates(content)
        for name in (of_brain if covariate == BRAIN else (covariate,))
    ]
    return tuple(dict.fromkeys(names))


def list_lacking_features(case: NewPatient, content: TableContent) -> tuple[str, ...]:
    """Radiomics features that the model takes and the patient lacks."""
    return tuple(
        name for name in list_needed_variables(content) if name in _PLACES and find_value(case, name) is None
    )


def refuse_missing(case: NewPatient, content: TableContent) -> None:
    """Refuse a patient who lacks an input of the model; the error names each, with what to do.

    Raises
    ------
    CohortError
        If any is missing.
    """
    columns = design_of_card(content).columns
    levelled = {column.variable for column in columns if column.level == MISSING_LEVEL}
    names = list_needed_variables(content)
    lacking = [name for name in names if name not in levelled and find_value(case, name) is None]
    scores = [name.removeprefix(SCORE_OF) for name in lacking if name.startswith(SCORE_OF)]
    features = [name for name in lacking if name in _PLACES]
    others = [name for name in lacking if name in BY_NAME or name in case.patient.own]
    findings = []
    if others:
        remedy = "write it in the table, or give --set NAME=VALUE"
        if VOLUME_VARIABLES.intersection(others):
            remedy += "; volumes are measured where CT and mask are given"
        findings.append(Finding(case.where, f"the model takes {', '.join(others)}: no value", remedy))
    if scores:
        what = f"the model takes the score of {', '.join(scores)}: not given"
        findings.append(Finding(case.where, what, "predict with that network, then --set score:NETWORK=RISK"))
    if features:
        findings.append(_describe_missing_features(case, content, features))
    if findings:
        raise CohortError(tuple(findings))


def _describe_missing_features(case: NewPatient, content: TableContent, features: list[str]) -> Finding:
    what = f"the model takes the radiomics features {', '.join(features)}: "
    if content.radiomics is not None and case.lesion is not None:
        return Finding(case.where, f"{what}they do not exist for this lesion", "no risk can be given")
    remedy = "give --set FEATURE=VALUE for each"
    if content.radiomics is not None:
        remedy = f"give --ct and --mask, from which they are extracted, or {remedy.removeprefix('give ')}"
    return Finding(case.where, f"{what}not given", remedy)


def refuse_unknown_levels(case: NewPatient, content: TableContent) -> None:
    """Refuse a level that no training patient had: it has no coefficient, which is not a coefficient of 0.

    Raises
    ------
    CohortError
        If the patient has one.
    """
    covariate = find_unknown_level(case.patient, content)
    if covariate is None:
        return
    columns = design_of_card(content).columns
    known = [covariate.reference, *(one.level for one in columns if one.variable == covariate.name)]
    value = case.patient.value(covariate.name)
    what = f"{covariate.name} = {value!r} is a level that the model does not know"
    remedy = f"it was trained on {', '.join(sorted(known))}: no risk can be given"
    raise CohortError((Finding(case.where, what, remedy),))


def find_value(case: NewPatient, name: str) -> float | str | None:
    """A patient's value of a covariate; None where there is none."""
    if name.startswith(SCORE_OF):
        return case.scores.get(name.removeprefix(SCORE_OF))
    if name in _PLACES:
        feature = np.nan if case.features is None else float(case.features[_PLACES[name]])
        return None if np.isnan(feature) else feature
    if case.baseline is not None and name in VOLUME_VARIABLES:
        return case.baseline.ich_ml if name == "ich_volume_ml" else case.baseline.ivh_ml
    return case.patient.value(name)


def list_network_inputs(case: NewPatient, content: NetworkContent) -> tuple[Input, ...]:
    """What a network was given."""
    spacing = " x ".join(f"{side:g}" for side in content.recipe.spacing_mm)
    lesion = case.lesion or Volumes(0.0, 0.0)
    side = (content.shape.size,) * content.shape.dimensions
    return (
        Input("spacing after resampling (mm)", spacing, "model card"),
        Input("network input", " x ".join(map(str, side)), "model card"),
        Input("ICH volume (ml)", f"{lesion.ich_ml:.2f}", FROM_MASK),
        Input("IVH volume (ml)", f"{lesion.ivh_ml:.2f}", FROM_MASK),
    )


def list_table_inputs(case: NewPatient, content: TableContent) -> tuple[Input, ...]:
    """What a model of the table was given."""
    return tuple(_make_input(case, name) for name in list_needed_variables(content))


def _make_input(case: NewPatient, name: str) -> Input:
    value = find_value(case, name)
    shown = MISSING_LEVEL if value is None else value if isinstance(value, str) else f"{value:g}"
    if name in _PLACES and name not in case.given:
        return Input(name, shown, FROM_SCAN)
    return Input(
        name, shown, FROM_MASK if case.measured and name in VOLUME_VARIABLES else case.source_of(name)
    )
