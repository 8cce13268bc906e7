"""Masks: key streams that are added to a vector modulo its ring, and cancel in the sum of all sites.

Everything happens in place and in chunks of 256 KiB with one zero and one output buffer, all of which stay in
the processor's cache: expanding a whole stream at once is several times slower and doubles the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from common.secagg.crypto import limbs
from common.secagg.crypto.rings import Ring, Words

Sign: TypeAlias = Literal[1, -1]
"""Whether a key stream is added or subtracted."""
Suite: TypeAlias = Literal["aes-256-ctr", "chacha20"]
"""The cipher of the masks; ChaCha20 is for processors without AES instructions."""

_Stream: TypeAlias = tuple[CipherContext, Sign]

_CHUNK_BYTES = 1 << 18
_ZEROS = bytes(_CHUNK_BYTES)


def add_words(into: Words, words: Words, ring: Ring, sign: Sign = 1) -> None:
    """Add `words` in place, or subtract them (-1), modulo the ring.

    Raises
    ------
    ValueError
        If the arrays differ in length or are not the ring's words.
    """
    ring.check(into)
    ring.check(words)
    if into.shape != words.shape:
        raise ValueError(f"{into.size} and {words.size} words cannot be added")
    for chunk in _slice_chunks(into):
        _combine(into[chunk], words[chunk], ring, sign)


def add_stream(words: Words, key: bytes, ring: Ring, *, sign: Sign, suite: Suite = "aes-256-ctr") -> None:
    """Add (+1) or subtract (-1) the key stream of one 32-byte key in place, modulo the ring.

    Raises
    ------
    ValueError
        If `words` are not the ring's, or the key is not 32 bytes.
    """
    add_streams(words, ((key, sign),), ring, suite)


def add_streams(
    words: Words,
    keys_and_signs: Iterable[tuple[bytes, Sign]],
    ring: Ring,
    suite: Suite = "aes-256-ctr",
    take: Callable[[memoryview], None] = lambda _: None,
) -> None:
    """Add or subtract several key streams in place, as `mask_chunks` does.

    Parameters
    ----------
    words : Words
        The vector's.
    keys_and_signs : iterable of (bytes, Sign)
        32 bytes, and whether their stream is added or subtracted.
    ring : Ring
        Of the vector.
    suite : Suite
        Cipher of the streams.
    take : callable
        Takes the bytes of each chunk once it is masked: in order, together all.

    Raises
    ------
    ValueError
        If `words` are not the ring's, or a key is not 32 bytes.
    """
    for chunk in mask_chunks(words, keys_and_signs, ring, suite):
        take(chunk)


def mask_chunks(
    words: Words, keys_and_signs: Iterable[tuple[bytes, Sign]], ring: Ring, suite: Suite = "aes-256-ctr"
) -> Iterator[memoryview]:
    """The bytes of each chunk, once several key streams are added to it in place: the vector is read once.

    Each stream starts at counter zero, so a key must serve only one vector. Words are little-endian.

    Parameters
    ----------
    words : Words
        The vector's; all of them are masked when the last chunk was taken.
    keys_and_signs : iterable of (bytes, Sign)
        32 bytes, and whether their stream is added or subtracted.
    ring : Ring
        Of the vector.
    suite : Suite
        Cipher of the streams.

    Raises
    ------
    ValueError
        If `words` are not the ring's, or a key is not 32 bytes.
    """
    ring.check(words)
    streams = [(start_keystream(key, suite), sign) for key, sign in keys_and_signs]
    buffer = memoryview(bytearray(min(words.nbytes, _CHUNK_BYTES)))
    for chunk in _slice_chunks(words):
        _mask(words[chunk], streams, ring, buffer)
        yield words[chunk].data.cast("B")


def _mask(chunk: Words, streams: Sequence[_Stream], ring: Ring, buffer: memoryview) -> None:
    zeros, output = memoryview(_ZEROS)[: chunk.nbytes], buffer[: chunk.nbytes]
    stream: Words = np.frombuffer(output, chunk.dtype)
    for cipher, sign in streams:
        cipher.update_into(zeros, output)
        _combine(chunk, stream, ring, sign)


def _slice_chunks(words: Words) -> Iterator[slice]:
    """Slices of 256 KiB: a multiple of 16 bytes, so no element of two limbs is cut."""
    step = _CHUNK_BYTES // words.itemsize
    return (slice(start, start + step) for start in range(0, words.size, step))


def _combine(into: Words, words: Words, ring: Ring, sign: Sign) -> None:
    if ring is Ring.REALS:
        combine = limbs.add_limbs if sign > 0 else limbs.subtract_limbs
        combine(into, words)
    elif sign > 0:
        np.add(into, words, out=into)
    else:
        np.subtract(into, words, out=into)


def start_keystream(key: bytes, suite: Suite = "aes-256-ctr") -> CipherContext:
    """A cipher at counter zero, which turns zeros into the key stream of a 32-byte key.

    Raises
    ------
    ValueError
        If the key is not 32 bytes.
    """
    if len(key) != 32:
        raise ValueError(f"a mask key of {len(key)} bytes, 32 are needed")
    if suite == "chacha20":
        return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
