"""Encodes numbers as elements of a ring, so that masks hide them and sums stay exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.secagg.codes import SecAggError
from common.secagg.crypto.limbs import POINT, read_reals, write_reals
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Vector, Words, is_clip
from common.types import Counts, FlatWeights, Reals

SiteValues: TypeAlias = NDArray[np.number]
"""A site's numbers: integers for COUNTS, float32 or float64 otherwise."""

_INT32_MAX = 2**31 - 1
_INT128_MAX = 2**127 - 1
_LARGEST_COUNT = 2**53
_BLOCK = 1 << 15
"""Elements at a time, so that the float64 intermediate stays in the processor's cache."""
_BLOCKS_TOGETHER = 8
"""Of a model delta, in one piece of words: 1 MiB modulo 2^32."""
_EXACT_SCALE_BITS = 90
"""Up to this power of two a scaled integer of 32 bits is a normal number of float32."""


@dataclass(frozen=True)
class Encoded:
    """A site's vector in the ring.

    Attributes
    ----------
    words : Words, shape (vector.words,)
        uint32 for model deltas, otherwise uint64; the last `CANARY_WORDS` are zero.
    clipped : int
        Number of elements of a model delta that were clipped; 0 in other rings.
    """

    words: Words
    clipped: int


def scale_bits_for(sites: int, clip: float) -> int:
    """The largest b with ``sites * (clip * 2^b + 1) <= 2^31 - 1``: no sum of the rostered sites overflows.

    Raises
    ------
    ValueError
        If the bound is out of range, or there are no sites or too many for any b.

    Examples
    --------
    >>> scale_bits_for(50, 1.0)
    25
    """
    if not is_clip(clip) or not 0 < sites < _INT32_MAX:
        raise ValueError(f"no scale for {sites} sites and clip bound {clip}")
    ratio = (Fraction(_INT32_MAX, sites) - 1) / Fraction(clip)
    bits = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    return bits if Fraction(2) ** bits <= ratio else bits - 1


def check_overflow(vector: Vector, sites: int) -> None:
    """Refuse a scale, or a bound, at which the sum of the rostered sites' model deltas could overflow.

    For plan approval; `encode` checks it again.

    Raises
    ------
    SecAggError
        E_VECTOR if it could.
    """
    largest = max((segment.clip for segment in vector.segments), default=0.0)
    if not largest:
        return
    if vector.ring is Ring.REALS:
        overflows = sites * (Fraction(largest) * 2**POINT + 1) > _INT128_MAX
    else:
        overflows = vector.scale_bits > scale_bits_for(sites, largest)
    if overflows:
        raise SecAggError("a vector's scale or bound lets the sum of all sites overflow", code="E_VECTOR")


def encode(
    vector: Vector, values: SiteValues, *, sites: int, alpha: float = 1.0, clip_fraction: float = 0.0
) -> Encoded:
    """A site's numbers as words of the vector's ring, followed by the canary.

    Parameters
    ----------
    vector : Vector
    values : array of the vector's shape, or flat
        float32 or float64 for UPDATES and REALS, integers for COUNTS.
    sites : int
        Number of rostered sites, including those that do not take part.
    alpha : float
        The site's weight in (0, 1]; model deltas only.
    clip_fraction : float
        The share of elements that may be clipped; model deltas only.

    Raises
    ------
    SecAggError
        E_NONFINITE if a number is NaN or infinite; E_CLIP if more elements were clipped than allowed; E_NORM
        if a count or real is too large for a sum of `sites`; E_WEIGHT if alpha is outside (0, 1]; E_VECTOR
        if the scale or the bound lets the sum overflow.
    ValueError
        If the numbers have another shape, or there are no sites.
    TypeError
        If the numbers have another type.
    """
    if sites < 1:
        raise ValueError(f"{sites} sites")
    words = np.zeros(vector.words, vector.dtype)
    body = words[:-CANARY_WORDS]
    if vector.is_delta:
        encoder = DeltaEncoder(vector, values, sites, alpha, clip_fraction)
        encoder.fill(body)
        return Encoded(words, encoder.clipped)
    flat = _flatten(vector, values)
    if vector.ring is Ring.COUNTS:
        _write_counts(flat, body, sites)
    else:
        _write_reals(flat, body, sites)
    return Encoded(words, 0)


@dataclass
class DeltaEncoder:
    """A site's model delta as words, piece by piece: who writes it to a file needs no second vector.

    Attributes
    ----------
    vector : Vector
        Of a model delta.
    values : array of the vector's shape, or flat
        float32 or float64; it must not change while it is encoded.
    sites : int
        Number of rostered sites, including those that do not take part.
    alpha : float
        The site's weight in (0, 1].
    clip_fraction : float
        The share of elements that may be clipped.
    clipped : int
        How many were, so far.
    """

    vector: Vector
    values: SiteValues
    sites: int
    alpha: float = 1.0
    clip_fraction: float = 0.0
    clipped: int = 0

    def __post_init__(self) -> None:
        self.values = _flatten(self.vector, self.values)

    def cut_words(self) -> Iterator[Words]:
        """The words in order, the canary's at last, as `encode` gives them; each piece has memory of its own.

        Raises
        ------
        SecAggError
            As `encode`; E_CLIP after the last element.
        """
        limbs = self.vector.ring.limbs
        for pieces in self._list_pieces():
            words: Words = np.empty(limbs * (pieces[-1][0].stop - pieces[0][0].start), self.vector.dtype)
            self._fill(words, pieces)
            yield words
        self._check_clipped()
        yield np.zeros(CANARY_WORDS, self.vector.dtype)

    def fill(self, body: Words) -> None:
        """Write all words but the canary's; raises as `cut_words`."""
        limbs = self.vector.ring.limbs
        for pieces in self._list_pieces():
            self._fill(body[limbs * pieces[0][0].start : limbs * pieces[-1][0].stop], pieces)
        self._check_clipped()

    def _list_pieces(self) -> Iterator[list[tuple[slice, float]]]:
        """Blocks that are encoded together, each with its clip bound.

        Raises
        ------
        SecAggError
            E_WEIGHT if alpha is no share; E_VECTOR as `check_overflow`.
        """
        check_overflow(self.vector, self.sites)
        if not 0 < self.alpha <= 1:
            raise SecAggError("a site's weight must lie above 0 and at most at 1", code="E_WEIGHT")
        start, together = 0, []
        for segment in self.vector.segments:
            for block in _slice_blocks(start, start + segment.length):
                together.append((block, segment.clip))
                if len(together) == _BLOCKS_TOGETHER:
                    yield together
                    together = []
            start += segment.length
        if together:
            yield together

    def _fill(self, words: Words, pieces: Sequence[tuple[slice, float]]) -> None:
        first = pieces[0][0].start
        factor = math.ldexp(self.alpha, self.vector.scale_bits)
        scaled = np.empty(_BLOCK)
        for block, clip in pieces:
            product = scaled[: block.stop - block.start]
            self.clipped += _clip_block(self.values[block], product, (clip, factor))
            into = slice(block.start - first, block.stop - first)
            if self.vector.ring is Ring.REALS:
                write_reals(product, words[2 * into.start : 2 * into.stop])
            else:
                np.rint(product, out=product)
                np.copyto(words[into].view("<i4"), product, casting="unsafe")

    def _check_clipped(self) -> None:
        if self.clipped > self.clip_fraction * self.vector.size:
            raise SecAggError("more of a model delta had to be clipped than the plan allows", code="E_CLIP")


def decode(vector: Vector, words: Words) -> Counts | Reals:
    """The sum of all sites' numbers, in the vector's shape, once the masks have cancelled.

    int64 for COUNTS; float64 otherwise, so a model delta's sum is exact.

    Raises
    ------
    SecAggError
        As `check_canary`.
    """
    check_canary(vector, words)
    body = words[:-CANARY_WORDS]
    if vector.ring is Ring.COUNTS:
        return body.view("<i8").astype(np.int64).reshape(vector.shape)
    if vector.ring is Ring.REALS:
        return read_reals(body).reshape(vector.shape)
    sums: Reals = np.multiply(body.view("<i4"), math.ldexp(1.0, -vector.scale_bits), dtype=np.float64)
    return sums.reshape(vector.shape)


def round_block(vector: Vector, words: Words, block: slice) -> FlatWeights:
    """Elements of a model delta's sum, as `decode` gives them, rounded to float32; `block` says which."""
    if vector.ring is Ring.REALS:
        return read_reals(words[2 * block.start : 2 * block.stop]).astype(np.float32)
    integers = words[block].view("<i4")
    if abs(vector.scale_bits) > _EXACT_SCALE_BITS:
        scaled: Reals = np.multiply(integers, math.ldexp(1.0, -vector.scale_bits), dtype=np.float64)
        return scaled.astype(np.float32)
    # The product with a power of two is exact in either type, so the one rounding is that of the integer
    rounded: FlatWeights = integers.astype(np.float32)
    rounded *= np.float32(math.ldexp(1.0, -vector.scale_bits))
    return rounded


def check_canary(vector: Vector, words: Words) -> None:
    """Refuse a sum in which the masks have not cancelled.

    Raises
    ------
    SecAggError
        S_SHAPE if the words are not the vector's; S_CANARY if masks are left in them.
    """
    if words.dtype != vector.dtype or words.shape != (vector.words,):
        raise SecAggError("a vector's sum has another type or length than the plan says", code="S_SHAPE")
    if words[-CANARY_WORDS:].any():
        raise SecAggError("masks are left in a sum: keys or sets did not agree", code="S_CANARY")


def norm(values: FlatWeights | Reals) -> float:
    """The Euclidean norm, summed in float64 without a float64 copy of the whole."""
    flat = values.reshape(-1)
    blocks = (flat[block].astype(np.float64) for block in _slice_blocks(0, flat.size))
    return math.sqrt(sum(float(block @ block) for block in blocks))


def _flatten(vector: Vector, values: SiteValues) -> SiteValues:
    if values.shape not in {vector.shape, (vector.size,)}:
        raise ValueError(f"vector {vector.name!r} has shape {vector.shape}, not {values.shape}")
    allowed = "iu" if vector.ring is Ring.COUNTS else "f"
    if values.dtype.kind not in allowed or values.dtype.itemsize > 8:
        raise TypeError(f"vector {vector.name!r}, ring {vector.ring}, cannot hold {values.dtype}")
    return values.reshape(-1)


def _clip_block(values: SiteValues, product: Reals, clip_factor: tuple[float, float]) -> int:
    """Fill the product of values and factor, clipped, and return how many elements were clipped."""
    clip, factor = clip_factor
    largest = _find_largest(values)
    # float64: in float32 the product of a delta and its scale has lost the bits that the integer keeps
    with np.errstate(over="ignore"):
        np.multiply(values, factor, out=product, dtype=np.float64)
    clipped = 0
    if largest > clip:
        bound = clip * factor
        clipped = int(np.count_nonzero(np.abs(product) > bound))
        np.clip(product, -bound, bound, out=product)
    return clipped


def _write_counts(values: SiteValues, body: Words, sites: int) -> None:
    bound = min(_LARGEST_COUNT, (2**63 - 1) // sites)
    if max(int(values.max(initial=0)), -int(values.min(initial=0))) > bound:
        raise SecAggError("a count is too large for an exact sum", code="E_NORM")
    body.view("<i8")[:] = values


def _write_reals(values: SiteValues, body: Words, sites: int) -> None:
    if _find_largest(values) >= 2.0**63 / sites:
        raise SecAggError("a real is too large for the sum of all sites", code="E_NORM")
    for block in _slice_blocks(0, values.size):
        write_reals(values[block].astype(np.float64), body[2 * block.start : 2 * block.stop])


def _find_largest(values: SiteValues) -> float:
    """The greatest magnitude; refuses values that are not finite.

    Raises
    ------
    SecAggError
        E_NONFINITE if a value is NaN or infinite.
    """
    largest = max(float(values.max(initial=0)), -float(values.min(initial=0)))
    if not math.isfinite(largest):
        raise SecAggError("a value is NaN or infinite", code="E_NONFINITE")
    return largest


def _slice_blocks(start: int, stop: int) -> Iterator[slice]:
    return (slice(first, min(first + _BLOCK, stop)) for first in range(start, stop, _BLOCK))
