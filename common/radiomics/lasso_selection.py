"""Which features go into a model: the LASSO on the sums of one site or of many.

References
----------
Tibshirani R. J R Stat Soc B 1996;58:267-288.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.lasso import LassoResult, LassoRule, Scaling, finish_lasso, gram_status, scaling_of
from common.stats.minima import Minima
from common.stats.prescreen import finish_prescreen
from common.types import Counts, Flags, Reals


class SelectionSums(Protocol):
    """The sums that a selection needs: of an exchange with many sites, or of one site's own patients."""

    def sum_moments(self) -> Summary:
        """The sum of `lasso.local_scaling` over the sites, without a shift."""
        ...

    def sum_products(self, scale: Scaling) -> Summary:
        """The sum of `prescreen.local_prescreen` over the sites."""
        ...

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        """The sum of `lasso.local_gram` over the sites, of the kept features."""
        ...


@dataclass(frozen=True)
class SelectionSettings:
    """How features are selected.

    Attributes
    ----------
    rule : {"lambda_min", "1se"}
        How the penalty is chosen: of least error, or the largest within one standard error of that.
    wide_gram_accepted : bool
        Whether the plan waives the rule that a fold has two patients per feature; if not, features are
        prescreened to as many as the rule allows.
    """

    rule: LassoRule = "lambda_min"
    wide_gram_accepted: bool = False


@dataclass(frozen=True)
class Selection:
    """The selected features, and from how many they were selected.

    Attributes
    ----------
    names : tuple of str
        Selected features, in the order of the candidates.
    coefficients : tuple of float
        The LASSO's, per standard deviation of the feature.
    mean, sd : tuple of float
        Of each selected feature, in the training patients.
    candidates, prescreened : int
        Numbers of features to begin with, and of those that went into the LASSO.
    lasso : LassoResult or None
        The LASSO's path and cross-validation; None if it was not computed.
    status : Status
        Whether features were selected, and if not, why.
    reproducible : int or None
        Number of candidates on which repeated readings agree; None where that was not asked for.
    """

    names: tuple[str, ...]
    coefficients: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    candidates: int
    prescreened: int
    lasso: LassoResult | None
    status: Status
    reproducible: int | None = None


def select_features(
    sums: SelectionSums,
    names: tuple[str, ...],
    settings: SelectionSettings,
    minima: Minima,
    retained: Flags | None = None,
) -> Selection:
    """The features that the LASSO selects, from moments, products with the outcome, and cross-products.

    Parameters
    ----------
    names : tuple of str
        The candidates, in the order of the sums' columns.
    retained : bool array, shape (candidates,), or None
        Candidates on which repeated readings agree; the others are ignored. None: all candidates.
    """
    if retained is None:
        return _select(sums, names, settings, minima, np.ones(len(names), dtype=np.bool_))
    agreed = int(np.count_nonzero(retained))
    if not agreed:
        return replace(
            _empty_selection(len(names), 0, suppressed("no feature is reproducible")), reproducible=0
        )
    return replace(_select(sums, names, settings, minima, retained), reproducible=agreed)


def _select(
    sums: SelectionSums,
    names: tuple[str, ...],
    settings: SelectionSettings,
    minima: Minima,
    retained: Flags,
) -> Selection:
    first = sums.sum_moments()
    if int(first.counts["n"][0]) < minima.model_class:
        return _empty_selection(len(names), 0, suppressed("too few patients with all features"))
    scale = scaling_of(first, np.zeros(len(names)))
    scale = replace(scale, kept=scale.kept & retained)
    screened = sums.sum_products(scale)
    classes = screened.counts["classes"]
    kept = np.flatnonzero(scale.kept)
    if not settings.wide_gram_accepted:
        screening = finish_prescreen(screened, scale, minima)
        if not screening.status.ok:
            return _empty_selection(len(names), 0, screening.status)
        kept = np.array(screening.kept, dtype=np.int64)
    accepted = settings.wide_gram_accepted
    status = gram_status(classes, kept.size, minima, wide_gram_accepted=accepted)
    if not status.ok or not kept.size:
        return _empty_selection(
            len(names), kept.size, status if not status.ok else suppressed("no feature varies")
        )
    lasso = finish_lasso(
        sums.sum_cross_products(scale, kept),
        settings.rule,
        minima,
        wide_gram_accepted=settings.wide_gram_accepted,
    )
    if not lasso.status.ok:
        return _empty_selection(len(names), kept.size, lasso.status)
    chosen = kept[list(lasso.selected)]
    return Selection(
        names=tuple(names[index] for index in chosen),
        coefficients=tuple(lasso.coefficients[index] for index in lasso.selected),
        mean=tuple(scale.mean[chosen].tolist()),
        sd=tuple(scale.sd[chosen].tolist()),
        candidates=len(names),
        prescreened=kept.size,
        lasso=lasso,
        status=OK,
    )


def fold_of(seed: int, site: str, patient: str, folds: int) -> int:
    """The patient's fold of the cross-validation, by a keyed hash of the site's name for the patient.

    Folds are not stratified: a stratified fold would depend on the other patients' outcomes.
    """
    digest = hashlib.blake2b(
        f"{site}/{patient}".encode(), key=str(seed).encode()[:64], digest_size=8
    ).digest()
    return int.from_bytes(digest, "big") % folds


def complete_features(features: Reals) -> Flags:
    """Which patients have every feature, shape (n,)."""
    return np.asarray(np.isfinite(features).all(axis=1))


def select_nothing(candidates: int, status: Status) -> Selection:
    """A selection of no feature, because it is not known which features are reproducible.

    Parameters
    ----------
    status : Status
        Why it is not known.
    """
    return _empty_selection(candidates, 0, Status(status.kind, f"repeated readings: {status.reason}"))


def _empty_selection(candidates: int, prescreened: int, status: Status) -> Selection:
    return Selection((), (), (), (), candidates, prescreened, None, status)
