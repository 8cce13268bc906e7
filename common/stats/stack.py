"""Several logistic models as one stack of padded designs, so that one round computes them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.types import Counts, Flags, Reals

WIDEST_THIRD = 3
"""Largest number of coefficients for which Firth's penalty takes one round, by sums of third moments.

Of three covariates, a third moment may be that of one patient alone, although every two of them are shared by
many: patients are counted by two levels only (`covariates.count_cells`). So wider models take two rounds.
"""
_BLOCK = 2**18
"""Numbers of a stacked design computed at a time, which bounds the memory and mostly fits the cache."""


@dataclass(frozen=True)
class Problem:
    """Several models on the columns of one design matrix, padded to one width.

    Attributes
    ----------
    columns : int array, shape (models, d - 1)
        Each model's columns of the design matrix, padded with -1.
    free : bool array, shape (models, d)
        Which coefficients are estimated, the intercept first; the others stay as they begin.
    centre, scale : float arrays, shape (columns of the design matrix,)
        Subtracted from each column, and divided by, to standardise it.
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
        """Whether a step of Firth's method takes one round, with third moments."""
        return self.firth and not self.two_rounds

    @property
    def two_rounds(self) -> bool:
        """Whether a step of Firth's method takes a second round, with the inverse of the information."""
        return self.firth and self.free.shape[1] > WIDEST_THIRD

    @property
    def present(self) -> Flags:
        """Which of the d coefficients a model has at all, shape (models, d)."""
        return np.concatenate([np.ones((len(self.columns), 1), dtype=np.bool_), self.columns >= 0], axis=1)


def iterate_designs(
    matrix: Reals, labels: Flags, problem: Problem, models: Counts
) -> Iterator[tuple[Reals, Reals]]:
    """The standardised covariates of several models at once, one block of patients after the other.

    Yields
    ------
    x : float array, shape (models, d, patients of the block)
        The intercept's 1 first; all 0 for a patient who lacks a covariate of the model, and 0 where a model
        has no coefficient.
    sign : float array, shape (patients of the block,)
        1 for a positive, -1 for a negative.
    """
    columns = problem.columns[models]
    width = problem.free.shape[1]
    used = problem.centre.size
    step = max(1, _BLOCK // (max(1, models.size) * width ** (3 if problem.third else 1)))
    for begin in range(0, len(matrix), step):
        block = matrix[begin : begin + step, :used]
        # One more row of zeros, which the padding -1 of narrower models selects.
        z = np.zeros((used + 1, len(block)))
        z[:-1] = ((block - problem.centre) / problem.scale).T
        x = np.ones((models.size, width, len(block)))
        x[:, 1:] = z[columns]
        missing = np.isnan(z)
        if missing.any():
            x.transpose(0, 2, 1)[missing[columns].any(axis=1)] = 0
        yield x, np.where(labels[begin : begin + step], 1.0, -1.0)
