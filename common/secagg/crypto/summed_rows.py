"""The sum of many rows of words at once: what all members sent, added without a step for each of them."""

from __future__ import annotations

import numpy as np

from common.secagg.crypto.rings import Ring, Words

_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)
_MOST_ROWS = 2**32


def sum_rows(rows: Words, ring: Ring) -> Words:
    """The sum of all rows modulo the ring.

    Parameters
    ----------
    rows : Words
        Shape (members, words).
    ring : Ring
        Modulo what is added.

    Raises
    ------
    ValueError
        If there are more rows than carries are counted for.
    """
    if len(rows) >= _MOST_ROWS:
        raise ValueError(f"{len(rows)} rows cannot be added at once")
    if ring is not Ring.REALS:
        added: Words = rows.sum(axis=0, dtype=rows.dtype)
        return added
    low = rows[:, ::2]
    # Halves of 32 bits leave room for the carries of so many rows
    first = (low & _LOW).sum(axis=0, dtype=np.uint64)
    second = (low >> _HALF).sum(axis=0, dtype=np.uint64) + (first >> _HALF)
    total: Words = np.empty(rows.shape[1], dtype=np.uint64)
    total[::2] = (second << _HALF) | (first & _LOW)
    total[1::2] = rows[:, 1::2].sum(axis=0, dtype=np.uint64) + (second >> _HALF)
    return total
