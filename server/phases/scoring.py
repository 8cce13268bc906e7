"""Phase: every trained model scores every patient wherever it may go; the scores stay at the sites."""

from __future__ import annotations

from collections.abc import Sequence

from common.design import design_of
from common.fitted import coefficients_of, covariates_of
from common.headers import Operation
from common.protocol import Parameters
from common.questions import write_coefficients
from server.exchange import Exchange
from server.phases.fitting import FittedRegression
from server.phases.training import TrainedModel


def score_by_networks(exchange: Exchange, trained: Sequence[TrainedModel]) -> None:
    """One message a network: it goes out, and the sites keep what it says of their patients."""
    for network in trained:
        weights = network.weights()
        exchange.ask(
            Operation.SCORE,
            network.arm.sites if weights is None else exchange.plan.site_names,
            weights,
            model=network.model.name,
            arm=network.arm.name,
            round=network.chosen,
        )


def score_by_regressions(exchange: Exchange, fitted: Sequence[FittedRegression]) -> None:
    """One message a logistic model; one that could not be fitted scores nobody, and its cells say so."""
    for regression in fitted:
        found = regression.fitted
        parameters: Parameters = {}
        names: tuple[tuple[str, ...], ...] = ()
        if found is not None and found.intercept is not None:
            parameters = write_coefficients(coefficients_of(found, design_of(exchange.plan)))
            names = (covariates_of(found),)
        exchange.ask(
            Operation.SCORE,
            regression.arm.sites if found is None else exchange.plan.site_names,
            None,
            parameters,
            model=regression.model.name,
            arm=regression.arm.name,
            regressions=names,
        )
