"""Which features go into a model: the LASSO on the sums of one site or of many.

References
----------
Tibshirani R. J R Stat Soc B 1996;58:267-288.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, assert_never

import numpy as np

from common.stats.contract import Summary
from common.stats.dialogue import Dialogue, answer_all
from common.stats.estimate import OK, Status, suppressed
from common.stats.folds import FoldChoice
from common.stats.icc import RatingLocation
from common.stats.lasso import (
    LassoFamily,
    LassoResult,
    LassoRule,
    Scaling,
    finish_lasso,
    gram_status,
    magnitude_of,
    scaling_of,
)
from common.stats.lasso_binomial import PathQuery, advance_path, finish_path, start_path
from common.stats.minima import Minima
from common.stats.prescreen import finish_prescreen
from common.stats.unusual_values import find_shown_columns
from common.types import Counts, Flags, Reals

FEWEST_FOLDS = 3
"""Fewer folds than this choose no penalty, as in glmnet."""


@dataclass(frozen=True)
class AskMagnitudes:
    """Asks for `lasso.local_magnitude`."""


@dataclass(frozen=True)
class AskMoments:
    """Asks for `lasso.local_scaling`, and how many patients differ from usual values.

    Attributes
    ----------
    magnitude : RatingLocation
        Of each candidate, from the answer to `AskMagnitudes`.
    """

    magnitude: RatingLocation


@dataclass(frozen=True)
class AskProducts:
    """Asks for `prescreen.local_prescreen`.

    Attributes
    ----------
    scale : Scaling
        Of each candidate, from the answer to `AskMoments`.
    """

    scale: Scaling


@dataclass(frozen=True)
class AskCrossProducts:
    """Asks for `lasso.local_gram` of the kept features.

    Attributes
    ----------
    scale : Scaling
        Of each candidate.
    kept : int array, shape (features,)
        Positions of the kept features among the candidates.
    """

    scale: Scaling
    kept: Counts


@dataclass(frozen=True)
class AskPath:
    """Asks for `lasso_binomial.local_path` of the kept features.

    Attributes
    ----------
    scale : Scaling
        Of each candidate.
    kept : int array, shape (features,)
        Positions of the kept features among the candidates.
    query : PathQuery
        Where each path is.
    """

    scale: Scaling
    kept: Counts
    query: PathQuery


SelectionQuestion: TypeAlias = AskMagnitudes | AskMoments | AskProducts | AskCrossProducts | AskPath
"""What a selection asks in one round."""


class SelectionSums(Protocol):
    """The sums that a selection needs: of an exchange with many sites, or of one site's own patients."""

    def sum_magnitudes(self) -> Summary:
        """The sum of `lasso.local_magnitude` over the sites."""
        ...

    def sum_moments(self, magnitude: RatingLocation) -> Summary:
        """The sum of `lasso.local_scaling` and `unusual_values.count_unusual` over the sites."""
        ...

    def sum_products(self, scale: Scaling) -> Summary:
        """The sum of `prescreen.local_prescreen` over the sites."""
        ...

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        """The sum of `lasso.local_gram` over the sites, of the kept features."""
        ...

    def sum_path(self, scale: Scaling, kept: Counts, query: PathQuery) -> Summary:
        """The sum of `lasso_binomial.local_path` over the sites, of the kept features."""
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
    family : {"gaussian", "binomial"}
        The kind of LASSO.
    """

    rule: LassoRule = "lambda_min"
    wide_gram_accepted: bool = False
    family: LassoFamily = "gaussian"


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
    family : {"gaussian", "binomial"}
        The kind of LASSO.
    rounds : int
        How often sums were asked for.
    folds : FoldChoice or None
        Of the cross-validation; None if it did not come to that.
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
    family: LassoFamily = "gaussian"
    rounds: int = 0
    folds: FoldChoice | None = None


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
    dialogue = iterate_selection(names, settings, minima, retained)
    return answer_all(dialogue, lambda question: _sum_for(sums, question))


def _sum_for(sums: SelectionSums, question: SelectionQuestion) -> Summary:
    match question:
        case AskMagnitudes():
            return sums.sum_magnitudes()
        case AskMoments(magnitude):
            return sums.sum_moments(magnitude)
        case AskProducts(scale):
            return sums.sum_products(scale)
        case AskCrossProducts(scale, kept):
            return sums.sum_cross_products(scale, kept)
        case AskPath(scale, kept, query):
            return sums.sum_path(scale, kept, query)
        case _:
            assert_never(question)


def iterate_selection(
    names: tuple[str, ...], settings: SelectionSettings, minima: Minima, retained: Flags | None = None
) -> Dialogue[SelectionQuestion, Selection]:
    """The features that the LASSO selects, as `select_features` gives them: yields what each round asks."""
    if retained is None:
        return (yield from _select(names, settings, minima, np.ones(len(names), dtype=np.bool_)))
    agreed = int(np.count_nonzero(retained))
    if not agreed:
        nothing = _empty_selection(len(names), suppressed("no feature is reproducible"))
        return replace(nothing, reproducible=0, family=settings.family)
    return replace((yield from _select(names, settings, minima, retained)), reproducible=agreed)


def _select(
    names: tuple[str, ...], settings: SelectionSettings, minima: Minima, retained: Flags
) -> Dialogue[SelectionQuestion, Selection]:
    nothing = _empty_selection(len(names), suppressed("too few patients with all features"))
    nothing = replace(nothing, family=settings.family, rounds=1)
    magnitudes = yield AskMagnitudes()
    if magnitudes.counts["n"].min() < minima.model_class:
        return nothing
    magnitude = magnitude_of(magnitudes)
    moments = yield AskMoments(magnitude)
    scale = scaling_of(moments, magnitude)
    scale = replace(scale, kept=scale.kept & retained & find_shown_columns(moments, minima))
    screened = yield AskProducts(scale)
    kept, status = _screen(screened, scale, settings, minima)
    if not status.ok:
        return replace(nothing, prescreened=kept.size, status=status, rounds=3)
    asked = (kept, screened.counts["classes"])
    lasso, rounds = yield from _fit_lasso(scale, asked, settings, minima)
    if not lasso.status.ok:
        return replace(nothing, prescreened=kept.size, status=lasso.status, rounds=3 + rounds)
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
        family=settings.family,
        rounds=3 + rounds,
    )


def _screen(
    screened: Summary, scale: Scaling, settings: SelectionSettings, minima: Minima
) -> tuple[Counts, Status]:
    """The features whose cross-products are asked for, and whether they may be."""
    kept = np.flatnonzero(scale.kept)
    if not settings.wide_gram_accepted:
        screening = finish_prescreen(screened, scale, minima)
        if not screening.status.ok:
            return kept[:0], screening.status
        kept = np.array(screening.kept, dtype=np.int64)
    accepted = settings.wide_gram_accepted
    status = gram_status(screened.counts["classes"], kept.size, minima, wide_gram_accepted=accepted)
    return kept, status if kept.size or not status.ok else suppressed("no feature varies")


def _fit_lasso(
    scale: Scaling, asked: tuple[Counts, Counts], settings: SelectionSettings, minima: Minima
) -> Dialogue[SelectionQuestion, tuple[LassoResult, int]]:
    """The LASSO on the kept features, and in how many rounds.

    Parameters
    ----------
    asked : tuple of int arrays
        Positions of the kept features; patients of each fold by outcome, shape (folds, 2).
    """
    (kept, classes), accepted = asked, settings.wide_gram_accepted
    if settings.family == "gaussian":
        products = yield AskCrossProducts(scale, kept)
        return finish_lasso(products, settings.rule, minima, wide_gram_accepted=accepted), 1
    state = start_path(classes, kept.size, minima, wide_gram_accepted=accepted)
    while state.query.running.any():
        answer = yield AskPath(scale, kept, state.query)
        state = advance_path(state, answer, minima, wide_gram_accepted=accepted)
    return finish_path(state, settings.rule, minima, wide_gram_accepted=accepted), state.rounds


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
    return _empty_selection(candidates, Status(status.kind, f"repeated readings: {status.reason}"))


def _empty_selection(candidates: int, status: Status) -> Selection:
    return Selection((), (), (), (), candidates, 0, None, status)
