"""Which features readers agree on, by intraclass correlation within and between readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import Estimate
from common.stats.icc import IccForm, finish_icc
from common.stats.minima import STANDARD, Minima
from common.types import Flags


@dataclass(frozen=True)
class StabilityCriterion:
    """When a feature counts as reproducible: ICC above 0.80 within and between readers (Ning et al. 2025).

    Attributes
    ----------
    form : IccForm
        Kind of intraclass correlation. ICC(2,1) by default: the readers represent future readers, so a
        constant difference between two readers is disagreement; and a model is given one reading, not the
        mean of several (Koo and Li 2016). The paper does not name its form.
    threshold : float
        The correlation must exceed this; from 0 to below 1.
    judged : {"value", "low"}
        What must exceed it: the point estimate (as in the paper), or the lower limit of its 95 % confidence
        interval.

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

    def is_met(self, estimate: Estimate) -> bool:
        """Whether an estimate is above the threshold; an absent estimate is not."""
        if estimate.value is None:
            return False
        if self.judged == "value":
            return estimate.value > self.threshold
        if estimate.low is None:
            # Readings without any error have no interval; they are certain only if all of them are equal
            return estimate.value == 1
        return estimate.low > self.threshold


Readings: TypeAlias = Mapping[str, Summary]
"""The sum of `common.stats.icc.local_icc` over one or more sites, for each entry of `radiomics.readings`."""


@dataclass(frozen=True, eq=False)
class FeatureAgreement:
    """How well readers agree on each feature.

    Attributes
    ----------
    estimates : mapping of str to tuple of Estimate
        One correlation per feature, for each entry of `radiomics.readings`.
    criterion : StabilityCriterion
        When a feature counts as reproducible.
    """

    estimates: Mapping[str, tuple[Estimate, ...]]
    criterion: StabilityCriterion

    @property
    def retained(self) -> Flags:
        """Which features meet the criterion in every reading, shape (features,)."""
        met = [
            all(self.criterion.is_met(estimate) for estimate in feature)
            for feature in zip(*self.estimates.values(), strict=True)
        ]
        return np.array(met, dtype=np.bool_)


def estimate_agreement(
    readings: Readings, criterion: StabilityCriterion, minima: Minima = STANDARD
) -> FeatureAgreement:
    """The agreement on each feature, from the sums of one site or of sites with the same readers.

    Raises
    ------
    ValueError
        If there is no repeated reading.
    """
    if not readings:
        raise ValueError("no readings: nothing says which features are reproducible")
    estimates = {reading: finish_icc(sums, criterion.form, minima) for reading, sums in readings.items()}
    return FeatureAgreement(estimates, criterion)


def retain_everywhere(agreements: Sequence[FeatureAgreement]) -> Flags:
    """The features that every agreement retains, shape (features,).

    Raises
    ------
    ValueError
        If there is no agreement.
    """
    if not agreements:
        raise ValueError("no readings: nothing says which features are reproducible")
    everywhere: Flags = np.logical_and.reduce([agreement.retained for agreement in agreements])
    return everywhere
