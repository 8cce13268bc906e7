"""Prescreening: fewer features for the LASSO, chosen by their correlation with the outcome, in one round.

It changes the estimator, which reports declare. It serves cohorts with fewer than two patients per feature in
a fold, whose cross-products must not be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.lasso import Scaling, fold_classes
from common.stats.minima import STANDARD, Minima
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class Prescreen:
    """The features that go on to the LASSO.

    Attributes
    ----------
    kept : tuple of int
        Positions of the kept features, ascending.
    limit : int or None
        The largest number of features: half the patients of the smallest fold.
    n_used : int or None
        Patients with all features; None where hidden.
    n_missing : int
        Always 0: a site refuses to answer if a feature is missing.
    method : str
        How features were chosen.
    status : Status
        Whether the prescreening may be done and can be.
    """

    kept: tuple[int, ...]
    limit: int | None
    n_used: int | None
    n_missing: int
    method: str
    status: Status


def local_prescreen(features: Reals, labels: Flags, folds: Counts, n_folds: int, scale: Scaling) -> Summary:
    """One site's products of every standardised feature with the outcome.

    Parameters
    ----------
    features : float array, shape (n, features)
    labels : bool array, shape (n,)
    folds : int array, shape (n,)
        0 ... n_folds - 1; all 0 without cross-validation.

    Returns
    -------
    Summary
        Counts "classes" (n_folds, 2), negatives first; reals "products" (features,).
    """
    products = scale.standardise(features)[labels].sum(axis=0)
    return Summary({"classes": fold_classes(labels, folds, n_folds)}, {"products": products})


def finish_prescreen(summary: Summary, scale: Scaling, minima: Minima = STANDARD) -> Prescreen:
    """The features with the largest absolute correlation, as many as the smallest fold allows.

    Constant features are never kept; among equal correlations the first feature is.

    References
    ----------
    Fan J, Lv J. J R Stat Soc B 2008;70:849-911.
    """
    classes = summary.counts["classes"]
    n, method = int(classes.sum()), "prescreened by absolute correlation with the outcome"
    if n == 0:
        return Prescreen((), None, 0, 0, method, undefined("no patients"))
    sizes = classes.sum(axis=1)
    if sizes.min() < minima.fold or classes.min() < minima.fold_class:
        few = suppressed(f"a fold below {minima.fold} patients or {minima.fold_class} of a class")
        return Prescreen((), None, minima.show(n), 0, method, few)
    # A standardised feature has mean 0 and SD 1, so products have the order of correlations.
    strength = np.where(scale.kept, np.abs(summary.reals["products"]), -1.0)
    limit = int(sizes.min()) // 2
    strongest = np.argsort(-strength, kind="stable")[:limit]
    kept = np.sort(strongest[scale.kept[strongest]])
    return Prescreen(tuple(kept.tolist()), limit, n, 0, method, OK)
