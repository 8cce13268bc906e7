"""The Gaussian LASSO over sites in three rounds: means, moments about them, then cross-products by fold.

The outcome is 0 or 1. From the cross-products the coordinator computes all penalties and folds without a
further question; therefore it is the plan's default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.errors import NonFiniteError
from common.stats.contract import Summary
from common.stats.coordinate_descent import descend
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.icc import RatingLocation, local_location, location_of
from common.stats.minima import STANDARD, Minima
from common.stats.symmetric import pack_symmetric, unpack_symmetric
from common.types import Counts, Flags, Reals

LassoRule: TypeAlias = Literal["lambda_min", "1se"]
LassoFamily: TypeAlias = Literal["gaussian", "binomial"]
"""What the LASSO fits: the outcome as a number, 0 or 1, or its log odds."""

PENALTIES = 100
"""Penalties of the path, log-spaced from the smallest that selects nothing down to a thousandth of it."""
_RANGE = 1e-3
"""The smallest penalty as a share of the largest."""
_CONSTANT_SD = 1e-12
"""A feature is constant if its SD is not above this share of its mean, or of 1 if that is larger."""


@dataclass(frozen=True)
class Scaling:
    """Mean and SD of each feature over all sites; public after round 2.

    Attributes
    ----------
    mean, sd : float arrays, shape (features,)
        Pooled; SD with n degrees of freedom, 1 where constant.
    kept : bool array, shape (features,)
        Which features are not constant.
    """

    mean: Reals
    sd: Reals
    kept: Flags

    def standardise(self, features: Reals) -> Reals:
        """The features with mean 0 and SD 1 over all sites, shape (n, features); 0 where constant."""
        return np.asarray(np.where(self.kept, (features - self.mean) / self.sd, 0.0))


@dataclass(frozen=True)
class LassoResult:
    """The features that the LASSO selects at the penalty chosen by cross-validation.

    Attributes
    ----------
    coefficients : tuple of float
        Of all standardised features; 0 where not selected.
    intercept : float or None
        On the scale of the standardised features.
    selected : tuple of int
        Positions of the selected features, ascending.
    penalty : float or None
        The chosen lambda, of (1 / 2n) RSS + lambda |beta|; binomial, of -(1 / n) log-likelihood + lambda
        |beta|.
    penalties, losses, standard_errors : tuple of float
        Of the path, from the largest penalty down: the penalties; the mean over folds of the validation
        error (squared, or binomial deviance); its standard error.
    n_used, n_missing : int or None
        Patients with all features (None where hidden), and 0: sites refuse missing features.
    method : str
        Kind of LASSO, number of folds and rule.
    status : Status
        Whether the LASSO may be computed and can be.
    active : tuple of int
        Number of coefficients that are not 0 at each penalty; empty where the path was not kept.
    profiles : tuple of tuple of float
        Each selected feature's coefficient at each penalty. The other features' are not kept, because all
        of them together would nearly disclose the cross-products.
    """

    coefficients: tuple[float, ...]
    intercept: float | None
    selected: tuple[int, ...]
    penalty: float | None
    penalties: tuple[float, ...]
    losses: tuple[float, ...]
    standard_errors: tuple[float, ...]
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status
    active: tuple[int, ...] = ()
    profiles: tuple[tuple[float, ...], ...] = ()


def local_magnitude(features: Reals) -> Summary:
    """One site's answer in round 1: the sums from which `magnitude_of` takes public constants near the means.

    Parameters
    ----------
    features : float array, shape (n, features)

    Raises
    ------
    NonFiniteError
        If a value is missing or infinite.
    """
    if not np.isfinite(features).all():
        raise NonFiniteError("a feature is missing or infinite -> leave the patient or the feature out")
    return local_location(features.T[:, :, np.newaxis])


def magnitude_of(summary: Summary) -> RatingLocation:
    """The constants that all sites subtract and divide by, from the sum of `local_magnitude`; public.

    Features reach 10^9: about 0 the squares of those that vary by 1 would lose all digits.
    """
    return location_of(summary)


def local_scaling(features: Reals, magnitude: RatingLocation) -> Summary:
    """One site's answer in round 2: counts "n" (1,); reals "sums" (2, features), of values and squares.

    Parameters
    ----------
    features : float array, shape (n, features)
    magnitude : RatingLocation
        Of each feature: the values are shifted by its centre and divided by its scale first.

    Raises
    ------
    NonFiniteError
        If a value is missing or infinite.
    """
    if not np.isfinite(features).all():
        raise NonFiniteError("a feature is missing or infinite -> leave the patient or the feature out")
    x = (features - magnitude.centre) / magnitude.scale
    return Summary({"n": np.array([len(x)])}, {"sums": np.stack([x.sum(axis=0), (x**2).sum(axis=0)])})


def scaling_of(summary: Summary, magnitude: RatingLocation) -> Scaling:
    """The means and SDs with which all sites standardise, from the sum of `local_scaling`.

    Raises
    ------
    ValueError
        If there are no patients.
    """
    n = int(summary.counts["n"][0])
    if n == 0:
        raise ValueError("no patients to standardise")
    shift, square = summary.reals["sums"] / n
    mean = magnitude.centre + magnitude.scale * shift
    sd = magnitude.scale * np.sqrt(np.maximum(square - shift**2, 0.0))
    kept = np.asarray(sd > _CONSTANT_SD * np.maximum(1.0, np.abs(mean)))
    return Scaling(mean, np.where(kept, sd, 1.0), kept)


def local_gram(features: Reals, labels: Flags, folds: Counts, n_folds: int, scale: Scaling) -> Summary:
    """One site's answer in round 3: cross-products of [1, z, y] by fold; never stored, broadcast or released.

    Parameters
    ----------
    folds : int array, shape (n,)
        As `common.stats.folds.deal_folds` deals them, in 0 ... n_folds - 1.

    Returns
    -------
    Summary
        Counts "classes" (folds, 2), negatives first; reals "gram" (folds, (p + 2) (p + 3) / 2), the upper
        triangles.
    """
    z = scale.standardise(features)
    rows = np.column_stack([np.ones(len(z)), z, labels.astype(np.float64)])
    parts = [rows[folds == fold] for fold in range(n_folds)]
    classes = fold_classes(labels, folds, n_folds)
    return Summary(
        {"classes": classes}, {"gram": np.stack([pack_symmetric(part.T @ part) for part in parts])}
    )


def fold_classes(labels: Flags, folds: Counts, n_folds: int) -> Counts:
    """The number of patients of each fold by class, shape (folds, 2), negatives first."""
    return np.stack(
        [np.bincount(folds[labels == label], minlength=n_folds) for label in (False, True)], axis=1
    )


def finish_lasso(
    summary: Summary,
    rule: LassoRule = "lambda_min",
    minima: Minima = STANDARD,
    *,
    wide_gram_accepted: bool = False,
) -> LassoResult:
    """The features selected at the penalty of least validation error, or within one standard error of it.

    Parameters
    ----------
    wide_gram_accepted : bool
        The plan's waiver, see `gram_status`.

    References
    ----------
    Tibshirani R. J R Stat Soc B 1996;58:267-288. Friedman J et al. J Stat Softw 2010;33(1).
    """
    gram = unpack_symmetric(summary.reals["gram"])
    n_folds, n = len(gram), int(summary.counts["classes"].sum())
    method = name_method("Gaussian", n_folds, rule, wide_gram_accepted)
    classes = summary.counts["classes"]
    status = gram_status(classes, gram.shape[1] - 2, minima, wide_gram_accepted=wide_gram_accepted)
    if not status.ok:
        return LassoResult((), None, (), None, (), (), (), minima.show(n), 0, method, status)
    all_patients = _Centred.of(gram.sum(axis=0))
    largest = float(np.abs(all_patients.xy).max())
    penalties = penalty_path(largest)
    losses = np.empty((n_folds, PENALTIES))
    for fold in range(n_folds):
        training = _Centred.of(gram.sum(axis=0) - gram[fold])
        losses[fold] = [_fold_loss(gram[fold], training, beta) for beta in _descend_path(training, penalties)]
    mean = losses.mean(axis=0)
    error = losses.std(axis=0, ddof=1) / np.sqrt(n_folds)
    chosen = choose_penalty(mean, error, rule)
    path = np.array(_descend_path(all_patients, penalties))
    beta = path[chosen]
    selected = np.flatnonzero(beta)
    return LassoResult(
        coefficients=tuple(beta.tolist()),
        intercept=all_patients.intercept(beta),
        selected=tuple(selected.tolist()),
        penalty=float(penalties[chosen]),
        penalties=tuple(penalties.tolist()),
        losses=tuple(mean.tolist()),
        standard_errors=tuple(error.tolist()),
        n_used=n,
        n_missing=0,
        method=method,
        status=OK,
        active=tuple(np.count_nonzero(path, axis=1).tolist()),
        profiles=tuple(tuple(row) for row in path[:, selected].T.tolist()),
    )


def name_method(family: str, folds: int, rule: LassoRule, wide: bool) -> str:  # noqa: FBT001
    """The LASSO in words; `wide` says that the plan waives the limit on cross-products."""
    waiver = ", wide cross-products accepted by the plan" if wide else ""
    return f"{family} LASSO, {folds} folds, {rule}{waiver}"


def penalty_path(largest: float, penalties: int = PENALTIES) -> Reals:
    """The penalties of the path from the largest down, shape (penalties,)."""
    return np.asarray(largest * np.logspace(0, np.log10(_RANGE), penalties))


def choose_penalty(losses: Reals, errors: Reals, rule: LassoRule) -> int:
    """The position of the chosen penalty: of least loss, or the largest within one standard error of it."""
    least = int(np.argmin(losses))
    return least if rule == "lambda_min" else int(np.argmax(losses <= losses[least] + errors[least]))


def gram_status(
    classes: Counts, features: int, minima: Minima = STANDARD, *, wide_gram_accepted: bool = False
) -> Status:
    """Whether cross-products of so many features may be asked for; to be decided before round 3.

    If a fold has fewer than two patients per feature, its cross-products disclose them up to a rotation.

    Parameters
    ----------
    classes : int array, shape (folds, 2)
    wide_gram_accepted : bool
        The plan waives this one rule, after an independent privacy review; all others still apply.
    """
    sizes = classes.sum(axis=1)
    if len(classes) < 2 or (sizes.sum() - sizes).min() < 2 or sizes.min() == 0:
        return undefined("fewer than two folds with patients")
    if (classes.sum(axis=0) == 0).any():
        return suppressed("patients of one class only")
    if sizes.min() < minima.fold or classes.min() < minima.fold_class:
        return suppressed(f"a fold below {minima.fold} patients or {minima.fold_class} of a class")
    if minima.fold > 1 and not wide_gram_accepted and sizes.min() < 2 * features:
        return suppressed("a fold with fewer than two patients a feature: prescreen the features")
    return OK


@dataclass(frozen=True)
class _Centred:
    """Cross-products about the means, divided by n: xx (p, p), xy (p,), and the means of x (p,) and y."""

    xx: Reals
    xy: Reals
    x_mean: Reals
    y_mean: float

    @classmethod
    def of(cls, gram: Reals) -> _Centred:
        n = gram[0, 0]
        means = gram[0, 1:] / n
        centred = gram[1:, 1:] / n - np.outer(means, means)
        return cls(centred[:-1, :-1], centred[:-1, -1], means[:-1], float(means[-1]))

    def intercept(self, beta: Reals) -> float:
        return float(self.y_mean - self.x_mean @ beta)


def _descend_path(centred: _Centred, penalties: Reals) -> list[Reals]:
    """The coefficients at each penalty, each started from those at the penalty before."""
    beta = np.zeros(centred.xy.size)
    path = []
    for penalty in penalties:
        beta = descend(centred.xx, centred.xy, float(penalty), beta)
        path.append(beta)
    return path


def _fold_loss(gram: Reals, training: _Centred, beta: Reals) -> float:
    """The mean squared error in a held-out fold, a quadratic form of its cross-products."""
    weights = np.concatenate([[-training.intercept(beta)], -beta, [1.0]])
    used = np.flatnonzero(weights)
    return float(weights[used] @ gram[np.ix_(used, used)] @ weights[used] / gram[0, 0])
