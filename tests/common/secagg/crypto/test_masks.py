from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from common.secagg.codes import SecAggError
from common.secagg.crypto.encoding import decode, encode, scale_bits_for
from common.secagg.crypto.masks import add_stream, add_streams, add_words
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Vector

SUITES = ["aes-256-ctr", "chacha20"]
MODULUS = {Ring.UPDATES: 2**32, Ring.COUNTS: 2**64, Ring.REALS: 2**128}
FIRST_BYTES = {
    # NIST AESAVS, appendix: AES-256 of the zero block under the zero key
    "aes-256-ctr": "dc95c078a2408989ad48a21492842087",
    # RFC 8439, appendix A.1, test vector 1
    "chacha20": "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
}


def integers(words: np.ndarray, ring: Ring) -> list[int]:
    """The ring's elements as Python's integers."""
    size = words.itemsize * ring.limbs
    return [int.from_bytes(words.tobytes()[at : at + size], "little") for at in range(0, words.nbytes, size)]


def counter_mode(key: bytes, length: int) -> bytes:
    """AES-256-CTR from single blocks: SP 800-38A, section 6.5."""
    blocks = b"".join(counter.to_bytes(16, "big") for counter in range(-(-length // 16)))
    return Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update(blocks)[:length]  # noqa: S305


def key(*of: int) -> bytes:
    return bytes(of) + bytes(32 - len(of))


def pair_masks(site: int, sites: list[int]) -> list[tuple[bytes, int]]:
    """The lower adds, the higher subtracts."""
    return [(key(*sorted((site, peer))), 1 if site < peer else -1) for peer in sites if peer != site]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("ring", Ring)
def test_a_stream_begins_as_published(ring, suite):
    words = np.zeros(8, ring.dtype)

    add_stream(words, bytes(32), ring, sign=1, suite=suite)

    assert words.tobytes().hex().startswith(FIRST_BYTES[suite][: 2 * words.nbytes])


@pytest.mark.parametrize("ring", Ring)
def test_a_long_stream_is_counter_mode_across_chunks(ring):
    words = np.zeros((1 << 20) // ring.dtype.itemsize * 2 + 6, ring.dtype)

    add_stream(words, key(7), ring, sign=1)

    assert words.tobytes() == counter_mode(key(7), words.nbytes)


@given(ring=st.sampled_from(Ring), data=st.binary(min_size=32, max_size=96), sign=st.sampled_from([1, -1]))
def test_adds_and_subtracts_modulo_the_ring(ring, data, sign):
    data = data[: len(data) // 16 * 16]
    before = np.frombuffer(data, ring.dtype)
    words = before.copy()
    stream = np.frombuffer(counter_mode(key(3), len(data)), ring.dtype)

    add_stream(words, key(3), ring, sign=sign)

    assert integers(words, ring) == [
        (old + sign * new) % MODULUS[ring]
        for old, new in zip(integers(before, ring), integers(stream, ring), strict=True)
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [(2**64 - 1, 1), (2**128 - 1, 1), (2**127, 2**127), (2**64 - 1, 2**64 - 1), (2**128 - 1, 2**128 - 1)],
)
def test_the_carry_passes_from_limb_to_limb(left, right):
    into, words = (np.frombuffer(number.to_bytes(16, "little"), "<u8").copy() for number in (left, right))

    add_words(into, words, Ring.REALS)

    assert integers(into, Ring.REALS) == [(left + right) % 2**128]


@given(
    ring=st.sampled_from(Ring),
    sites=st.lists(st.integers(0, 255), min_size=2, max_size=50, unique=True),
    suite=st.sampled_from(SUITES),
    shuffle=st.randoms(use_true_random=False),
)
def test_masks_of_all_pairs_cancel_for_any_set_in_any_order(ring, sites, suite, shuffle):
    total = np.arange(10, dtype=ring.dtype)
    arrivals = shuffle.sample(sites, len(sites))
    for site in arrivals:
        masked = np.zeros_like(total)
        streams = pair_masks(site, sites)
        shuffle.shuffle(streams)
        add_streams(masked, streams, ring, suite)
        assert masked.any()
        add_words(total, masked, ring)

    assert total.tolist() == list(range(10))


def masked_sum(ring: Ring, keys_of_two: tuple[bytes, bytes]) -> tuple[Vector, np.ndarray]:
    """Two sites that hold the same numbers and the given keys."""
    updates = ring is Ring.UPDATES
    vector = Vector("v", (3,), ring, 1.0 if updates else None, scale_bits_for(2, 1.0) if updates else 0)
    values = np.array([0, 1, -1], np.int64 if ring is Ring.COUNTS else np.float64)
    total = np.zeros(vector.words, vector.dtype)
    for mask_key, sign in zip(keys_of_two, (1, -1), strict=True):
        words = encode(vector, values, sites=2).words
        add_stream(words, mask_key, ring, sign=sign)
        add_words(total, words, ring)
    return vector, total


@pytest.mark.parametrize("ring", Ring)
def test_agreeing_keys_open_the_sum(ring):
    assert decode(*masked_sum(ring, (key(1), key(1)))).tolist() == [0, 2, -2]


@pytest.mark.parametrize("ring", Ring)
def test_one_wrong_key_is_seen_in_the_canary(ring):
    vector, total = masked_sum(ring, (key(1), key(2)))

    assert total[-CANARY_WORDS:].all()
    with pytest.raises(SecAggError) as refusal:
        decode(vector, total)
    assert refusal.value.code == "S_CANARY"


@pytest.mark.parametrize("suite", SUITES)
def test_several_streams_at_once_are_each_in_turn(suite):
    together = np.zeros((1 << 18) + 5, np.uint32)
    in_turn = together.copy()
    streams = [(key(1), 1), (key(2), -1), (key(3), 1)]

    add_streams(together, streams, Ring.UPDATES, suite)
    for mask_key, sign in streams:
        add_stream(in_turn, mask_key, Ring.UPDATES, sign=sign, suite=suite)

    assert np.array_equal(together, in_turn)


@pytest.mark.parametrize("length", [0, 31, 33])
@pytest.mark.parametrize("suite", SUITES)
def test_a_key_of_another_length_is_refused(length, suite):
    with pytest.raises(ValueError, match="32 are needed"):
        add_stream(np.zeros(4, np.uint32), bytes(length), Ring.UPDATES, sign=1, suite=suite)


@pytest.mark.parametrize(
    ("words", "ring"),
    [
        (np.zeros(4, np.uint64), Ring.UPDATES),
        (np.zeros(4, np.int32), Ring.UPDATES),
        (np.zeros(4, np.uint32), Ring.COUNTS),
        (np.zeros(5, np.uint64), Ring.REALS),
        (np.zeros((2, 2), np.uint64), Ring.COUNTS),
    ],
)
def test_words_of_another_ring_are_refused(words, ring):
    with pytest.raises(ValueError, match="no elements modulo"):
        add_stream(words, bytes(32), ring, sign=1)
    with pytest.raises(ValueError, match="no elements modulo"):
        add_words(words, words, ring)


def test_vectors_of_two_lengths_are_not_added():
    with pytest.raises(ValueError, match="4 and 5 words"):
        add_words(np.zeros(4, np.uint32), np.zeros(5, np.uint32), Ring.UPDATES)
