"""Phase: the sites draw attention maps; only those of synthetic patients come here."""

from __future__ import annotations

from dataclasses import dataclass

from common.headers import Caption, Operation
from server.exchange import Exchange
from server.phases.training import TrainedModel


@dataclass(frozen=True)
class AttentionMap:
    """One overlay of a synthetic patient.

    Attributes
    ----------
    trained : TrainedModel
        Whose attention.
    site : str
    caption : Caption
        Outcome and score.
    png : bytes
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
    return tuple(found for model in federated or local for found in _explain(exchange, model))


def _explain(exchange: Exchange, trained: TrainedModel) -> tuple[AttentionMap, ...]:
    weights = trained.weights()
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
