"""Which features readers agree on: intraclass correlation within and between them, pooled or site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.cohort.readings import Reading
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


Readings: TypeAlias = Mapping[Reading, Summary]
"""The sums of `common.stats.icc.local_icc` in each repeated reading, of one site or more."""


@dataclass(frozen=True, eq=False)
class FeatureAgreement:
    """How far readers agree on each feature.

    Attributes
    ----------
    estimates : mapping of Reading to tuple of Estimate
        One a feature in each repeated reading.
    criterion : Criterion
    """

    estimates: Mapping[Reading, tuple[Estimate, ...]]
    criterion: Criterion

    @property
    def retained(self) -> Flags:
        """Features that meet the criterion in every reading, shape (features,)."""
        met = [
            all(self.criterion.met(one) for one in found)
            for found in zip(*self.estimates.values(), strict=True)
        ]
        return np.array(met, dtype=np.bool_)


def agreement(readings: Readings, criterion: Criterion, minima: Minima = STANDARD) -> FeatureAgreement:
    """Each feature's correlations, from one site's sums or the total of sites where the same readers read.

    Raises
    ------
    ValueError
        If there is no reading: nothing says which features are reproducible.
    """
    if not readings:
        raise ValueError("no readings: nothing says which features are reproducible")
    found = {reading: finish_icc(sums, criterion.form, minima) for reading, sums in readings.items()}
    return FeatureAgreement(found, criterion)


def agreements(
    sites: Sequence[Readings], criterion: Criterion, minima: Minima = STANDARD, *, same_readers: bool
) -> tuple[FeatureAgreement, ...]:
    """One agreement of all sites together if the same readers read at all of them, else one of each site.

    Two-way forms are of these readers, so sums of other readers' readings cannot be added; and sites whose
    readers differ must each find a feature reproducible. A site's own result stands on its own patients
    alone, and so do the minima.
    """
    if not same_readers:
        return tuple(agreement(one, criterion, minima) for one in sites)
    pooled = {reading: total(one[reading] for one in sites) for reading in sites[0]}
    return (agreement(pooled, criterion, minima),)


def retained(found: Sequence[FeatureAgreement]) -> Flags:
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
