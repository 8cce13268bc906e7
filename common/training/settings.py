"""How a network is trained; defaults are the paper's (Ning et al. 2025, Methods)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.training.learning_rate import LearningRateSchedule


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of every site's optimiser and augmentation.

    Attributes
    ----------
    learning_rate : float
        The optimiser's step size.
    batch_size : int
        Patients per step (the paper: 128 in 2D, 16 in 3D).
    flip : bool
        Whether half of all samples are flipped left to right at random.
    crop_fraction : float
        Largest share of each side that a random crop removes before resizing back; 0 switches it off.
    translation_fraction : float
        Largest random shift as a share of each side; 0 switches it off.
    class_weighting : {"none", "balanced"}
        "balanced" weighs positives by negatives/positives of the site's training patients.
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 autocast on GPUs that have it, float32 elsewhere.
    weight_decay : float
        The optimiser's L2 penalty.
    batch_norm_statistics : {"running", "recomputed"}
        "running" ends with BatchNorm's moving averages, which lag about ten steps behind the weights;
        "recomputed" measures them for the current weights by one more pass over the patients, without
        augmentation, at the end and before every report (Wu and Johnson 2021). It is worth its time where a
        round has only a few steps.
    optimiser : {"adam", "sgd"}
        "adam" is the paper's, with a new memory in each round; "sgd" steps along the gradient alone, without
        momentum.
    schedule : LearningRateSchedule or None
        How the learning rate changes over the epochs; by default it stays as it is (the paper's).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    learning_rate: float = 0.01
    batch_size: int = 128
    flip: bool = True
    crop_fraction: float = 0.1
    translation_fraction: float = 0.1
    class_weighting: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    weight_decay: float = 0.0
    batch_norm_statistics: Literal["running", "recomputed"] = "running"
    # Plans without what follows keep their hash
    optimiser: Annotated[Literal["adam", "sgd"], Field(exclude_if=lambda given: given == "adam")] = "adam"
    schedule: Annotated[LearningRateSchedule | None, Field(exclude_if=lambda given: given is None)] = None

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        for name in ("crop_fraction", "translation_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, not {self.weight_decay}")
