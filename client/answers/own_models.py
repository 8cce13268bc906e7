"""Whether a model that came is the one that this site trained on its patients alone."""

from __future__ import annotations

import numpy as np

from client.answers.model_store import StoredModel
from common.cards.fitted import coefficients_of, covariates_of
from common.cards.fourier_machine import form_of, write_query
from common.errors import NotThePlanError
from common.messages.headers import Fitted, FittedSvm
from common.messages.protocol import Parameters, Request
from common.messages.questions import write_coefficients
from common.plan.design import Design


def insist_trained_here(request: Request, held: StoredModel | Fitted | FittedSvm, design: Design) -> None:
    """Refuse a model that is not, to the last bit, the one that is held here.

    Parameters
    ----------
    request : Request
        Brings the model.
    held : StoredModel, Fitted or FittedSvm
        The model of this site alone.
    design : Design
        Columns of the plan's regression models.

    Raises
    ------
    NotThePlanError
        If it is another.
    """
    if isinstance(held, StoredModel):
        is_same = request.weights is not None and np.array_equal(request.weights, held.weights)
    elif isinstance(held, Fitted):
        is_same = (
            held.intercept is not None
            and request.header.regressions == (covariates_of(held),)
            and _are_equal(request.parameters, write_coefficients(coefficients_of(held, design)))
        )
    else:
        is_same = held.gamma is not None and _are_equal(
            request.parameters, write_query(form_of(held, design))
        )
    if not is_same:
        header = request.header
        raise NotThePlanError(
            f"{header.operation} of {header.model}, {header.arm}: not the model trained here"
        )


def _are_equal(came: Parameters, held: Parameters) -> bool:
    return came.keys() == held.keys() and all(np.array_equal(came[name], held[name]) for name in came)
