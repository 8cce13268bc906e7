"""Phase: models of earlier studies score the patients of every site; their files go there, scores stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.cards.card import ModelCard
from common.cards.card_in_plan import insist_planned, load_planned_card, read_card_file
from common.errors import ModelError, NotThePlanError
from common.messages.carried_file import pack_file
from common.messages.catalogue import Operation
from common.plan.models import CardModel
from common.plan.study import EARLIER, StudyPlan
from common.program.names import name_scoring
from server.exchange import Exchange


def read_earlier_cards(plan: StudyPlan, folder: Path | None) -> Mapping[str, ModelCard]:
    """The card of each model of an earlier study that is judged, by its name, once it is the plan's and fits.

    Parameters
    ----------
    plan : StudyPlan
    folder : Path or None
        Where the files lie; None where none was named.

    Raises
    ------
    ModelError
        If a file is not there, is another than the plan's, or does not fit the plan.
    StorageError
        If one cannot be read.
    """
    cards = {}
    for model in plan.cards if "evaluation" in plan.phases else ():
        path = _find_file(model, folder)
        try:
            insist_planned(read_card_file(path), model)
        except NotThePlanError as refusal:
            raise ModelError(f"{path}: {refusal}") from None
        cards[model.name] = load_planned_card(path, model, plan).card
    return cards


def score_by_earlier_models(exchange: Exchange, folder: Path | None) -> None:
    """Send the file of each model of an earlier study to every site, which scores its patients with it.

    Raises
    ------
    RheError
        If a file cannot be read, or a site does not answer, refuses or fails.
    """
    for model in exchange.plan.cards:
        (arm,) = exchange.plan.arms_of(model)
        exchange.ask(
            Operation.SCORE,
            exchange.plan.site_names,
            pack_file(read_card_file(_find_file(model, folder))),
            model=model.name,
            arm=EARLIER,
            procedure=name_scoring(model, arm),
            step=1,
        )


def _find_file(model: CardModel, folder: Path | None) -> Path:
    if folder is None:
        raise ModelError(
            f"{model.name}: the plan names the model file {model.file} -> give its folder with --cards"
        )
    return folder / model.file
