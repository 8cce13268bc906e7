"""Phase: every trained model scores every patient wherever it may go; the scores stay at the sites."""

from __future__ import annotations

from collections.abc import Sequence

from common.design import design_of
from common.fitted import coefficients_of
from common.headers import Operation
from common.protocol import Parameters
from common.questions import write_coefficients
from server.exchange import Exchange
from server.phases.fitting import FittedRegression
from server.phases.training import TrainedModel


def score_patients(
    exchange: Exchange, trained: Sequence[TrainedModel], fitted: Sequence[FittedRegression]
) -> None:
    """One message a model: it goes out, and the sites keep what it says of their patients."""
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
    for regression in fitted:
        _score(exchange, regression)


def _score(exchange: Exchange, regression: FittedRegression) -> None:
    """A model that could not be fitted scores nobody: its cells say why."""
    found = regression.fitted
    sites = regression.arm.sites if found is None else exchange.plan.site_names
    parameters: Parameters = {}
    if found is not None and found.intercept is not None:
        parameters = write_coefficients(coefficients_of(found, design_of(exchange.plan)))
    exchange.ask(
        Operation.SCORE,
        sites,
        None,
        parameters,
        model=regression.model.name,
        arm=regression.arm.name,
    )
