"""What a plan says about the arrays that are summed: their rings, shapes and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.unsignedinteger]
"""An encoded vector: uint32 or uint64, the last `CANARY_WORDS` of them zero before masking."""

CANARY_WORDS = 4
"""Zero words at a vector's end; if their sum is not zero, keys or sets did not agree."""

_LOWEST_CLIP, _GREATEST_CLIP = 2.0**-100, 2.0**100
"""No network's numbers lie beyond these, and the scale would leave float64's range."""
_MOST_SCALE_BITS = 131
"""31 bits beyond the exponents of the clip bounds."""


def is_clip(bound: float) -> bool:
    """Whether a model delta can be clipped to plus and minus this bound."""
    return _LOWEST_CLIP <= bound <= _GREATEST_CLIP


class Ring(StrEnum):
    """The modulus of the sums of a vector's elements."""

    UPDATES = "2^32"
    """Model deltas: clipped, scaled by a power of two and rounded to the nearest, ties to even."""
    COUNTS = "2^64"
    """Exact integers of magnitude at most 2^53."""
    REALS = "2^128"
    """Reals: two uint64 limbs an element, low before high, 64 fractional bits. With a clip bound they are
    model deltas that need the range, as those of BatchNorm's running statistics."""

    @property
    def dtype(self) -> np.dtype[np.uint32] | np.dtype[np.uint64]:
        """Type of the little-endian machine words."""
        return np.dtype("<u4") if self is Ring.UPDATES else np.dtype("<u8")

    @property
    def limbs(self) -> int:
        """Number of machine words an element has."""
        return 2 if self is Ring.REALS else 1

    def check(self, words: Words) -> None:
        """Refuse words that are not a flat array of complete elements.

        Raises
        ------
        ValueError
            If the array has another type, more than one axis, or half an element.
        """
        if words.dtype != self.dtype or words.ndim != 1 or words.size % self.limbs:
            raise ValueError(f"{words.dtype} words of shape {words.shape} are no elements modulo {self}")


@dataclass(frozen=True)
class Segment:
    """Consecutive elements of a vector that share a clip bound: weights, or buffers of BatchNorm.

    Attributes
    ----------
    length : int
        Number of elements.
    clip : float
        Bound of the elements' magnitude.
    """

    length: int
    clip: float


@dataclass(frozen=True)
class Vector:
    """What a plan says about one array that is summed.

    Attributes
    ----------
    name : str
        Its name in the plan.
    shape : tuple of int
        Length of each axis.
    ring : Ring
        The modulus of its sums.
    clip : float or tuple of Segment, optional
        Bound of the magnitude of a model delta's elements, for all or by segment; None for what is no model
        delta: counts, and the other reals.
    scale_bits : int
        A model delta of the ring UPDATES is multiplied by 2^scale_bits; 0 in other rings.

    Raises
    ------
    ValueError
        If an axis is negative, a bound or scale is out of range, segments do not cover the vector, or clip
        and ring do not go together.
    """

    name: str
    shape: tuple[int, ...]
    ring: Ring
    clip: float | tuple[Segment, ...] | None = None
    scale_bits: int = 0

    def __post_init__(self) -> None:
        if any(axis < 0 for axis in self.shape):
            raise ValueError(f"vector {self.name!r}: shape {self.shape} has a negative axis")
        if self.ring is not Ring.UPDATES and self.scale_bits:
            raise ValueError(f"vector {self.name!r}: only model deltas modulo 2^32 are scaled")
        if self.ring is Ring.COUNTS and self.clip is not None:
            raise ValueError(f"vector {self.name!r}: counts are not clipped")
        if not self.is_delta:
            return
        if abs(self.scale_bits) > _MOST_SCALE_BITS:
            raise ValueError(f"vector {self.name!r}: a scale of 2^{self.scale_bits} is out of range")
        if not all(is_clip(segment.clip) and segment.length > 0 for segment in self.segments):
            raise ValueError(f"vector {self.name!r}: a clip bound or length is not positive, or out of range")
        if sum(segment.length for segment in self.segments) != self.size:
            raise ValueError(f"vector {self.name!r}: its segments do not cover its {self.size} elements")

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def words(self) -> int:
        """Number of machine words, the canary's included."""
        return self.size * self.ring.limbs + CANARY_WORDS

    @property
    def dtype(self) -> np.dtype[np.uint32] | np.dtype[np.uint64]:
        """Type of the machine words."""
        return self.ring.dtype

    @property
    def is_delta(self) -> bool:
        """Whether it is a model delta: clipped, weighted, and bounded in its norm."""
        return self.ring is Ring.UPDATES or self.clip is not None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The clip bounds in the order of the elements; none of what is no model delta."""
        if isinstance(self.clip, tuple):
            return self.clip
        return () if self.clip is None else (Segment(self.size, self.clip),)
