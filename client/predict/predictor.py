"""A model's risk for new patients, by the very code that scored the study's patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from client.answers.carded_risks import predict_with_network, predict_with_table
from client.cohort.contradictions_of_masks import find_contradicted_flags
from client.cohort.scan_notes import compare_volumes
from client.predict.inputs import (
    VOLUME_VARIABLES,
    Input,
    list_lacking_features,
    list_needed_variables,
    list_network_inputs,
    list_table_inputs,
    refuse_missing,
    refuse_unknown_levels,
)
from client.predict.new_patient import NewPatient
from client.predict.worth import list_unusual
from common.cards.card import Content, NetworkContent, SvmContent, TableContent
from common.cards.card_file import CardedModel
from common.errors import CohortError, Level, ModelError, RheError, ScanError
from common.imaging.masks.mask import Mask, MaskLabels, read_mask
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.preprocess import PREPROCESSING_ALGORITHM, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.scan import Scan
from common.plan.extraction import feature_version
from common.runtime.machine import bind_threads
from common.types import Pixels, Reals


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one patient.

    Attributes
    ----------
    identifier : str
        The patient's.
    risk : float
        Predicted probability of expansion.
    positive : bool
        Whether it reaches the operating point.
    inputs : tuple of Input
        What the model was given.
    notes : tuple of str
        What a reader should know of scan, mask and patient.
    doubts : tuple of str
        What a person must look at, because scan, mask or table are probably wrong, and so is the risk.
    """

    identifier: str
    risk: float
    positive: bool
    inputs: tuple[Input, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declined:
    """A patient for whom the model gives no risk, and why.

    Attributes
    ----------
    identifier : str
        The patient's.
    failure : RheError
        Why there is no risk.
    """

    identifier: str
    failure: RheError


@dataclass(frozen=True)
class Predictor:
    """A model ready for new patients.

    Attributes
    ----------
    carded : CardedModel
        The model with its card.
    labels : MaskLabels
        What the values of the masks mean.
    device : str
        As in site.toml.
    options : ReadingOptions
        Which of several series is read; the card says whether slices may be missing.

    Raises
    ------
    ModelError
        If the model was not fitted, or takes inputs as this version of rhe does not make them.
    """

    carded: CardedModel
    labels: MaskLabels = field(default_factory=MaskLabels)
    device: str = "cpu"
    options: ReadingOptions = NO_CHOICE

    def __post_init__(self) -> None:
        card, content = self.carded.card, self.carded.card.content
        if not isinstance(content, NetworkContent) and content.fitted.status != "ok":
            raise ModelError(f"{card.model}, {card.arm}: was not fitted: {content.fitted.reason}")
        _refuse_other_recipe(card.model, content)

    def predict(
        self, patients: Sequence[NewPatient], done: Callable[[], None] = lambda: None
    ) -> tuple[Prediction | Declined, ...]:
        """Each patient's risk, or why there is none; in the order of the patients."""
        content = self.carded.card.content
        with bind_threads(content.threads if isinstance(content, NetworkContent) else 1):
            return self._predict(patients, done)

    def _predict(
        self, patients: Sequence[NewPatient], done: Callable[[], None]
    ) -> tuple[Prediction | Declined, ...]:
        ready: list[NewPatient | Declined] = []
        for case in patients:
            try:
                ready.append(self._complete(case))
            except (ScanError, CohortError, ModelError) as failure:
                ready.append(Declined(case.patient.identifier, failure))
            done()
        accepted = [case for case in ready if isinstance(case, NewPatient)]
        risks = iter(self._predict_risks(accepted).tolist() if accepted else ())
        return tuple(
            case if isinstance(case, Declined) else self._make_prediction(case, next(risks)) for case in ready
        )

    def _complete(self, case: NewPatient) -> NewPatient:
        content = self.carded.card.content
        if isinstance(content, NetworkContent):
            return self._add_image(case, content)
        case = self._add_measurements(case, content)
        refuse_missing(case, content)
        refuse_unknown_levels(case, content)
        return case

    def _add_image(self, case: NewPatient, content: NetworkContent) -> NewPatient:
        """The patient with the input of a network."""
        case, scan, mask = self._read_scan(case)
        prepared = prepare_inputs(scan, mask, content.recipe, (content.shape,))
        return replace(case, image=prepared.inputs[content.shape], lesion=mask.volumes())

    def read_image(self, case: NewPatient, content: NetworkContent) -> tuple[Scan, Mask, Pixels]:
        """The patient's scan and mask, and the input of a network that is made of them.

        Raises
        ------
        ScanError
            If one of them is not given, or cannot be used.
        """
        _, scan, mask = self._read_scan(case)
        return scan, mask, prepare_inputs(scan, mask, content.recipe, (content.shape,)).inputs[content.shape]

    def _add_measurements(self, case: NewPatient, content: TableContent) -> NewPatient:
        """The patient with the volumes and features that the model takes, from the files if not given."""
        volumes = case.baseline is None and bool(
            VOLUME_VARIABLES.intersection(list_needed_variables(content))
        )
        features = list_lacking_features(case, content)
        files = case.patient.baseline_ct is not None or case.patient.baseline_mask is not None
        if not files or not (volumes or features):
            return case
        case, scan, mask = self._read_scan(case)
        return _add_features(case, scan, mask, content) if features else case

    def _read_scan(self, case: NewPatient) -> tuple[NewPatient, Scan, Mask]:
        """The patient, scan and mask, read as a site's preparation does: volumes of the mask unless given.

        Raises
        ------
        ScanError
            If one of them is not given, or cannot be used.
        """
        ct, mask = case.patient.baseline_ct, case.patient.baseline_mask
        if ct is None or mask is None:
            lacking = " and ".join(name for name, path in (("CT", ct), ("mask", mask)) if path is None)
            raise ScanError(
                f"{case.where}: the model looks at CT and mask, {lacking} is not given "
                "-> give --ct and --mask"
            )
        # What the study took: its model may have seen scans with gaps, or never
        scan = read_scan(ct, replace(self.options, missing_slices=self.carded.card.missing_slices))
        segmentation = read_mask(mask, scan, self.labels)
        case = _add_findings(case, scan, segmentation)
        if case.baseline is None:
            case = replace(case, baseline=segmentation.volumes(), measured=True)
        return case, scan, segmentation

    def _predict_risks(self, patients: Sequence[NewPatient]) -> Reals:
        card, checkpoint = self.carded.card, self.carded.checkpoint
        if not isinstance(card.content, NetworkContent):
            return predict_with_table(card.model, card.content, patients, _list_scores(patients))
        if checkpoint is None:
            raise ValueError("a network without weights")
        images = [case.image for case in patients if case.image is not None]
        return predict_with_network(card.content, checkpoint, images, self.device)

    def _make_prediction(self, case: NewPatient, risk: float) -> Prediction:
        card, content = self.carded.card, self.carded.card.content
        inputs = (
            list_network_inputs(case, content)
            if isinstance(content, NetworkContent)
            else list_table_inputs(case, content)
        )
        notes = (*card.describe_origin(), *case.notes, *list_unusual(card, case), *_list_notes(content))
        positive = risk >= card.operating_point
        return Prediction(case.patient.identifier, risk, positive, inputs, notes, case.doubts)


def _list_scores(patients: Sequence[NewPatient]) -> Callable[[str], Reals]:
    """What gives networks' scores of these patients, by name."""
    return lambda name: np.array([case.scores.get(name, np.nan) for case in patients])


def _refuse_other_recipe(model: str, content: Content) -> None:
    """Refuse a model whose inputs another version made: they differ by more than rounding.

    Raises
    ------
    ModelError
        If the model takes such inputs.
    """
    if isinstance(content, NetworkContent):
        ours, theirs = f"preprocessing {PREPROCESSING_ALGORITHM}", f"preprocessing {content.algorithm}"
    elif content.radiomics is not None:
        ours, theirs = feature_version(), content.radiomics.version
    else:
        return
    if ours != theirs:
        raise ModelError(
            f"{model}: takes inputs of {theirs}, not {ours} -> predict with the rhe that trained it"
        )


def _add_findings(case: NewPatient, scan: Scan, mask: Mask) -> NewPatient:
    """The patient with what was found on scan and mask, and what the mask contradicts in the table."""
    patient, measured = case.patient, mask.volumes()
    findings = (
        *scan.notes,
        *mask.notes,
        *compare_volumes(case.where, "baseline", patient, measured),
        *find_contradicted_flags(case.where, patient, measured),
    )
    doubts = tuple(str(finding) for finding in findings if finding.level is Level.LOOK)
    notes = tuple(str(finding) for finding in findings if finding.level is Level.KNOW)
    return replace(case, notes=(*case.notes, *notes), doubts=(*case.doubts, *doubts))


def _add_features(case: NewPatient, scan: Scan, mask: Mask, content: TableContent) -> NewPatient:
    """The patient with the lesion's features, by the model's own recipe; features that were given stay."""
    from common.radiomics.extract import extract

    if content.radiomics is None:
        return case
    extracted = extract(scan, mask, content.radiomics.settings)
    case = replace(case, lesion=mask.volumes())
    given = np.full(extracted.values.shape, np.nan) if case.features is None else case.features
    notes = list(case.notes)
    if extracted.components > 1:
        notes.append(f"the lesion has {extracted.components} parts, extracted as one")
    if extracted.touches_border:
        notes.append("the lesion reaches the end of the scan")
    return replace(case, features=np.where(np.isnan(given), extracted.values, given), notes=tuple(notes))


def _list_notes(content: Content) -> tuple[str, ...]:
    """Notes that hold for every patient of a model."""
    if isinstance(content, NetworkContent) and content.batch_norm == "local":
        return ("the average BatchNorm is used; in the study each training site used its own",)
    if isinstance(content, SvmContent) and content.fitted.deviation is not None:
        apart = f"{content.fitted.deviation:.3f} (root mean square)"
        return (f"the linear form is used; risks of the site's exact machine lie {apart} from its own",)
    return ()
