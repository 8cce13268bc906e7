"""Attention maps of patients for whom a network predicted, one picture a patient, without a study's plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from client.answers.attention_drawing import explain_decision, slice_scan
from client.answers.carded_risks import build_network
from client.predict.new_patient import NewPatient
from client.predict.predictor import Declined, Prediction, Predictor
from common.cards.card import ModelCard, NetworkContent
from common.errors import ModelError
from common.runtime.storage import write_atomically


def refuse_table_models(card: ModelCard) -> None:
    """Refuse a model that looks at no image.

    Raises
    ------
    ModelError
        If it is one of the table.
    """
    if not isinstance(card.content, NetworkContent):
        raise ModelError(
            f"{card.model}, {card.arm}: is no network and has no attention map -> give a .safetensors file"
        )


def write_overlays(
    predictor: Predictor,
    patients: Sequence[NewPatient],
    outcomes: Sequence[Prediction | Declined],
    folder: Path,
) -> tuple[Path, ...]:
    """The pictures' files; each explains the decision that the network took.

    Parameters
    ----------
    predictor : Predictor
        Of a network.
    patients, outcomes : sequences, shape (n,)
        Whom it predicted for, and what; who was refused has no picture.
    folder : Path
        Gets one PNG a patient, named by the row of the table; "patient.png" without a table.

    Raises
    ------
    ValueError
        If the model is no network.
    StorageError
        If a picture cannot be written.
    """
    card, checkpoint = predictor.carded.card, predictor.carded.checkpoint
    if not isinstance(card.content, NetworkContent) or checkpoint is None:
        raise ValueError("a network without weights")
    network, written = build_network(card.content, checkpoint), []
    for patient, outcome in zip(patients, outcomes, strict=True):
        if isinstance(outcome, Declined):
            continue
        scan, mask, image = predictor.read_image(patient, card.content)
        picture = explain_decision(
            network,
            image,
            slice_scan(scan, mask, card.content.recipe, card.content.shape),
            positive=outcome.positive,
            noun=card.outcome.noun,
        )
        path = folder / (f"row-{patient.patient.row}.png" if patient.patient.row else "patient.png")
        write_atomically(path, picture, private=True)
        written.append(path)
    return tuple(written)
