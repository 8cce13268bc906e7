"""Phase: every trained model scores the patients of each site it may go to; the scores stay there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.cards.fitted import coefficients_of, covariates_of
from common.messages.catalogue import Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_coefficients
from common.plan.design import design_of
from common.stats.estimate import Status
from server.exchange import Exchange
from server.phases.endorsed_models import SentModel, score_nobody, send_model
from server.phases.fitting import FittedRegression
from server.phases.training import TrainedModel
from server.reasons import SiteFailureError
from server.run import StudyRun
from server.training.failure import FailedTraining, keep_failure


def score_by_networks(
    exchange: Exchange, run: StudyRun, trained: Sequence[TrainedModel]
) -> tuple[TrainedModel, ...]:
    """Send each network to the sites, in one round or two; they score their patients and keep the scores.

    Returns
    -------
    tuple of TrainedModel
        The networks, those that could not score at a site with the reason. Such a network, like one that was
        not trained, scores nobody anywhere.
    """
    return tuple(score_by_network(exchange, run, network) for network in trained)


def score_by_network(exchange: Exchange, run: StudyRun, network: TrainedModel) -> TrainedModel:
    """The network once it has scored at the sites, or with the reason why it has not.

    Raises
    ------
    SiteFailureError
        If a site fails because of itself or the plan.
    """
    if network.standing.ok:
        try:
            _send_network(exchange, network)
        except SiteFailureError as refusal:
            if not refusal.costs_one_model:
                raise
            network = _remember_failure(run, network, refusal.standing)
        else:
            return network
    score_nobody(exchange, network.model, network.arm)
    return network


def _send_network(exchange: Exchange, network: TrainedModel) -> None:
    weights = network.load_weights()
    sent = SentModel(network.model, network.arm, weights, round=network.chosen)
    sites = network.arm.sites if weights is None else exchange.plan.site_names
    send_model(exchange, Operation.SCORE, sent, sites)


def _remember_failure(run: StudyRun, network: TrainedModel, status: Status) -> TrainedModel:
    failed = FailedTraining(
        plan=run.plan.digest(),
        status=status.kind,
        reason=f"could not score: {status.reason}",
        curve=network.curve,
    )
    keep_failure(run.checkpoints, network.model, network.arm, failed)
    return replace(network, path=None, chosen=0, standing=failed.standing)


def score_by_regressions(exchange: Exchange, fitted: Sequence[FittedRegression]) -> None:
    """Send each logistic model to the sites, in one round or two.

    A model that could not be fitted is sent without coefficients: it scores nobody, and its cells say why.
    """
    for regression in fitted:
        score_by_regression(exchange, regression)


def score_by_regression(exchange: Exchange, regression: FittedRegression) -> None:
    """Send one logistic model to the sites, as `score_by_regressions` does."""
    fitted_model = regression.fitted
    parameters: Parameters = {}
    names: tuple[tuple[str, ...], ...] = ()
    is_missing = fitted_model is not None and not fitted_model.standing.ok
    if fitted_model is not None and fitted_model.intercept is not None:
        parameters = write_coefficients(coefficients_of(fitted_model, design_of(exchange.plan)))
        names = (covariates_of(fitted_model),)
    if is_missing:
        score_nobody(exchange, regression.model, regression.arm)
        return
    sites = regression.arm.sites if fitted_model is None else exchange.plan.site_names
    sent = SentModel(regression.model, regression.arm, parameters=parameters, regressions=names)
    send_model(exchange, Operation.SCORE, sent, sites)
