"""Step of scoring and explaining: a model goes first to the sites that know it, then to others, signed.

Where a site of the study was not in a model's sums this costs one more round of messages; what was signed in
the scoring is not asked again in the explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.messages.catalogue import Operation
from common.messages.endorsement import Endorsement, digest_content
from common.messages.protocol import Parameters, Reply
from common.plan.models import AnyTrainedModel
from common.plan.study import Arm
from common.program.names import name_explanation, name_scoring
from common.program.scorings import BY_NOBODY, BY_OTHERS, BY_TRAINERS, list_scored_sites
from common.types import FlatWeights
from server.exchange import Exchange


@dataclass(frozen=True)
class SentModel:
    """A model on its way to the sites.

    Attributes
    ----------
    model : CnnModel, LogisticModel or SvmModel
        The plan's model.
    arm : Arm
        On whose patients it was made.
    weights : float32 vector or None
        A network's; None where it stays at its site.
    parameters : Parameters
        Coefficients of a model of the table; empty where it stays at its site.
    regressions : tuple of tuple of str
        Covariates of a logistic model.
    round : int
        The round that gave a network's weights; 0 for other models.
    """

    model: AnyTrainedModel
    arm: Arm
    weights: FlatWeights | None = None
    parameters: Parameters = field(default_factory=dict)
    regressions: tuple[tuple[str, ...], ...] = ()
    round: int = 0

    @property
    def goes_out(self) -> bool:
        """Whether anything of the model is sent; what stays at its site is named alone."""
        return self.weights is not None or bool(self.parameters)

    def ask(
        self, exchange: Exchange, operation: Operation, sites: Sequence[str], **place: object
    ) -> dict[str, Reply]:
        """The answers of these sites to the model; raises as `Exchange.ask`."""
        return exchange.ask(
            operation,
            sites,
            self.weights,
            self.parameters,
            model=self.model.name,
            arm=self.arm.name,
            regressions=self.regressions,
            round=self.round,
            **place,
        )


def send_model(
    exchange: Exchange, operation: Operation, sent: SentModel, sites: Sequence[str]
) -> dict[str, Reply]:
    """The sites' answers to a model: those who know it are asked first, and sign it for the others.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    operation : Operation
        SCORE or EXPLAIN.
    sent : SentModel
        The model.
    sites : sequence of str
        Who is asked.

    Raises
    ------
    ExchangeError
        If a site does not answer.
    SiteFailureError
        If a site refuses or fails.
    """
    name = name_scoring if operation is Operation.SCORE else name_explanation
    first = {"procedure": name(sent.model, sent.arm), "step": BY_TRAINERS}
    if exchange.hidden is None or not sent.goes_out:
        return sent.ask(exchange, operation, sites, **first)
    content = digest_content(sent.weights, sent.parameters, sent.regressions, sent.round)
    known = exchange.endorsements.get(content, {})
    if known.keys() >= set(sent.arm.sites):
        return sent.ask(exchange, operation, sites, **first, endorsements=_sort(known))
    answers = sent.ask(exchange, operation, sent.arm.sites, **first)
    known = _read_endorsements(answers)
    exchange.endorsements[content] = known
    others = [site for site in sites if site not in known or known[site].missed]
    if others:
        second = {**first, "step": BY_OTHERS, "endorsements": _sort(known)}
        answers |= sent.ask(exchange, operation, others, **second)
    return dict(sorted(answers.items()))


def score_nobody(exchange: Exchange, model: AnyTrainedModel, arm: Arm) -> None:
    """Tell the sites at which it may score that there is no such model; raises as `Exchange.ask`."""
    exchange.ask(
        Operation.SCORE,
        list_scored_sites(exchange.plan, model, arm),
        model=model.name,
        arm=arm.name,
        stage="untrained",
        procedure=name_scoring(model, arm),
        step=BY_NOBODY,
    )


def _sort(known: Mapping[str, Endorsement]) -> tuple[Endorsement, ...]:
    return tuple(known[site] for site in sorted(known))


def _read_endorsements(answers: Mapping[str, Reply]) -> dict[str, Endorsement]:
    said = {site: reply.header.endorsement for site, reply in answers.items()}
    return {site: endorsement for site, endorsement in said.items() if endorsement is not None}
