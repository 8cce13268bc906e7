"""Phase: the sites draw attention maps; only those of synthetic patients are sent to the coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from common.messages.headers import Caption, Operation
from server.exchange import Exchange
from server.phases.training import TrainedModel


@dataclass(frozen=True)
class AttentionMap:
    """The attention of one model, drawn over the scan of a synthetic patient.

    Attributes
    ----------
    trained : TrainedModel
        The model whose attention is drawn.
    site : str
        Name of the site that drew it.
    caption : Caption
        Outcome and score of the patient.
    png : bytes
        The picture, a PNG file.
    """

    trained: TrainedModel
    site: str
    caption: Caption
    png: bytes


def explain_models(exchange: Exchange, trained: tuple[TrainedModel, ...]) -> tuple[AttentionMap, ...]:
    """The maps of every federated model, or of the local ones in a study without federation."""
    if exchange.plan.explanation.per_site == 0:
        return ()
    federated = [model for model in trained if model.arm.kind == "federated"]
    local = [model for model in trained if model.arm.kind == "local"]
    return tuple(picture for model in federated or local for picture in _explain_model(exchange, model))


def _explain_model(exchange: Exchange, trained: TrainedModel) -> tuple[AttentionMap, ...]:
    weights = trained.load_weights()
    replies = exchange.ask(
        Operation.EXPLAIN,
        trained.arm.sites if weights is None else exchange.plan.site_names,
        weights,
        model=trained.model.name,
        arm=trained.arm.name,
        round=trained.chosen,
    )
    return tuple(
        AttentionMap(trained, site, caption, picture.tobytes())
        for site, reply in replies.items()
        for caption, picture in zip(reply.header.captions, reply.pictures, strict=True)
    )
