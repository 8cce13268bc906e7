"""A model's risk for new patients, by the very code that scored the study's patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from client.covariates import design_matrix
from client.new_patient import NewPatient
from client.predict_inputs import (
    VOLUMES,
    Input,
    covariates_taken,
    inputs_seen,
    inputs_taken,
    lacking_features,
    refuse_missing,
    refuse_unknown_levels,
    variables_needed,
)
from common.card import Content, LogisticContent, NetworkContent, SvmContent, TableContent, design_of_card
from common.card_file import CardedModel
from common.errors import CohortError, ModelError, RheError, ScanError
from common.extraction import feature_version
from common.fitted import coefficients_of, predict
from common.imaging.mask import Mask, MaskLabels, read_mask
from common.imaging.preprocess import ALGORITHM, prepare
from common.imaging.scan import Scan, read_scan
from common.models.checkpoint import Checkpoint
from common.svm import form_of, map_by_name, risks_of
from common.types import Pixels, Reals


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
        if not isinstance(content, NetworkContent) and content.fitted.status != "ok":
            raise ModelError(f"{card.model}, {card.arm}: was not fitted: {content.fitted.reason}")
        _refuse_other_recipe(card.model, content)

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
            return self._looked_at(one, content)
        one = self._measured(one, content)
        refuse_missing(one, content)
        refuse_unknown_levels(one, content)
        return one

    def _looked_at(self, one: NewPatient, content: NetworkContent) -> NewPatient:
        """With the input of a network."""
        one, scan, mask = self._read(one)
        prepared = prepare(scan, mask, content.recipe, (content.shape,))
        return replace(one, image=prepared.inputs[content.shape], lesion=mask.volumes())

    def _measured(self, one: NewPatient, content: TableContent) -> NewPatient:
        """With volumes and radiomics features that the model takes and nobody gave, if there are files."""
        volumes = one.baseline is None and bool(VOLUMES.intersection(variables_needed(content)))
        features = lacking_features(one, content)
        files = one.patient.baseline_ct is not None or one.patient.baseline_mask is not None
        if not files or not (volumes or features):
            return one
        one, scan, mask = self._read(one)
        return _with_features(one, scan, mask, content) if features else one

    def _read(self, one: NewPatient) -> tuple[NewPatient, Scan, Mask]:
        """As the site's preparation reads it: volumes of the mask, unless the table gives both."""
        ct, mask = one.patient.baseline_ct, one.patient.baseline_mask
        if ct is None or mask is None:
            lacking = " and ".join(name for name, path in (("CT", ct), ("mask", mask)) if path is None)
            raise ScanError(
                f"{one.where}: the model looks at CT and mask, {lacking} is not given -> give --ct and --mask"
            )
        scan = read_scan(ct)
        segmentation = read_mask(mask, scan, self.labels)
        notes = tuple(str(note) for note in (*scan.notes, *segmentation.notes))
        one = replace(one, notes=(*one.notes, *notes))
        if one.baseline is None:
            one = replace(one, baseline=segmentation.volumes(), measured=True)
        return one, scan, segmentation

    def _risks(self, patients: Sequence[NewPatient]) -> Reals:
        card, checkpoint = self.carded.card, self.carded.checkpoint
        if not isinstance(card.content, NetworkContent):
            return table_risks(card.model, card.content, patients)
        if checkpoint is None:
            raise ValueError("a network without weights")
        images = [one.image for one in patients if one.image is not None]
        return network_risks(card.content, checkpoint, images, self.device)

    def _prediction(self, one: NewPatient, risk: float) -> Prediction:
        card, content = self.carded.card, self.carded.card.content
        inputs = (
            inputs_seen(one, content) if isinstance(content, NetworkContent) else inputs_taken(one, content)
        )
        notes = (*one.notes, *_notes(content))
        return Prediction(one.patient.identifier, risk, risk >= card.operating_point, inputs, notes)


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


def table_risks(model: str, content: TableContent, patients: Sequence[NewPatient]) -> Reals:
    """The probabilities of a model of the table, shape (n,).

    Parameters
    ----------
    model : str
        Its name, from which a machine's random features derive.
    """
    design = design_of_card(content)

    def scores(name: str) -> Reals:
        return np.array([one.scores.get(name, np.nan) for one in patients])

    matrix = design_matrix(patients, design, scores)
    if isinstance(content, LogisticContent):
        columns = design.model(covariates_taken(content)).columns
        return predict(coefficients_of(content.fitted, design), matrix, columns)
    form = form_of(content.fitted, design)
    fourier = map_by_name(content.seed, model, len(content.fitted.weights), len(design.columns))
    return risks_of(form, form.scales.standardise(matrix), fourier)


def _refuse_other_recipe(model: str, content: Content) -> None:
    """Inputs that another version made differ by more than rounding."""
    if isinstance(content, NetworkContent):
        own, made = f"preprocessing {ALGORITHM}", f"preprocessing {content.algorithm}"
    elif content.radiomics is not None:
        own, made = feature_version(), content.radiomics.version
    else:
        return
    if own != made:
        raise ModelError(
            f"{model}: takes inputs of {made}, not {own} -> predict with the rhe that trained it"
        )


def _with_features(one: NewPatient, scan: Scan, mask: Mask, content: TableContent) -> NewPatient:
    """With the features of the lesion, by the model's own recipe; what was given stays as it was given."""
    from common.radiomics.extract import extract

    if content.radiomics is None:
        return one
    found = extract(scan, mask, content.radiomics.settings)
    one = replace(one, lesion=mask.volumes())
    given = np.full(found.values.shape, np.nan) if one.features is None else one.features
    notes = list(one.notes)
    if found.components > 1:
        notes.append(f"the lesion has {found.components} parts, extracted as one")
    if found.touches_border:
        notes.append("the lesion reaches the end of the scan")
    return replace(one, features=np.where(np.isnan(given), found.values, given), notes=tuple(notes))


def _notes(content: Content) -> tuple[str, ...]:
    """What holds for every patient of a model."""
    if isinstance(content, NetworkContent) and content.batch_norm == "local":
        return ("the average BatchNorm is used; in the study each training site used its own",)
    if isinstance(content, SvmContent) and content.fitted.deviation is not None:
        apart = f"{content.fitted.deviation:.3f} (root mean square)"
        return (f"the linear form is used; risks of the site's exact machine lie {apart} from its own",)
    return ()
