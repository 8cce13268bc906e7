"""The BRAIN score: five facts known on admission give 0 to 24 points for the risk of growth.

References
----------
Wang X, Arima H, Al-Shahi Salman R, et al. Stroke 2015;46:376-381.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np

from common.types import Reals

BrainA: TypeAlias = Literal["warfarin", "anticoagulation"]
"""The table's column that gives A: warfarin at onset (Wang 2015), or any anticoagulation (Ning 2025)."""

MAXIMUM = 24
"""Points of a patient who has everything."""

_VOLUME_BOUNDS_ML = np.array([10.0, 20.0])
_VOLUME_POINTS = np.array([0.0, 5.0, 7.0])
_ONSET_BOUNDS_H = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
_ONSET_POINTS = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
_RECURRENT_POINTS, _ANTICOAGULATED_POINTS, _IVH_POINTS = 4.0, 6.0, 2.0

_FLAGS = frozenset({"recurrent_ich", "anticoagulated", "ivh"})


@dataclass(frozen=True, eq=False)
class BrainInputs:
    """The five facts that the score needs of every patient; NaN where unknown.

    Attributes
    ----------
    ich_volume_ml : float array, shape (n,)
        Baseline volume of the intracerebral hemorrhage (B).
    recurrent_ich : float array, shape (n,)
        1 after an earlier intracerebral hemorrhage, else 0 (R).
    anticoagulated : float array, shape (n,)
        1 if anticoagulated at onset, with warfarin or with anything as the study defines it, else 0 (A).
    ivh : float array, shape (n,)
        1 with intraventricular extension, else 0 (I).
    onset_to_ct_h : float array, shape (n,)
        Hours from onset to the baseline CT (N).

    Raises
    ------
    ValueError
        If shapes differ, a volume or time is negative or infinite, or a flag is neither 0 nor 1.
    """

    ich_volume_ml: Reals
    recurrent_ich: Reals
    anticoagulated: Reals
    ivh: Reals
    onset_to_ct_h: Reals

    def __post_init__(self) -> None:
        for field in fields(self):
            values: Reals = getattr(self, field.name)
            if values.ndim != 1 or values.shape != self.ich_volume_ml.shape:
                raise ValueError(
                    f"{field.name} has shape {values.shape}, ich_volume_ml {self.ich_volume_ml.shape}: "
                    "give one value a patient"
                )
            known = values[~np.isnan(values)]
            if field.name in _FLAGS and not np.isin(known, (0.0, 1.0)).all():
                raise ValueError(f"{field.name} holds values other than 0, 1 and NaN")
            if not (np.isfinite(known) & (known >= 0)).all():
                raise ValueError(f"{field.name} holds a negative or infinite value")


def list_brain_columns(brain_a: BrainA) -> tuple[str, ...]:
    """The five columns of the table that the score is computed from, in the order of its letters."""
    return ("ich_volume_ml", "recurrent_ich", brain_a, "ivh", "onset_to_ct_h")


def brain_score(inputs: BrainInputs) -> Reals:
    """Points of every patient, 0 to 24; NaN where one of the five facts is missing.

    An interval's upper bound belongs to it: 10 mL gives 0 points, 1 h gives 5.

    Returns
    -------
    float array, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> yes, no = np.array([1.0]), np.array([0.0])
    >>> brain_score(BrainInputs(np.array([20.0]), no, yes, no, np.array([2.5]))).tolist()
    [14.0]

    References
    ----------
    Wang X, Arima H, Al-Shahi Salman R, et al. Stroke 2015;46:376-381.
    """
    points = (
        _VOLUME_POINTS[np.searchsorted(_VOLUME_BOUNDS_ML, inputs.ich_volume_ml)]
        + _RECURRENT_POINTS * inputs.recurrent_ich
        + _ANTICOAGULATED_POINTS * inputs.anticoagulated
        + _IVH_POINTS * inputs.ivh
        + _ONSET_POINTS[np.searchsorted(_ONSET_BOUNDS_H, inputs.onset_to_ct_h)]
    )
    # searchsorted puts NaN last; the flags carry their own through the sum.
    unknown = np.isnan(inputs.ich_volume_ml) | np.isnan(inputs.onset_to_ct_h)
    return np.where(unknown, np.nan, points)
