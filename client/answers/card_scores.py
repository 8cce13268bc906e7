"""Scores by a model of an earlier study, whose file came with the question and whose digest the plan has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from client.answers.carded_risks import find_unknown_level, predict_with_network, predict_with_table
from client.cohort.cases import PreparedCase, PreparedSite, stack_inputs
from common.cards.card import ModelCard, NetworkContent, TableContent
from common.cards.card_file import CardedModel
from common.cards.card_in_plan import insist_planned, load_planned_card
from common.errors import ModelError, NonFiniteError, ProtocolError
from common.messages.carried_file import unpack_file
from common.plan.models import CardModel
from common.plan.study import StudyPlan
from common.runtime.machine import bind_threads
from common.runtime.storage import write_atomically
from common.training.device import name_memory_shortage
from common.types import FlatWeights, Reals


def score_by_card(
    plan: StudyPlan, model: CardModel, carried: FlatWeights | None, prepared: PreparedSite, state: Path
) -> Reals:
    """Every patient's risk by the model, shape (n,); NaN for whom it gives none.

    Parameters
    ----------
    plan : StudyPlan
        As the site approved it.
    model : CardModel
        The plan's.
    carried : float32 vector or None
        The model's file, as it came.
    prepared : PreparedSite
        The site's patients.
    state : Path
        The site's state; keeps the file under `earlier/`.

    Raises
    ------
    ProtocolError
        If no file came.
    NotThePlanError
        If it is another than the plan's.
    ModelError
        If the plan does not prepare what the model takes.
    """
    if carried is None:
        raise ProtocolError(f"{model.name}: came without its file")
    content = unpack_file(carried, model.bytes)
    insist_planned(content, model)
    path = state / "earlier" / model.sha256 / model.file
    write_atomically(path, content, private=True)
    carded = load_planned_card(path, model, plan)
    if isinstance(carded.card.content, NetworkContent):
        return _score_by_network(carded, carded.card.content, prepared)
    return _score_by_table(carded.card, carded.card.content, prepared.cases)


def _score_by_network(carded: CardedModel, content: NetworkContent, prepared: PreparedSite) -> Reals:
    """The network's risks; torch may be loaded by this very question, so its threads are bound here.

    Raises
    ------
    ModelError
        If the file has no weights.
    NonFiniteError
        If a risk is not a number.
    """
    if carded.checkpoint is None:
        raise ModelError(f"{carded.card.model}: a network without weights")
    with bind_threads(content.threads), name_memory_shortage():
        images = stack_inputs(prepared.cases, content.shape)
        risks = predict_with_network(content, carded.checkpoint, images, prepared.settings.device)
    if not np.isfinite(risks).all():
        raise NonFiniteError(f"{carded.card.model}: a risk is NaN or infinite -> it cannot be validated")
    return risks


def _score_by_table(card: ModelCard, content: TableContent, cases: tuple[PreparedCase, ...]) -> Reals:
    risks = predict_with_table(card.model, content, cases)
    is_strange = [find_unknown_level(case.patient, content) is not None for case in cases]
    return np.where(is_strange, np.nan, risks)
