"""Noise for differential privacy: whole numbers that a site adds to its encoded vector before it masks it.

References
----------
Canonne, Kamath & Steinke 2020, The discrete Gaussian for differential privacy (CKS): algorithms 1 to 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from common.secagg.codes import SecAggError
from common.secagg.crypto.encoding import norm
from common.secagg.crypto.masks import start_keystream
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Vector, Words
from common.types import Counts, Flags, FlatWeights, Reals

_GREATEST_VARIANCE = 2.0**60
_PREFIX_BITS = 53
_MARGIN = 2.0**-46
"""More than exp(-gamma) can err in float64, and so rarely undercut that exact arithmetic costs nothing."""
_CLIP_SAFETY = 1 - 2.0**-22
"""Twice what rounding the factor and the products to float32 can add to a norm."""
_BLOCK = 1 << 15


def clip_norm(values: FlatWeights | Reals, bound: float) -> float:
    """The Euclidean norm before clipping; the values are scaled in place to a norm of at most `bound`.

    Raises
    ------
    SecAggError
        E_NONFINITE if the norm is NaN or infinite.
    ValueError
        If the bound is not positive.
    """
    if not bound > 0:
        raise ValueError(f"a bound of {bound} on a norm")
    before = norm(values)
    if not math.isfinite(before):
        raise SecAggError("a model delta's norm is NaN or infinite", code="E_NONFINITE")
    if before > bound:
        values *= values.dtype.type(bound / before * _CLIP_SAFETY)
    return before


def add_noise(vector: Vector, words: Words, variance: float, key: bytes) -> None:
    """Add one site's discrete Gaussian noise to its encoded vector in place, except to the canary.

    Parameters
    ----------
    vector : Vector
        A vector of model deltas or counts.
    words : Words
        From `encode`, not yet masked.
    variance : float
        Variance of this site's noise in squared integer units, that is after scaling: the total over the
        honest members of the smallest set, divided by their number.
    key : bytes
        32 secret bytes for this vector of this round. The same key draws the same noise, so an interrupted
        site cannot release two noisy versions whose mean is less noisy.

    Raises
    ------
    ValueError
        If the vector has no integer unit, the variance is out of range, or the key is not 32 bytes.
    """
    if vector.ring is Ring.REALS:
        raise ValueError(f"vector {vector.name!r}: noise is for model deltas and counts")
    sampler = DiscreteGaussian(variance, key)
    body = words[:-CANARY_WORDS]
    for start in range(0, body.size, _BLOCK):
        block = body[start : start + _BLOCK]
        block += sampler.draw(block.size).astype(vector.dtype)


class DiscreteGaussian:
    """Whole numbers x with probability proportional to exp(-x^2 / (2 variance)), exactly.

    CKS algorithm 3 on arrays: a discrete Laplace number of scale t is kept with the probability that turns
    its distribution into the Gaussian. Any t does; a power of two from the standard deviation upwards makes
    its uniform part a few bits of a word. Every coin compares a uniform number with exp(-gamma), first in
    float64; where the first 53 bits leave it undecided, more bits and exact arithmetic decide.

    Parameters
    ----------
    variance : float
        Of the continuous Gaussian; if it is below one, the whole numbers' own variance is a little smaller.
    key : bytes
        32 bytes: the randomness is read from its key stream.

    Raises
    ------
    ValueError
        If the variance is not within (0, 2^60], or the key is not 32 bytes.
    """

    def __init__(self, variance: float, key: bytes) -> None:
        if not 0 < variance <= _GREATEST_VARIANCE:
            raise ValueError(f"a noise variance of {variance}")
        self._variance = variance
        self._scale = 1 << max(0, math.ceil(math.log2(variance) / 2))
        self._cipher = start_keystream(key)

    def draw(self, size: int) -> Counts:
        """The next `size` numbers."""
        drawn = np.empty(0, np.int64)
        while drawn.size < size:
            # About four in ten are kept
            drawn = np.concatenate([drawn, self._draw_candidates(64 + 3 * (size - drawn.size))])
        return drawn[:size]

    def _draw_candidates(self, size: int) -> Counts:
        words = self._draw_words(size)
        uniform = (words & np.uint64(self._scale - 1)).astype(np.int64)
        negative = words >> np.uint64(63) == 1
        magnitude = uniform + self._scale * self._draw_geometric(size)
        # CKS algorithms 2 and 3 toss one coin each; one coin with the sum of the exponents replaces both
        centred = magnitude - self._variance / self._scale
        gamma = uniform / self._scale + centred * centred / (2 * self._variance)
        kept = self._toss_coins(gamma, lambda at: self._exponent(int(uniform[at]), int(magnitude[at])))
        # Zero would be drawn with both signs
        kept &= ~(negative & (magnitude == 0))
        return np.where(negative, -magnitude, magnitude)[kept]

    def _exponent(self, uniform: int, magnitude: int) -> Fraction:
        variance = Fraction(self._variance)
        centred = magnitude - variance / self._scale
        return Fraction(uniform, self._scale) + centred * centred / (2 * variance)

    def _draw_geometric(self, size: int) -> Counts:
        """For each number, how many heads in a row a coin of probability 1/e shows."""
        heads = np.zeros(size, np.int64)
        running = np.arange(size)
        while running.size:
            running = running[self._toss_coins(np.ones(running.size), lambda _: Fraction(1))]
            heads[running] += 1
        return heads

    def _toss_coins(self, gamma: Reals, exact: Callable[[int], Fraction]) -> Flags:
        """One coin of probability exp(-gamma) for each gamma; `exact` gives the exact gamma at an index."""
        prefix = self._draw_words(gamma.size) >> np.uint64(64 - _PREFIX_BITS)
        above = prefix * 2.0**-_PREFIX_BITS - np.exp(-gamma)
        heads = above < 0
        for at in np.flatnonzero(np.abs(above) < _MARGIN):
            heads[at] = is_below(int(prefix[at]), exact(int(at)), lambda: int(self._draw_words(1)[0]))
        return heads

    def _draw_words(self, size: int) -> Words:
        return np.frombuffer(self._cipher.update(bytes(8 * size)), "<u8")


def is_below(prefix: int, gamma: Fraction, more: Callable[[], int]) -> bool:
    """Whether a uniform number, of which the first 53 bits are known, lies below exp(-gamma), exactly.

    Parameters
    ----------
    prefix : int
        The first 53 bits.
    gamma : Fraction
        Not negative.
    more : callable
        Returns the next 64 bits of the number.
    """
    bits, terms = _PREFIX_BITS, 32
    while True:
        low, high = _enclose_exponential(gamma, terms)
        if Fraction(prefix + 1, 1 << bits) <= low:
            return True
        if Fraction(prefix, 1 << bits) >= high:
            return False
        prefix, bits, terms = prefix << 64 | more(), bits + 64, 2 * terms


def _enclose_exponential(gamma: Fraction, terms: int) -> tuple[Fraction, Fraction]:
    """Two fractions with exp(-gamma) between them, from the series of exp(gamma)."""
    total, term = Fraction(0), Fraction(1)
    # From twice gamma on, the terms halve at least, so the rest is at most twice the next one
    for index in range(1, max(terms, 2 * math.ceil(gamma)) + 1):
        total += term
        term = term * gamma / index
    return 1 / (total + 2 * term), 1 / total
