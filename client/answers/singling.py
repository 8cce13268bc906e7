"""The second line: what singles patients out is refused, whatever the study's program says of it."""

from __future__ import annotations

from common.errors import SmallNumberError
from common.stats.newton import Query
from common.stats.second_line import GENTLE, find_beyond, predict_asked
from common.stats.stack import Problem
from common.types import Flags, Reals


def refuse_singling_out(
    what: str, predictors: Reals, labels: Flags, members: Flags, gentle: float = GENTLE
) -> None:
    """Refuse a question of which a model rests on a few patients whose outcomes it does not order.

    Parameters
    ----------
    what : str
        What was asked for.
    predictors, labels, members, gentle
        As in `common.stats.second_line.find_beyond`.

    Raises
    ------
    SmallNumberError
        If a model of the question lies beyond the bounds.
    """
    beyond = int(find_beyond(predictors, labels, members, gentle).sum())
    if beyond:
        raise SmallNumberError(
            f"{what}: {beyond} of {len(predictors)} models were asked about at coefficients that single out "
            "patients of this site and do not fit them"
        )


def refuse_singling_newton(
    what: str, patients: tuple[Reals, Flags], asked: tuple[Problem, Query], gentle: float = GENTLE
) -> None:
    """The same for one round of Newton's method.

    Parameters
    ----------
    patients : (float array of shape (n, columns), bool array of shape (n,))
        The matrix and the outcomes that the round is about.
    asked : (Problem, Query)

    Raises
    ------
    SmallNumberError
        If a model of the round lies beyond the bounds.
    """
    matrix, labels = patients
    predictors, members = predict_asked(matrix, labels, *asked)
    refuse_singling_out(what, predictors, labels, members, gentle)
