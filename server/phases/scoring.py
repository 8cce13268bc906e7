"""Phase: every trained model scores the patients of each site it may go to; the scores stay there."""

from __future__ import annotations

from collections.abc import Sequence

from common.cards.fitted import coefficients_of, covariates_of
from common.messages.headers import Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_coefficients
from common.plan.design import design_of
from server.exchange import Exchange
from server.phases.fitting import FittedRegression
from server.phases.training import TrainedModel


def score_by_networks(exchange: Exchange, trained: Sequence[TrainedModel]) -> None:
    """Send each network to the sites, one round for each; they score their patients and keep the scores."""
    for network in trained:
        weights = network.load_weights()
        exchange.ask(
            Operation.SCORE,
            network.arm.sites if weights is None else exchange.plan.site_names,
            weights,
            model=network.model.name,
            arm=network.arm.name,
            round=network.chosen,
        )


def score_by_regressions(exchange: Exchange, fitted: Sequence[FittedRegression]) -> None:
    """Send each logistic model to the sites, one round for each.

    A model that could not be fitted is sent without coefficients: it scores nobody, and its cells say why.
    """
    for regression in fitted:
        fitted_model = regression.fitted
        parameters: Parameters = {}
        names: tuple[tuple[str, ...], ...] = ()
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
        )
