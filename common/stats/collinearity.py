"""How far the covariates of a model repeat each other: condition number and variance inflation.

References
----------
Fox J, Monette G. Generalized collinearity diagnostics. J Am Stat Assoc 1992;87:178-183.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.types import Reals

CONDITION_LIMIT = 1e8
"""Largest condition number of the covariates' correlation matrix; beyond it a model is refused."""


@dataclass(frozen=True)
class InflationFactor:
    """How much the other covariates inflate the variance of a term's coefficients.

    Attributes
    ----------
    term : str
        Name of the term.
    value : float
        Variance inflation factor, generalised for a factor of several columns; 1 without collinearity.
    degrees_of_freedom : int
        Columns of the term.
    """

    term: str
    value: float
    degrees_of_freedom: int

    @property
    def comparable(self) -> float:
        """The value on the scale of a term of one column, whatever the degrees of freedom."""
        return float(self.value ** (1 / self.degrees_of_freedom))


def condition_number(correlation: Reals) -> float:
    """Largest over smallest eigenvalue of a correlation matrix; infinite if the matrix is singular."""
    values = np.linalg.eigvalsh(correlation)
    return float(values[-1] / values[0]) if values[0] > 0 else float("inf")


def inflation_factors(correlation: Reals, terms: Sequence[tuple[str, int]]) -> tuple[InflationFactor, ...]:
    """The variance inflation factor of each term.

    Parameters
    ----------
    correlation : float array, shape (columns, columns)
    terms : sequence of (name, number of columns)
        In the order of the columns.
    """
    if len(terms) == 1:
        return (InflationFactor(terms[0][0], 1.0, terms[0][1]),)
    all_columns = np.linalg.slogdet(correlation).logabsdet
    factors = []
    position = 0
    for name, size in terms:
        inside = np.arange(position, position + size)
        others = np.setdiff1d(np.arange(len(correlation)), inside)
        inner = np.linalg.slogdet(correlation[np.ix_(inside, inside)]).logabsdet
        outer = np.linalg.slogdet(correlation[np.ix_(others, others)]).logabsdet
        factors.append(InflationFactor(name, float(np.exp(inner + outer - all_columns)), size))
        position += size
    return tuple(factors)
