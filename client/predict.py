"""A model's risk for new patients, by the very code that scored the study's patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from client.covariates import design_matrix
from client.new_patient import NewPatient
from common.card import LogisticContent, NetworkContent, design_of_card
from common.card_file import CardedModel
from common.cohort.outcome import Volumes
from common.cohort.schema import BY_NAME
from common.design import MISSING
from common.errors import CohortError, Finding, ModelError, RheError, ScanError
from common.fitted import coefficients_of, covariates_of, predict
from common.imaging.mask import MaskLabels, read_mask
from common.imaging.preprocess import ALGORITHM, prepare
from common.imaging.scan import read_scan
from common.models.checkpoint import Checkpoint
from common.radiomics.features import FEATURES
from common.study_models import BRAIN, SCORE_OF
from common.types import Pixels, Reals

_VOLUMES = ("ich_volume_ml", "ivh_volume_ml")
_BRAIN_INPUTS = ("ich_volume_ml", "recurrent_ich", "warfarin", "ivh", "onset_to_ct_h")
MASK = "mask"


@dataclass(frozen=True)
class Input:
    """One value that went into a prediction.

    Attributes
    ----------
    name, value, source : str
    """

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Prediction:
    """What a model says of one patient.

    Attributes
    ----------
    identifier : str
    risk : float
        Predicted probability of expansion.
    positive : bool
        Whether it reaches the operating point.
    inputs : tuple of Input
    notes : tuple of str
        What a reader should know of scan, mask and patient.
    """

    identifier: str
    risk: float
    positive: bool
    inputs: tuple[Input, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Declined:
    """A patient for whom the model gives no risk, and why."""

    identifier: str
    failure: RheError


@dataclass(frozen=True)
class Predictor:
    """A model ready for new patients.

    Attributes
    ----------
    carded : CardedModel
    labels : MaskLabels
        What the values of the masks mean.
    device : str
        As in site.toml.

    Raises
    ------
    ModelError
        If the model was not fitted, or takes inputs as this version of rhe does not make them.
    """

    carded: CardedModel
    labels: MaskLabels = field(default_factory=MaskLabels)
    device: str = "cpu"

    def __post_init__(self) -> None:
        card, content = self.carded.card, self.carded.card.content
        if isinstance(content, LogisticContent) and content.fitted.intercept is None:
            raise ModelError(f"{card.model}, {card.arm}: was not fitted: {content.fitted.reason}")
        if isinstance(content, NetworkContent) and content.algorithm != ALGORITHM:
            raise ModelError(
                f"{card.model}: takes inputs of preprocessing {content.algorithm}, not {ALGORITHM} "
                "-> predict with the rhe that trained it"
            )

    def predict(
        self, patients: Sequence[NewPatient], done: Callable[[], None] = lambda: None
    ) -> tuple[Prediction | Declined, ...]:
        """Each patient's risk, or why there is none; in the order of the patients."""
        ready: list[NewPatient | Declined] = []
        for one in patients:
            try:
                ready.append(self._ready(one))
            except (ScanError, CohortError, ModelError) as failure:
                ready.append(Declined(one.patient.identifier, failure))
            done()
        accepted = [one for one in ready if isinstance(one, NewPatient)]
        risks = iter(self._risks(accepted).tolist() if accepted else ())
        return tuple(
            one if isinstance(one, Declined) else self._prediction(one, next(risks)) for one in ready
        )

    def _ready(self, one: NewPatient) -> NewPatient:
        content = self.carded.card.content
        if isinstance(content, NetworkContent):
            return self._with_scan(one, content)
        wanted = {name for covariate in content.covariates for name in _needed(covariate.name)}
        has_files = one.patient.baseline_ct is not None or one.patient.baseline_mask is not None
        if one.baseline is None and has_files and wanted.intersection(_VOLUMES):
            one = self._with_scan(one, None)
        _refuse_missing(one, content)
        _refuse_unknown_levels(one, content)
        return one

    def _with_scan(self, one: NewPatient, content: NetworkContent | None) -> NewPatient:
        """As the site's preparation reads it: volumes of the mask, unless the table gives both."""
        ct, mask = one.patient.baseline_ct, one.patient.baseline_mask
        if ct is None or mask is None:
            lacking = " and ".join(name for name, path in (("CT", ct), ("mask", mask)) if path is None)
            raise ScanError(f"{one.where}: the model looks at CT and mask, {lacking} is not given")
        scan = read_scan(ct)
        segmentation = read_mask(mask, scan, self.labels)
        notes = tuple(str(note) for note in (*scan.notes, *segmentation.notes))
        one = replace(one, notes=(*one.notes, *notes))
        if one.baseline is None:
            one = replace(one, baseline=segmentation.volumes(), measured=True)
        if content is None:
            return one
        prepared = prepare(scan, segmentation, content.recipe, (content.shape,))
        return replace(one, image=prepared.inputs[content.shape], lesion=segmentation.volumes())

    def _risks(self, patients: Sequence[NewPatient]) -> Reals:
        content, checkpoint = self.carded.card.content, self.carded.checkpoint
        if isinstance(content, LogisticContent):
            return logistic_risks(content, patients)
        if checkpoint is None:
            raise ValueError("a network without weights")
        images = [one.image for one in patients if one.image is not None]
        return network_risks(content, checkpoint, images, self.device)

    def _prediction(self, one: NewPatient, risk: float) -> Prediction:
        card, content = self.carded.card, self.carded.card.content
        inputs = _seen(one, content) if isinstance(content, NetworkContent) else _taken(one, content)
        positive = risk >= card.operating_point
        notes = one.notes
        if isinstance(content, NetworkContent) and content.batch_norm == "local":
            notes = (*notes, "the average BatchNorm is used; in the study each training site used its own")
        return Prediction(one.patient.identifier, risk, positive, inputs, notes)


def network_risks(
    content: NetworkContent, checkpoint: Checkpoint, images: Sequence[Pixels], device: str
) -> Reals:
    """The network's probabilities, shape (n,); imports torch."""
    import torch

    from common.models.weights import load_flat
    from common.models.zoo import build
    from common.training.device import pick_device
    from common.training.loop import score

    network = build(content.network)
    load_flat(network, checkpoint.weights, checkpoint.layout)
    stacked = torch.from_numpy(np.stack([np.array(image, dtype=np.float32) for image in images]))
    return score(network, stacked, pick_device(device), content.threads)


def logistic_risks(content: LogisticContent, patients: Sequence[NewPatient]) -> Reals:
    """The logistic model's probabilities, shape (n,)."""
    design = design_of_card(content)

    def scores(name: str) -> Reals:
        return np.array([one.scores.get(name, np.nan) for one in patients])

    matrix = design_matrix(patients, design, scores)
    columns = design.model(covariates_of(content.fitted)).columns
    return predict(coefficients_of(content.fitted, design), matrix, columns)


def _needed(covariate: str) -> tuple[str, ...]:
    return _BRAIN_INPUTS if covariate == BRAIN else (covariate,)


def _refuse_missing(one: NewPatient, content: LogisticContent) -> None:
    """Names every input that the model takes and the patient lacks, each with what to do."""
    names = [name for covariate in content.covariates for name in _needed(covariate.name)]
    levelled = {effect.variable for effect in content.fitted.effects if effect.level == MISSING}
    lacking = [n for n in dict.fromkeys(names) if n not in levelled and _value(one, n) is None]
    scores = [name.removeprefix(SCORE_OF) for name in lacking if name.startswith(SCORE_OF)]
    features = [name for name in lacking if name in FEATURES]
    others = [name for name in lacking if name in BY_NAME]
    findings = []
    if others:
        remedy = "write it in the table, or give --set NAME=VALUE"
        if set(others).intersection(_VOLUMES):
            remedy += "; volumes are measured where CT and mask are given"
        findings.append(Finding(one.where, f"the model takes {', '.join(others)}: no value", remedy))
    if scores:
        what = f"the model takes the score of {', '.join(scores)}: not given"
        findings.append(Finding(one.where, what, "predict with that network, then --set score:NETWORK=RISK"))
    if features:
        what = f"the model takes the radiomics features {', '.join(features)}: not given"
        findings.append(Finding(one.where, what, "give --set FEATURE=VALUE for each"))
    if findings:
        raise CohortError(tuple(findings))


def _refuse_unknown_levels(one: NewPatient, content: LogisticContent) -> None:
    """A level that no training patient had has no coefficient, which is not a coefficient of 0."""
    levels = {(effect.variable, effect.level) for effect in content.fitted.effects}
    for covariate in content.covariates:
        value = one.patient.value(covariate.name)
        if not covariate.reference or value is None or value == covariate.reference:
            continue
        if (covariate.name, value) not in levels:
            known = [covariate.reference, *(level for name, level in levels if name == covariate.name)]
            what = f"{covariate.name} = {value!r} is a level that the model does not know"
            remedy = f"it was trained on {', '.join(sorted(known))}: no risk can be given"
            raise CohortError((Finding(one.where, what, remedy),))


def _value(one: NewPatient, name: str) -> float | str | None:
    if name.startswith(SCORE_OF):
        return one.scores.get(name.removeprefix(SCORE_OF))
    if name in FEATURES:
        found = np.nan if one.features is None else float(one.features[FEATURES.index(name)])
        return None if np.isnan(found) else found
    if one.baseline is not None and name in _VOLUMES:
        return one.baseline.ich_ml if name == "ich_volume_ml" else one.baseline.ivh_ml
    return one.patient.value(name)


def _seen(one: NewPatient, content: NetworkContent) -> tuple[Input, ...]:
    spacing = " x ".join(f"{side:g}" for side in content.recipe.spacing_mm)
    lesion = one.lesion or Volumes(0.0, 0.0)
    side = (content.shape.size,) * content.shape.dimensions
    return (
        Input("spacing after resampling (mm)", spacing, "model card"),
        Input("network input", " x ".join(map(str, side)), "model card"),
        Input("ICH volume (ml)", f"{lesion.ich_ml:.2f}", MASK),
        Input("IVH volume (ml)", f"{lesion.ivh_ml:.2f}", MASK),
    )


def _taken(one: NewPatient, content: LogisticContent) -> tuple[Input, ...]:
    names = [name for covariate in content.covariates for name in _needed(covariate.name)]
    return tuple(_input(one, name) for name in dict.fromkeys(names))


def _input(one: NewPatient, name: str) -> Input:
    value = _value(one, name)
    shown = MISSING if value is None else value if isinstance(value, str) else f"{value:g}"
    return Input(name, shown, MASK if one.measured and name in _VOLUMES else one.source_of(name))
