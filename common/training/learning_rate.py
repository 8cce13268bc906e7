"""How the learning rate changes over a training: by the epoch alone, so that every resumed one takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

RateShape: TypeAlias = Literal["constant", "cosine", "step", "exponential"]

_NEEDED: Mapping[RateShape, frozenset[str]] = {
    "constant": frozenset(),
    "cosine": frozenset(),
    "step": frozenset({"factor", "every_epochs"}),
    "exponential": frozenset({"factor"}),
}
_ALLOWED: Mapping[RateShape, frozenset[str]] = {**_NEEDED, "cosine": frozenset({"lowest"})}


@dataclass(frozen=True)
class LearningRateSchedule:
    """How the learning rate changes from epoch to epoch, over all rounds of a training.

    The epochs are counted through: epoch k of round r is the ((r - 1) x local_epochs + k)-th of the plan's
    rounds x local_epochs. A model of one place has as many, and the same rates. An epoch has one rate.

    Attributes
    ----------
    shape : {"constant", "cosine", "step", "exponential"}
        "cosine" falls along half a cosine, towards `lowest` at the end of the plan's last epoch; "step" is
        multiplied by `factor` after every `every_epochs` epochs; "exponential" by `factor` after each.
    warm_up_epochs : int
        Epochs before that in which the rate rises in equal steps to the learning rate.
    factor : float or None
        Of "step" and "exponential", which need it.
    every_epochs : int or None
        Of "step", which needs it.
    lowest : float or None
        Of "cosine": a share of the learning rate; by default 0.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR, equation 5, without restarts. Goyal et al. (2017), Accurate, large
    minibatch SGD, section 2.2 (gradual warm-up).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    shape: RateShape = "constant"
    warm_up_epochs: int = 0
    factor: float | None = None
    every_epochs: int | None = None
    lowest: float | None = None

    def __post_init__(self) -> None:
        given = {name for name in ("factor", "every_epochs", "lowest") if getattr(self, name) is not None}
        if lacking := _NEEDED[self.shape] - given:
            raise ValueError(f'a learning rate of shape "{self.shape}" needs {" and ".join(sorted(lacking))}')
        if strange := given - _ALLOWED[self.shape]:
            raise ValueError(
                f'a learning rate of shape "{self.shape}" has no {" or ".join(sorted(strange))} -> remove it'
            )
        if self.warm_up_epochs < 0:
            raise ValueError(f"warm_up_epochs must not be negative, not {self.warm_up_epochs}")
        if self.factor is not None and not 0 < self.factor <= 1:
            raise ValueError(f"factor must be above 0 and at most 1, not {self.factor}")
        if self.every_epochs is not None and self.every_epochs < 1:
            raise ValueError(f"every_epochs must be at least 1, not {self.every_epochs}")
        if self.lowest is not None and not 0 <= self.lowest < 1:
            raise ValueError(f"lowest must be in [0, 1), not {self.lowest}")

    def find_share(self, epoch: int, epochs: int) -> float:
        """The share of the learning rate that one epoch has.

        Parameters
        ----------
        epoch : int
            Its number in the whole training, from 1.
        epochs : int
            How many the plan has: rounds x local_epochs.

        Raises
        ------
        ValueError
            If it is none of the training's.
        """
        if not 1 <= epoch <= epochs:
            raise ValueError(f"epoch {epoch} is not one of 1 to {epochs}")
        before = epoch - 1
        if before < self.warm_up_epochs:
            return epoch / (self.warm_up_epochs + 1)
        return self._fall(before - self.warm_up_epochs, epochs - self.warm_up_epochs)

    def _fall(self, passed: int, epochs: int) -> float:
        """The share after so many of the epochs that follow the warm-up."""
        factor = 1.0 if self.factor is None else self.factor
        if self.shape == "cosine":
            lowest = self.lowest or 0.0
            return lowest + (1 - lowest) * (1 + math.cos(math.pi * passed / epochs)) / 2
        return math.pow(factor, passed // (self.every_epochs or 1))


def list_rates(
    schedule: LearningRateSchedule | None, learning_rate: float, epochs: range, of: int
) -> tuple[float, ...]:
    """The learning rate of each of these epochs; none where it never changes.

    Parameters
    ----------
    schedule : LearningRateSchedule or None
        None: it never changes.
    learning_rate : float
        The largest.
    epochs : range
        Numbers in the whole training, from 1.
    of : int
        How many epochs the whole training has.
    """
    if schedule is None:
        return ()
    return tuple(learning_rate * schedule.find_share(epoch, of) for epoch in epochs)
