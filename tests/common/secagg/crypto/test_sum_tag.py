"""A false sum is accepted with no tag that somebody without the key can make: each forgery of the design."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from common.secagg.crypto.masks import add_words, start_keystream
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Vector
from common.secagg.crypto.sum_tag import TAG_MODULUS, derive_pad, is_sum_proved, tag_words

KEY = bytes(range(32))
WIDTH = {Ring.UPDATES: 32, Ring.COUNTS: 64, Ring.REALS: 128}
RINGS = list(Ring)


def vector_of(ring: Ring, size: int) -> Vector:
    return Vector("v", (size,), ring, 1.0, 20) if ring is Ring.UPDATES else Vector("v", (size,), ring)


def words_of(ring: Ring, values: list[int]) -> np.ndarray:
    """The integers as the ring's words, with the canary."""
    size = WIDTH[ring] // 8
    data = b"".join((value % 2 ** WIDTH[ring]).to_bytes(size, "little") for value in values)
    vector = vector_of(ring, len(values))
    return np.concatenate([np.frombuffer(data, vector.dtype), np.zeros(CANARY_WORDS, vector.dtype)])


def some_values(ring: Ring, size: int, seed: int) -> list[int]:
    """Of a third of the ring's range, so that three of them do not overflow; the ends are among them."""
    random, bound = np.random.default_rng(seed), 2 ** (WIDTH[ring] - 1) // 3
    values = [int.from_bytes(random.bytes(16), "little") % (2 * bound) - bound for _ in range(size)]
    return [*values[:-2], bound, -bound][:size]


def open_tag(ring: Ring, sites: list[list[int]], key: bytes = KEY) -> int:
    """What the coordinator opens: the members' tags and one pad."""
    vector = vector_of(ring, len(sites[0]))
    return (sum(tag_words(vector, words_of(ring, one), key) for one in sites) + derive_pad(key)) % TAG_MODULUS


def is_accepted(ring: Ring, total: list[int], tag: int, key: bytes = KEY) -> bool:
    return is_sum_proved(vector_of(ring, len(total)), words_of(ring, total), key, tag % TAG_MODULUS)


def add_up(sites: list[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*sites, strict=True)]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("size", [1, 2047, 2048, 2049])
def test_the_sum_of_what_was_sent_is_accepted_and_no_neighbour_of_it(ring, size):
    sites = [some_values(ring, size, seed) for seed in range(3)]
    tag, total = open_tag(ring, sites), add_up(sites)

    assert is_accepted(ring, total, tag)
    for place in {0, size // 2, size - 1}:
        assert not is_accepted(ring, [*total[:place], total[place] + 1, *total[place + 1 :]], tag)


@pytest.mark.parametrize("ring", RINGS)
def test_a_tag_is_the_formula_in_whole_numbers(ring):
    size = 2050
    values = some_values(ring, size, 5)
    derived = HKDF(hashes.SHA256(), 32, None, b"SA1/tag-coefficients").derive(KEY)
    stream = start_keystream(derived).update(bytes(8 * 2050))
    numbers = [int.from_bytes(stream[at : at + 8], "little") for at in range(0, len(stream), 8)]
    inner, outer = numbers[:2048], numbers[2048:]
    expected = sum(value * inner[j % 2048] * outer[j // 2048] for j, value in enumerate(values))

    assert tag_words(vector_of(ring, size), words_of(ring, values), KEY) == expected % TAG_MODULUS


def test_elements_around_the_end_of_a_piece_have_coefficients_of_their_own():
    vector = vector_of(Ring.UPDATES, 64 * 2048 + 5)

    def tag_of(**entries: int) -> int:
        words = np.zeros(vector.words, vector.dtype)
        for place, value in entries.items():
            words[int(place[1:])] = value
        return tag_words(vector, words, KEY)

    last, first, end = tag_of(_131071=1), tag_of(_131072=1), tag_of(_131076=1)
    assert len({last, first, end, 0}) == 4
    assert tag_of(_131071=3, _131072=5, _131076=7) == (3 * last + 5 * first + 7 * end) % TAG_MODULUS


@pytest.mark.parametrize("ring", RINGS)
@given(st.data())
@settings(max_examples=20)
def test_a_tag_is_linear(ring, data):
    edge = 2 ** (WIDTH[ring] - 1)
    one, other = (data.draw(st.lists(st.integers(-edge, edge - 1), min_size=3, max_size=3)) for _ in "ab")
    sums = [left + right for left, right in zip(one, other, strict=True)]
    if any(not -edge <= value < edge for value in sums):
        return
    vector = vector_of(ring, 3)
    tags = [tag_words(vector, words_of(ring, values), KEY) for values in (one, other, sums)]

    assert (tags[0] + tags[1] - tags[2]) % TAG_MODULUS == 0
    # As the encoded words are added
    into = words_of(ring, one)
    add_words(into, words_of(ring, other), ring)
    assert tag_words(vector, into, KEY) == tags[2]


@pytest.mark.parametrize("ring", RINGS)
def test_forgery_of_the_sum_alone(ring):
    sites = [some_values(ring, 5, seed) for seed in range(2)]
    tag, total = open_tag(ring, sites), add_up(sites)

    for forged in ([0] * 5, [-value for value in total], total[1:] + total[:1], sites[0]):
        assert not is_accepted(ring, forged, tag)


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("factor", [0, 2, -1, 3])
def test_forgery_of_sum_and_tag_scaled_together(ring, factor):
    """Without the pad each would be accepted."""
    values = [value // 4 for value in some_values(ring, 4, 1)]
    tag, vector = open_tag(ring, [values]), vector_of(ring, 4)
    forged = [factor * value for value in values]
    without_pad = tag - derive_pad(KEY)

    assert (factor * without_pad - tag_words(vector, words_of(ring, forged), KEY)) % TAG_MODULUS == 0
    assert not is_accepted(ring, forged, factor * tag)


@pytest.mark.parametrize("ring", RINGS)
def test_forgery_by_a_tag_that_is_divided_by_a_sum_with_one_entry(ring):
    """Without the pad the quotient is the entry's coefficient, and every sum with one entry has a tag."""
    tag, total = open_tag(ring, [[1, 0, 0]]), [1, 0, 0]
    coefficient = (tag - derive_pad(KEY)) % TAG_MODULUS

    assert is_accepted(ring, total, tag)
    assert coefficient == tag_words(vector_of(ring, 3), words_of(ring, total), KEY)
    assert not is_accepted(ring, [2, 0, 0], 2 * tag)
    for guess in (tag, tag // total[0], tag % 2**64, tag % 2**128):
        assert not is_accepted(ring, [2, 0, 0], tag + guess)


@pytest.mark.parametrize("ring", RINGS)
def test_a_tag_under_one_key_is_none_under_another(ring):
    """Attempts, sets, rounds and vectors have keys of their own: see `wire/tag_keys.py`."""
    values = some_values(ring, 6, 3)
    other = bytes(32)

    assert not is_accepted(ring, values, open_tag(ring, [values], other))
    assert derive_pad(other) != derive_pad(KEY)


def test_a_difference_of_half_the_modulus_is_noticed():
    """A short modulus would lose the high bits of coefficient times difference."""
    for ring in RINGS:
        edge = 2 ** (WIDTH[ring] - 1)
        assert not is_accepted(ring, [-edge], open_tag(ring, [[0]]))
        assert not is_accepted(ring, [-edge], open_tag(ring, [[edge - 1]]))


def test_all_ones_overflow_nothing():
    """The largest products of the inner level: float64 holds their sums exactly."""
    size = 3 * 2048
    for value in (2**31 - 1, -(2**31)):
        words = words_of(Ring.UPDATES, [value] * size)
        single = tag_words(vector_of(Ring.UPDATES, size), words_of(Ring.UPDATES, [1] * size), KEY)
        assert tag_words(vector_of(Ring.UPDATES, size), words, KEY) == value * single % TAG_MODULUS


def test_words_of_another_vector_are_refused():
    with pytest.raises(ValueError, match="are not vector 'v'"):
        tag_words(vector_of(Ring.COUNTS, 3), words_of(Ring.COUNTS, [1, 2]), KEY)
    with pytest.raises(ValueError, match="are not vector 'v'"):
        is_sum_proved(vector_of(Ring.COUNTS, 4), words_of(Ring.UPDATES, [1, 2, 3, 4]), KEY, 0)
