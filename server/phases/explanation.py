"""Phase: the sites draw attention maps; only those of synthetic patients are sent, of others at most sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.messages.catalogue import Operation
from common.messages.headers import Caption
from common.plan.mapped_cohorts import averages_maps
from common.plan.repeated_trainings import is_repeat
from common.program.attention_means import SummedMaps, average_attention
from common.program.names import MEAN_ATTENTION
from common.stats.estimate import Status
from server.exchange import Exchange
from server.phases.endorsed_models import SentModel, send_model
from server.phases.training import TrainedModel
from server.procedures import carry_out
from server.reasons import SiteFailureError


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


@dataclass(frozen=True)
class ExplainedModels:
    """The attention of a study's networks.

    Attributes
    ----------
    maps : tuple of AttentionMap
        Of synthetic patients.
    failed : mapping of (model, arm) to Status
        Why the maps of a network could not be drawn at every site; there is none of it then.
    summed : SummedMaps or None
        Sums of the maps of all tested patients, also of real ones; None where the plan does not ask for them.
    """

    maps: tuple[AttentionMap, ...] = ()
    failed: Mapping[tuple[str, str], Status] = field(default_factory=dict)
    summed: SummedMaps | None = None


def explain_models(exchange: Exchange, trained: tuple[TrainedModel, ...]) -> ExplainedModels:
    """The maps of every federated model, or of the local ones in a study without federation.

    Raises
    ------
    SiteFailureError
        If a site fails because of itself or the plan.
    """
    if exchange.plan.explanation.per_site == 0 and not averages_maps(exchange.plan):
        return ExplainedModels()
    there = [model for model in trained if model.standing.ok and not is_repeat(model.model)]
    federated = [model for model in there if model.arm.kind == "federated"]
    maps: list[AttentionMap] = []
    failed: dict[tuple[str, str], Status] = {}
    for model in federated or [model for model in there if model.arm.kind == "local"]:
        try:
            maps += _explain_model(exchange, model)
        except SiteFailureError as refusal:
            if not refusal.costs_one_model:
                raise
            failed[model.model.name, model.arm.name] = refusal.standing
    summed = None
    if averages_maps(exchange.plan):
        summed = carry_out(exchange, MEAN_ATTENTION, average_attention(exchange.plan))
    return ExplainedModels(tuple(maps), failed, summed)


def _explain_model(exchange: Exchange, trained: TrainedModel) -> tuple[AttentionMap, ...]:
    weights = trained.load_weights()
    sites = trained.arm.sites if weights is None else exchange.plan.site_names
    sent = SentModel(trained.model, trained.arm, weights, round=trained.chosen)
    replies = send_model(exchange, Operation.EXPLAIN, sent, sites)
    return tuple(
        AttentionMap(trained, site, caption, picture.tobytes())
        for site, reply in replies.items()
        for caption, picture in zip(reply.header.captions, reply.pictures, strict=True)
    )
