"""Which features go into a model: the LASSO over whoever sums, one site or many.

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
from common.stats.lasso import LassoResult, LassoRule, Scaling, finish_lasso, gram_status, scaling
from common.stats.minima import Minima
from common.stats.prescreen import finish_prescreen
from common.types import Counts, Flags, Reals


class SelectionSums(Protocol):
    """Who answers: an exchange with many sites, or one site's own patients."""

    def scaling(self) -> Summary:
        """The sum of `lasso.local_scaling`, shifted by nothing."""
        ...

    def prescreen(self, scale: Scaling) -> Summary:
        """The sum of `prescreen.local_prescreen`."""
        ...

    def gram(self, scale: Scaling, kept: Counts) -> Summary:
        """The sum of `lasso.local_gram` of the kept features."""
        ...


@dataclass(frozen=True)
class SelectionSettings:
    """How features are selected.

    Attributes
    ----------
    rule : {"lambda_min", "1se"}
    wide_gram_accepted : bool
        The plan's waiver of the rule that a fold has two patients a feature; without it features are
        prescreened to as many as that allows.
    """

    rule: LassoRule = "lambda_min"
    wide_gram_accepted: bool = False


@dataclass(frozen=True)
class Selection:
    """What was selected, and from what.

    Attributes
    ----------
    names : tuple of str
        Selected features, in the order of the candidates.
    coefficients : tuple of float
        Of the LASSO, per standard deviation.
    mean, sd : tuple of float
        Of the selected features in the training patients.
    candidates, prescreened : int
        Features to begin with, and those that went into the LASSO.
    lasso : LassoResult or None
        Its path and cross-validation; None if it was not asked for.
    status : Status
    reproducible : int or None
        Candidates on which repeated readings agree; None where that was not asked for.
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
    """The LASSO's features: moments, products with the outcome, then cross-products by fold.

    Parameters
    ----------
    names : tuple of str
        The candidates, in the order of the sums' columns.
    retained : bool array, shape (candidates,), or None
        Those on which repeated readings agree: the others are not looked at. None: all.
    """
    if retained is None:
        return _selected(sums, names, settings, minima, np.ones(len(names), dtype=np.bool_))
    agreed = int(np.count_nonzero(retained))
    if not agreed:
        return replace(_nothing(len(names), 0, suppressed("no feature is reproducible")), reproducible=0)
    return replace(_selected(sums, names, settings, minima, retained), reproducible=agreed)


def _selected(
    sums: SelectionSums,
    names: tuple[str, ...],
    settings: SelectionSettings,
    minima: Minima,
    retained: Flags,
) -> Selection:
    first = sums.scaling()
    if int(first.counts["n"][0]) < minima.model_class:
        return _nothing(len(names), 0, suppressed("too few patients with all features"))
    scale = scaling(first, np.zeros(len(names)))
    scale = replace(scale, kept=scale.kept & retained)
    screened = sums.prescreen(scale)
    classes = screened.counts["classes"]
    kept = np.flatnonzero(scale.kept)
    if not settings.wide_gram_accepted:
        screening = finish_prescreen(screened, scale, minima)
        if not screening.status.ok:
            return _nothing(len(names), 0, screening.status)
        kept = np.array(screening.kept, dtype=np.int64)
    accepted = settings.wide_gram_accepted
    status = gram_status(classes, kept.size, minima, wide_gram_accepted=accepted)
    if not status.ok or not kept.size:
        return _nothing(len(names), kept.size, status if not status.ok else suppressed("no feature varies"))
    found = finish_lasso(
        sums.gram(scale, kept), settings.rule, minima, wide_gram_accepted=settings.wide_gram_accepted
    )
    if not found.status.ok:
        return _nothing(len(names), kept.size, found.status)
    chosen = kept[list(found.selected)]
    return Selection(
        names=tuple(names[index] for index in chosen),
        coefficients=tuple(found.coefficients[index] for index in found.selected),
        mean=tuple(scale.mean[chosen].tolist()),
        sd=tuple(scale.sd[chosen].tolist()),
        candidates=len(names),
        prescreened=kept.size,
        lasso=found,
        status=OK,
    )


def fold_of(seed: int, site: str, patient: str, folds: int) -> int:
    """The patient's fold of the cross-validation, by a keyed hash that only the site can compute.

    Not stratified: a stratified fold would depend on the others' outcomes.
    """
    digest = hashlib.blake2b(
        f"{site}/{patient}".encode(), key=str(seed).encode()[:64], digest_size=8
    ).digest()
    return int.from_bytes(digest, "big") % folds


def complete_features(features: Reals) -> Flags:
    """Which patients have every feature, shape (n,)."""
    return np.asarray(np.isfinite(features).all(axis=1))


def nothing_judged(candidates: int, status: Status) -> Selection:
    """No feature, because it is not known which are reproducible.

    Parameters
    ----------
    status : Status
        Why it is not.
    """
    return _nothing(candidates, 0, Status(status.kind, f"repeated readings: {status.reason}"))


def _nothing(candidates: int, prescreened: int, status: Status) -> Selection:
    return Selection((), (), (), (), candidates, prescreened, None, status)
