"""Several logistic models as one stack of padded designs, so that a round computes them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.types import Counts, Flags, Reals

WIDEST_THIRD = 16
"""Coefficients up to which Firth's penalty takes one round: the third moments that it sums disclose more."""
_BLOCK = 2**18
"""Numbers of a stacked design worked on at a time: memory stays bounded, and mostly in the cache."""


@dataclass(frozen=True)
class Problem:
    """Several models on the columns of one design matrix, padded to one width.

    Attributes
    ----------
    columns : int array, shape (models, d - 1)
        Columns of the design matrix; -1 beyond a model's own.
    free : bool array, shape (models, d)
        Which coefficients are estimated, the intercept first; the others stay as they begin.
    centre, scale : float arrays, shape (columns of the design matrix,)
        For standardisation.
    firth : bool
        Whether the likelihood is penalised.
    """

    columns: Counts
    free: Flags
    centre: Reals
    scale: Reals
    firth: bool

    @property
    def third(self) -> bool:
        """Whether a step of Firth's takes one round, with third moments."""
        return self.firth and not self.two_rounds

    @property
    def two_rounds(self) -> bool:
        """Whether a step of Firth's takes a second round, with the pooled information's inverse."""
        return self.firth and self.free.shape[1] > WIDEST_THIRD

    @property
    def present(self) -> Flags:
        """Which of the d coefficients a model has at all, shape (models, d)."""
        return np.concatenate([np.ones((len(self.columns), 1), dtype=np.bool_), self.columns >= 0], axis=1)


def designs(matrix: Reals, labels: Flags, problem: Problem, models: Counts) -> Iterator[tuple[Reals, Reals]]:
    """Several models' standardised covariates at once, block of patients by block.

    Yields
    ------
    x : float array, shape (models, d, patients of the block)
        An intercept first; all 0 for a patient without all of the model's covariates, 0 where a model has no
        coefficient.
    sign : float array, shape (patients of the block,)
        1 for a positive, -1 for a negative.
    """
    columns = problem.columns[models]
    width = problem.free.shape[1]
    used = problem.centre.size
    step = max(1, _BLOCK // (max(1, models.size) * width ** (3 if problem.third else 1)))
    for begin in range(0, len(matrix), step):
        block = matrix[begin : begin + step, :used]
        # One more row of zeros: the column -1 of a model that has fewer.
        z = np.zeros((used + 1, len(block)))
        z[:-1] = ((block - problem.centre) / problem.scale).T
        x = np.ones((models.size, width, len(block)))
        x[:, 1:] = z[columns]
        missing = np.isnan(z)
        if missing.any():
            x.transpose(0, 2, 1)[missing[columns].any(axis=1)] = 0
        yield x, np.where(labels[begin : begin + step], 1.0, -1.0)
