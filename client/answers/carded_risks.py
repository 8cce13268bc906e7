"""The risks that a model computes by its card alone: of new patients, and of a study that validates it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from client.answers.patient_arrays import HasCovariates, make_design_matrix
from common.cards.card import CovariateContent, LogisticContent, NetworkContent, TableContent, design_of_card
from common.cards.card_in_plan import list_inputs
from common.cards.fitted import coefficients_of, predict_risks
from common.cards.fourier_machine import draw_named_map, form_of, risks_of
from common.cohort.patient import Patient
from common.models.checkpoint import Checkpoint
from common.types import Pixels, Reals

if TYPE_CHECKING:
    from torch import nn


def predict_with_network(
    content: NetworkContent, checkpoint: Checkpoint, images: Sequence[Pixels] | Pixels, device: str
) -> Reals:
    """The network's probabilities, shape (n,); imports torch."""
    import torch

    from common.training.device import pick_device
    from common.training.loop import score

    network = build_network(content, checkpoint)
    stacked = torch.from_numpy(np.asarray(images, dtype=np.float32))
    return score(network, stacked, pick_device(device), content.threads)


def build_network(content: NetworkContent, checkpoint: Checkpoint) -> nn.Module:
    """The network with its weights; imports torch."""
    from common.models.weights import load_flat
    from common.models.zoo import build

    network = build(content.network)
    load_flat(network, checkpoint.weights, checkpoint.layout)
    return network


def predict_with_table(
    model: str,
    content: TableContent,
    patients: Sequence[HasCovariates],
    scores: Callable[[str], Reals] | None = None,
) -> Reals:
    """The probabilities of a model of the table, shape (n,).

    Parameters
    ----------
    model : str
        Its name, from which a machine's random features derive.
    content : TableContent
        Of its card.
    patients : sequence of HasCovariates
        One a risk; none may have a level that the model does not know, which would count as the reference.
    scores : callable, optional
        Networks' scores of the patients by name; needed where the model takes one.
    """
    design = design_of_card(content)
    matrix = make_design_matrix(patients, design, scores)
    if isinstance(content, LogisticContent):
        columns = design.model(list_inputs(content)).columns
        return predict_risks(coefficients_of(content.fitted, design), matrix, columns)
    form = form_of(content.fitted, design)
    fourier = draw_named_map(content.seed, model, len(content.fitted.weights), len(design.columns))
    return risks_of(form, form.scales.standardise(matrix), fourier)


def find_unknown_level(patient: Patient, content: TableContent) -> CovariateContent | None:
    """The covariate of which the patient has a level that no training patient had; None if there is none."""
    levels = {(column.variable, column.level) for column in design_of_card(content).columns}
    for covariate in content.covariates:
        value = patient.value(covariate.name)
        is_level = covariate.reference and value not in {None, covariate.reference}
        if is_level and (covariate.name, value) not in levels:
            return covariate
    return None
