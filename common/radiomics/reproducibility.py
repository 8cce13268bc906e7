"""Which features readers agree on: intraclass correlation within and between them, pooled or site by site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.stats.contract import Summary, total
from common.stats.estimate import Estimate
from common.stats.icc import IccForm, finish_icc
from common.stats.minima import STANDARD, Minima
from common.types import Flags


@dataclass(frozen=True)
class Criterion:
    """When a feature counts as reproducible: ICC above 0.80 within and between readers (Ning et al. 2025).

    Attributes
    ----------
    form : IccForm
        ICC(2,1) by default: readers stand for readers to come, so a constant difference between two of them
        is disagreement; and a model is given one reading, not the mean of several (Koo and Li 2016). The
        paper does not name its form.
    threshold : float
        What the correlation must exceed.
    judged : {"value", "low"}
        The point estimate (the paper's), or the lower end of its 95 % confidence interval.

    References
    ----------
    Koo TK, Li MY. J Chiropr Med 2016;15:155-163.
    """

    form: IccForm = "ICC(2,1)"
    threshold: float = 0.80
    judged: Literal["value", "low"] = "value"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"the threshold must be from 0 to below 1, not {self.threshold}")

    def met(self, estimate: Estimate) -> bool:
        """Whether an estimate is above the threshold; one that is not there is not."""
        if estimate.value is None:
            return False
        if self.judged == "value":
            return estimate.value > self.threshold
        if estimate.interval is None:
            # Readings without any error have no interval; only if they are equal is nothing uncertain
            return estimate.value == 1
        return estimate.interval.low > self.threshold


@dataclass(frozen=True)
class Readings:
    """The sums of `common.stats.icc.local_icc` over repeated readings, of one site or of several.

    Attributes
    ----------
    intra, inter : Summary
        A reader's two sessions, and two readers; of the same features.
    """

    intra: Summary
    inter: Summary

    def __post_init__(self) -> None:
        features = self.intra.counts["n"].shape, self.inter.counts["n"].shape
        if features[0] != features[1]:
            raise ValueError(f"intra and inter are of {features[0]} and {features[1]} features")


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far readers agree on each feature.

    Attributes
    ----------
    intra, inter : tuple of Estimate
    criterion : Criterion
    """

    intra: tuple[Estimate, ...]
    inter: tuple[Estimate, ...]
    criterion: Criterion

    @property
    def retained(self) -> Flags:
        """Features that meet the criterion within and between readers, shape (features,)."""
        met = [
            self.criterion.met(within) and self.criterion.met(between)
            for within, between in zip(self.intra, self.inter, strict=True)
        ]
        return np.array(met, dtype=np.bool_)


def agreement(readings: Readings, criterion: Criterion, minima: Minima = STANDARD) -> Agreement:
    """Each feature's correlations, from one site's sums or the total of sites where the same readers read."""
    return Agreement(
        finish_icc(readings.intra, criterion.form, minima),
        finish_icc(readings.inter, criterion.form, minima),
        criterion,
    )


def agreements(
    sites: Sequence[Readings], criterion: Criterion, minima: Minima = STANDARD, *, same_readers: bool
) -> tuple[Agreement, ...]:
    """One agreement of all sites together if the same readers read at all of them, else one of each site.

    Two-way forms are of these readers, so sums of other readers' readings cannot be added; and sites whose
    readers differ must each find a feature reproducible. A site's own result stands on its own patients
    alone, and so do the minima.
    """
    if same_readers:
        pooled = Readings(total(one.intra for one in sites), total(one.inter for one in sites))
        return (agreement(pooled, criterion, minima),)
    return tuple(agreement(one, criterion, minima) for one in sites)


def retained(found: Sequence[Agreement]) -> Flags:
    """The features that every agreement retains, shape (features,).

    Raises
    ------
    ValueError
        If there is none.
    """
    if not found:
        raise ValueError("no readings: nothing says which features are reproducible")
    everywhere: Flags = np.logical_and.reduce([one.retained for one in found])
    return everywhere
