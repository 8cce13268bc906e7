"""How far covariates of a model repeat each other.

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
"""Of the covariates' correlation matrix; beyond it a model is refused."""
WARNING = 5.0


@dataclass(frozen=True)
class InflationFactor:
    """How much other covariates inflate a term's variance.

    Attributes
    ----------
    term : str
    value : float
        Generalised for a factor; 1 without collinearity.
    degrees_of_freedom : int
    """

    term: str
    value: float
    degrees_of_freedom: int

    @property
    def comparable(self) -> float:
        """On the scale of a single covariate's factor, whatever the degrees of freedom."""
        return float(self.value ** (1 / self.degrees_of_freedom))

    @property
    def worrying(self) -> bool:
        """Whether the report warns."""
        return self.comparable > WARNING


def condition_number(correlation: Reals) -> float:
    """Largest over smallest eigenvalue of a correlation matrix; infinite if it is singular."""
    values = np.linalg.eigvalsh(correlation)
    return float(values[-1] / values[0]) if values[0] > 0 else float("inf")


def inflation_factors(correlation: Reals, terms: Sequence[tuple[str, int]]) -> tuple[InflationFactor, ...]:
    """One factor a term.

    Parameters
    ----------
    correlation : float array, shape (columns, columns)
    terms : sequence of (name, number of columns)
        In the order of the columns.
    """
    if len(terms) == 1:
        return (InflationFactor(terms[0][0], 1.0, terms[0][1]),)
    whole = np.linalg.slogdet(correlation).logabsdet
    factors = []
    position = 0
    for name, size in terms:
        own = np.arange(position, position + size)
        others = np.setdiff1d(np.arange(len(correlation)), own)
        inner = np.linalg.slogdet(correlation[np.ix_(own, own)]).logabsdet
        outer = np.linalg.slogdet(correlation[np.ix_(others, others)]).logabsdet
        factors.append(InflationFactor(name, float(np.exp(inner + outer - whole)), size))
        position += size
    return tuple(factors)
