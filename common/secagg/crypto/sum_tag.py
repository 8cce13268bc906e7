"""Tags that prove to the members of a set that a sum is the sum of what they sent.

Members share a key that the coordinator does not know (`wire/sum_proof.py`). Member i computes a tag of its
encoded vector x_i; one of them adds a secret pad b; the masked tags are added like all else. Whoever knows
the key accepts a sum S with the opened tag only if

    tag = sum_j a_j S_j + b   modulo 2^320.

The coefficients are products of two levels, a_j = c_k d_B for element k of block B: 2048 coefficients c and
one d for each block, all uniform on 64 bits, from the key. So a vector is read once, and the inner level is
a product of matrices.

Theorem. Let the elements of x_i be integers of w <= 128 bits whose true sum S lies in [-2^(w-1), 2^(w-1)),
as the encoding guarantees. Somebody who sees S and its tag, and knows or chooses every x_i, but not the key,
finds another S' in that range with any tag that is accepted with probability at most 2^-63 (plus what
distinguishes AES and HKDF from random functions).

Proof. b is uniform in Z/2^320 and used once, so the tag is uniform and independent of c, d, S: it tells
nothing about c and d, however S was chosen. Let D = S' - S, not zero, |D_j| < 2^w. S' is accepted only if
sum_B d_B H_B = delta modulo 2^320, where H_B = sum_k c_k D_Bk and delta is the change of the tag. Choose a
block with D_B not zero, and k with D_Bk not zero. For any other c, at most one value of c_k makes H_B zero,
because integers have no zero divisors: probability at most 2^-64. Else H_B is not zero and |H_B| < 2^(w+75),
so it is 2^v times an odd number with v < w + 75 <= 203. For any other d, the equation fixes d_B modulo
2^(320-v), and 320 - v > 117 >= 64: at most one of the 2^64 values fits, probability at most 2^-64.

Why the pad. Without b the tag of 3 S is three times the tag, and a sum with a single entry s gives away a_j
as tag / s: both forgeries need no luck. Why once: two tags under one pad give a difference without a pad.

The arithmetic is exact on every machine: a product of a 32-bit digit and a 10-bit digit is below 2^42, and
2048 of them add up below 2^53 in float64, in any order.

References
----------
Carter & Wegman 1979, Universal classes of hash functions.
Wegman & Carter 1981, New hash functions and their use in authentication and set equality, section 3 (the
hash hidden by a pad that is used once).
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from common.secagg.crypto.keys import KEY_BYTES
from common.secagg.crypto.masks import start_keystream
from common.secagg.crypto.rings import CANARY_WORDS, Vector, Words
from common.types import Counts, Reals

TAG_BYTES = 40
"""Length of a tag."""
TAG_MODULUS = 1 << 8 * TAG_BYTES
"""Tags are added modulo 2^320."""

_BLOCK = 2048
"""Elements that share the coefficients of the inner level."""
_BLOCKS_AT_ONCE = 64
"""1 MiB of float64, which stays in the processor's cache."""
_DIGIT_BITS, _DIGITS = 10, 7
"""An inner coefficient's 64 bits, as digits whose sums of products float64 holds exactly."""
_MOST_ELEMENTS = 1 << 30
_HALF_BITS = 27
"""Where the inner level's sums, below 2^53, are cut, so that the outer level's fit into int64."""


def tag_words(vector: Vector, words: Words, key: bytes) -> int:
    """The tag of a vector's elements without its pad: a linear function of them, modulo 2^320.

    Parameters
    ----------
    vector : Vector
    words : Words
        Encoded, not masked, with the canary, which is left out. It is read once and not copied.
    key : bytes
        32 bytes that serve this vector in this round only.

    Raises
    ------
    ValueError
        If the words are not the vector's, or too many.
    """
    if words.dtype != vector.dtype or words.shape != (vector.words,):
        raise ValueError(f"{words.size} words of {words.dtype} are not vector {vector.name!r}")
    if vector.size > _MOST_ELEMENTS:
        raise ValueError(f"vector {vector.name!r}: {vector.size} elements are too many for a tag")
    # Digits of 32 bits, the lowest first; two's complement makes the last one signed
    digits = words[:-CANARY_WORDS].view("<u4").reshape(vector.size, -1)
    inner, outer = _make_coefficients(key, -(-vector.size // _BLOCK))
    tag = 0
    for place in range(digits.shape[1]):
        column = digits[:, place]
        if place == digits.shape[1] - 1:
            column = column.view("<i4")
        tag += _add_blocks(_hash_blocks(column, inner), outer) << 32 * place
    return tag % TAG_MODULUS


def derive_pad(key: bytes) -> int:
    """b, uniform modulo 2^320, which one member adds to the tag of the vector that the key serves."""
    pad = HKDF(hashes.SHA256(), TAG_BYTES, None, b"SA1/tag-pad").derive(key)
    return int.from_bytes(pad, "little")


def is_sum_proved(vector: Vector, words: Words, key: bytes, tag: int) -> bool:
    """Whether these words are the sum that belongs to the opened tag.

    Raises
    ------
    ValueError
        If the words are not the vector's.
    """
    return (tag_words(vector, words, key) + derive_pad(key)) % TAG_MODULUS == tag


def draw_tag_mask(key: bytes) -> int:
    """A mask of a tag, uniform modulo 2^320, from a key of 32 bytes that serves this tag only."""
    return int.from_bytes(start_keystream(key).update(bytes(TAG_BYTES)), "little")


def _make_coefficients(key: bytes, blocks: int) -> tuple[Reals, Counts]:
    """The inner level's digits, shape (2048, 7), and the outer level's of 16 bits, shape (4, blocks)."""
    derived = HKDF(hashes.SHA256(), KEY_BYTES, None, b"SA1/tag-coefficients").derive(key)
    stream = start_keystream(derived).update(bytes(8 * (_BLOCK + blocks)))
    inner = np.frombuffer(stream, "<u8", _BLOCK)
    shifts = np.arange(_DIGITS, dtype=np.uint64) * np.uint64(_DIGIT_BITS)
    digits = inner[:, None] >> shifts & np.uint64((1 << _DIGIT_BITS) - 1)
    outer = np.frombuffer(stream, "<u2", 4 * blocks, 8 * _BLOCK).reshape(blocks, 4)
    return digits.astype(np.float64), np.ascontiguousarray(outer.T, dtype=np.int64)


def _hash_blocks(column: NDArray[np.integer], inner: Reals) -> Counts:
    """Each block's sum of products with each digit of the inner coefficients, shape (blocks, 7); exact."""
    blocks = -(-column.size // _BLOCK)
    sums = np.empty((blocks, _DIGITS), dtype=np.int64)
    room = np.empty(min(blocks, _BLOCKS_AT_ONCE) * _BLOCK)
    for first in range(0, blocks, _BLOCKS_AT_ONCE):
        part = column[first * _BLOCK : (first + _BLOCKS_AT_ONCE) * _BLOCK]
        last = min(first + _BLOCKS_AT_ONCE, blocks)
        filled = room[: (last - first) * _BLOCK]
        filled[: part.size] = part
        filled[part.size :] = 0
        sums[first:last] = filled.reshape(-1, _BLOCK) @ inner
    return sums


def _add_blocks(sums: Counts, outer: Counts) -> int:
    """The sum over the blocks of their hash, times the block's own coefficient."""
    total = 0
    for part, shift in ((sums >> _HALF_BITS, _HALF_BITS), (sums & (1 << _HALF_BITS) - 1, 0)):
        products = outer @ part
        for row, values in enumerate(products.tolist()):
            for digit, value in enumerate(values):
                total += value << 16 * row + _DIGIT_BITS * digit + shift
    return total
