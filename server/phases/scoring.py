"""Phase: every trained model scores the patients of each site it may go to; the scores stay there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.cards.fitted import coefficients_of, covariates_of
from common.messages.headers import Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_coefficients
from common.plan.design import design_of
from common.plan.matrix import Cohort, Scorer, is_available
from common.program.names import name_scoring
from common.program.scorings import BY_NOBODY, BY_TRAINERS
from common.stats.estimate import Status
from server.exchange import Exchange
from server.phases.fitting import FittedRegression
from server.phases.training import TrainedModel
from server.reasons import SiteFailureError
from server.run import StudyRun
from server.training.failure import FailedTraining, keep_failure


def score_by_networks(
    exchange: Exchange, run: StudyRun, trained: Sequence[TrainedModel]
) -> tuple[TrainedModel, ...]:
    """Send each network to the sites, one round for each; they score their patients and keep the scores.

    Returns
    -------
    tuple of TrainedModel
        The networks, those that could not score at a site with the reason. Such a network, like one that was
        not trained, scores nobody anywhere.
    """
    return tuple(_score_by_network(exchange, run, network) for network in trained)


def _score_by_network(exchange: Exchange, run: StudyRun, network: TrainedModel) -> TrainedModel:
    """The network once it has scored, or with the reason why it has not.

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
    scorer = Scorer(network.model, network.arm)
    exchange.ask(
        Operation.SCORE,
        [
            site
            for site in exchange.plan.site_names
            if is_available(exchange.plan, scorer, Cohort((site,), "whole"))
        ],
        model=network.model.name,
        arm=network.arm.name,
        stage="untrained",
        procedure=name_scoring(network.model, network.arm),
        step=BY_NOBODY,
    )
    return network


def _send_network(exchange: Exchange, network: TrainedModel) -> None:
    weights = network.load_weights()
    exchange.ask(
        Operation.SCORE,
        network.arm.sites if weights is None else exchange.plan.site_names,
        weights,
        model=network.model.name,
        arm=network.arm.name,
        round=network.chosen,
        procedure=name_scoring(network.model, network.arm),
        step=BY_TRAINERS,
    )


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
    """Send each logistic model to the sites, one round for each.

    A model that could not be fitted is sent without coefficients: it scores nobody, and its cells say why.
    """
    for regression in fitted:
        fitted_model = regression.fitted
        parameters: Parameters = {}
        names: tuple[tuple[str, ...], ...] = ()
        is_missing = fitted_model is not None and not fitted_model.standing.ok
        if fitted_model is not None and fitted_model.intercept is not None:
            parameters = write_coefficients(coefficients_of(fitted_model, design_of(exchange.plan)))
            names = (covariates_of(fitted_model),)
        exchange.ask(
            Operation.SCORE,
            regression.arm.sites if fitted_model is None else exchange.plan.site_names,
            None,
            parameters,
            model=regression.model.name,
            arm=regression.arm.name,
            regressions=names,
            stage="untrained" if is_missing else "",
            procedure=name_scoring(regression.model, regression.arm),
            step=BY_NOBODY if is_missing else BY_TRAINERS,
        )
