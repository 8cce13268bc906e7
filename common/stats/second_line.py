"""Whether a question about a fitted model singles patients out: a second line behind the study's program.

A logistic model weighs a patient by p (1 - p). Coefficients that are steep enough leave weight to one patient
alone, and the sum over the patients is then this patient's row. Honest fits come there too: where a model
separates the outcomes, its steps grow until one patient a class carries all the weight, and coefficients of
several hundred standard deviations follow from the data. So neither a bound of the coefficients nor one of
the effective sample tells a reader of rows from an honest fit. What tells them apart is that steep
coefficients of an honest fit order the outcomes, and a reader's need not: a model that singles out must have
its patients with the outcome above those without it (or all below: a step that went too far turns a model
around), at every site with enough patients of both.

The bounds come from simulated fits (``python -m tests.reference.glm.honest_fits``). They do not stop a reader
whose coefficients separate the outcomes, nor one with many questions of gentle ones.

References
----------
Kish L. Survey Sampling. Wiley 1965, section 11.7 (effective sample size).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.newton import Query
from common.stats.stack import Problem, iterate_designs
from common.types import Flags, Reals

STEEP = 50.0
"""A standard deviation of the linear predictor above this singles out: half the patients have a weight below
10^-14. It is the standardised coefficient along the only direction that the weights depend on, so a single
covariate's coefficient reaches it first where no other offsets it."""
POINTED = 2.0
"""An effective sample below this singles out, where the linear predictor is not `GENTLE`."""
GENTLE = 10.0
"""Up to this standard deviation of the linear predictor, an effective sample of any size is ordinary: a few
patients near 1/2 among many near 0 or 1."""
DISORDER = 0.2
"""Largest disorder of a question that singles out: 1,000 simulated cohorts came to 0.165. Coefficients that
know nothing of the outcomes have about 1/2: at a site of 31 patients, 19 in 20 of them are above it."""
FEWEST = 8
"""Patients of each class that a site needs to judge an order by; fewer are not judged."""


@dataclass(frozen=True)
class Sharpness:
    """How steep one model's question is at a site, and whether it fits.

    Attributes
    ----------
    spread : float
        Standard deviation of the linear predictor over the patients in the question.
    effective : float
        Effective sample size, (sum w)^2 / sum w^2, of the weights w = p (1 - p).
    disorder : float
        Over all pairs of a patient with and one without the outcome: the summed differences of the linear
        predictor in the rarer direction, as a share of all. 0 is perfect order, 1/2 chance. 0 where a class
        has fewer than `FEWEST` patients.
    """

    spread: float
    effective: float
    disorder: float

    def singles_out(self, gentle: float = GENTLE) -> bool:
        """Whether the question rests on few of its patients; `gentle` is that of `find_beyond`."""
        return self.spread > STEEP or (self.spread > gentle and self.effective < POINTED)


def find_beyond(predictors: Reals, labels: Flags, members: Flags, gentle: float = GENTLE) -> Flags:
    """Which models' questions lie beyond the bounds, shape (models,).

    A question does that singles patients out whose outcomes it does not order, or is not finite.

    Parameters
    ----------
    predictors : float array, shape (models, n)
        Linear predictor of each patient in each model; anything where not a member.
    labels : bool array, shape (n,)
        True for the outcome.
    members : bool array, shape (models, n)
        Patients over whom each model's sums are taken.
    gentle : float
        Spread of the linear predictor up to which an effective sample of any size is ordinary. A calibration
        begins with the scores as they are: `STEEP`, as scores that are all but certain may be wrong.
    """
    return np.array(
        [
            is_beyond(row[chosen], labels[chosen], gentle)
            for row, chosen in zip(predictors, members, strict=True)
        ],
        dtype=np.bool_,
    )


def is_beyond(predictor: Reals, labels: Flags, gentle: float = GENTLE) -> bool:
    """Whether the question about one model lies beyond the bounds; parameters as in `find_beyond`."""
    if not np.isfinite(predictor).all():
        return True
    # Spread first: all else is needed of steep models only.
    if predictor.size < 2 * FEWEST or float(predictor.std()) <= gentle:
        return False
    sharpness = measure_sharpness(predictor, labels)
    return sharpness.singles_out(gentle) and sharpness.disorder > DISORDER


def measure_sharpness(predictor: Reals, labels: Flags) -> Sharpness:
    """The sharpness of one model's question.

    Parameters
    ----------
    predictor : float array, shape (patients,)
        Finite linear predictors of the patients in the question, at least one.
    labels : bool array, shape (patients,)
    """
    magnitude = np.abs(predictor)
    log_weight = -magnitude - 2 * np.log1p(np.exp(-magnitude))
    # Relative to the largest, so that weights below the smallest number still have their proportions.
    weight = np.exp(log_weight - log_weight.max())
    effective = float(weight.sum() ** 2 / np.sum(weight**2))
    return Sharpness(float(predictor.std()), effective, _measure_disorder(predictor, labels))


def _measure_disorder(predictor: Reals, labels: Flags) -> float:
    positive, negative = np.sort(predictor[labels]), predictor[~labels]
    if min(positive.size, negative.size) < FEWEST:
        return 0.0
    below = np.searchsorted(positive, negative)
    sums = np.concatenate([[0.0], np.cumsum(positive)])
    wrong = float(np.sum(below * negative - sums[below]))
    right = wrong + float(positive.sum() * negative.size - negative.sum() * positive.size)
    return min(wrong, right) / (wrong + right) if wrong + right > 0 else 0.0


def predict_asked(matrix: Reals, labels: Flags, problem: Problem, query: Query) -> tuple[Reals, Flags]:
    """The linear predictors of a query's active models, and who is in each; both of shape (models, n).

    The parameters are those of `newton.local_newton`.
    """
    asked = np.flatnonzero(query.active)
    predictors, members = [np.zeros((asked.size, 0))], [np.zeros((asked.size, 0), dtype=np.bool_)]
    for x, _ in iterate_designs(matrix, labels, problem, asked):
        predictors.append(np.matmul(query.coefficients[asked][:, np.newaxis], x)[:, 0])
        # The intercept's 1 is 0 where a covariate is missing.
        members.append(x[:, 0] > 0)
    return np.concatenate(predictors, axis=1), np.concatenate(members, axis=1)
