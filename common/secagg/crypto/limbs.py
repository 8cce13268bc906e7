"""Signed 128-bit fixed-point numbers with 64 fractional bits, as two uint64 limbs: low before high.

An array of n numbers has 2n words, two's complement.
"""

from __future__ import annotations

import numpy as np

from common.secagg.crypto.rings import Words
from common.types import Flags, Reals

POINT = 64
"""Number of fractional bits."""
_UNIT = 2.0**-POINT


def add_limbs(into: Words, words: Words) -> None:
    """Add in place modulo 2^128, with the carry from each low limb to its high one."""
    low, high = into[::2], into[1::2]
    low += words[::2]
    high += words[1::2]
    high += low < words[::2]


def subtract_limbs(into: Words, words: Words) -> None:
    """Subtract in place modulo 2^128, with the borrow from each high limb."""
    low, high = into[::2], into[1::2]
    high -= words[1::2]
    high -= low < words[::2]
    low -= words[::2]


def write_reals(values: Reals, into: Words) -> None:
    """Write n finite numbers of magnitude below 2^63, rounded to the nearest multiple of 2^-64.

    The magnitude is encoded and then negated: the floor of a small negative number is -1, an error of
    1.0 where the fraction's limb rounds to zero.
    """
    magnitude = np.abs(values)
    integral = np.floor(magnitude)
    low, high = into[::2], into[1::2]
    # Below 1 - 2^-53, so the scaled fraction stays below 2^64 also when rounded
    low[:] = np.rint((magnitude - integral) / _UNIT)
    high[:] = integral
    _negate(low, high, values < 0)


def read_reals(words: Words) -> Reals:
    """The n numbers, float64, within one unit in the last place; exact if 53 bits hold them."""
    low, high = words[::2].copy(), words[1::2].copy()
    negative = high >> np.uint64(63) == 1
    _negate(low, high, negative)
    values = high.astype(np.float64) + low.astype(np.float64) * _UNIT
    np.negative(values, out=values, where=negative)
    return values


def _negate(low: Words, high: Words, where: Flags) -> None:
    """Two's complement in place: all bits flipped, plus one, which carries only if the low limb was zero."""
    np.invert(high, out=high, where=where)
    np.negative(low, out=low, where=where)
    high += where & (low == 0)
