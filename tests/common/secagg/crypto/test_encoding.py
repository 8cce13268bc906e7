from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.secagg.codes import SecAggError
from common.secagg.crypto.encoding import (
    DeltaEncoder,
    check_overflow,
    decode,
    encode,
    norm,
    round_block,
    scale_bits_for,
)
from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Segment, Vector

SITES = st.integers(1, 50)
CLIPS = st.floats(1e-6, 1e6)
LARGEST = 2**31 - 1


def delta(size: int, sites: int, clip: float = 1.0) -> Vector:
    return Vector("delta", (size,), Ring.UPDATES, clip, scale_bits_for(sites, clip))


def total(vector: Vector, parts: list[np.ndarray], **how: float) -> np.ndarray:
    """What the coordinator opens of one encoded vector a site."""
    words = np.zeros(vector.words, vector.dtype)
    for part in parts:
        add_words(words, encode(vector, part, sites=len(parts), **how).words, vector.ring)
    return decode(vector, words)


def refused(code: str):
    """The refusal of this code."""
    return pytest.raises(SecAggError, check=lambda failure: failure.code == code)


# The scale


@given(sites=SITES, clip=CLIPS)
@example(sites=50, clip=1.0)
@example(sites=1, clip=LARGEST - 1.0)
def test_the_scale_is_the_largest_power_of_two_that_cannot_overflow(sites, clip):
    bits = scale_bits_for(sites, clip)

    assert sites * (Fraction(clip) * Fraction(2) ** bits + 1) <= LARGEST
    assert sites * (Fraction(clip) * Fraction(2) ** (bits + 1) + 1) > LARGEST


def test_the_specification_has_one_example():
    assert scale_bits_for(50, 1.0) == 25


@pytest.mark.parametrize(("sites", "clip"), [(0, 1.0), (-1, 1.0), (LARGEST, 1.0), (2, 0.0), (2, -1.0)])
@pytest.mark.parametrize("infinite", [math.inf, math.nan, 1e200, 1e-200])
def test_there_is_no_scale_without_sites_or_bound(sites, clip, infinite):
    with pytest.raises(ValueError, match="no scale"):
        scale_bits_for(sites, clip)
    with pytest.raises(ValueError, match="no scale"):
        scale_bits_for(2, infinite)


def test_a_scale_for_fewer_sites_than_rostered_is_refused_at_approval_and_at_encoding():
    vector = delta(1, sites=2)

    check_overflow(vector, 2)
    with refused("E_VECTOR"):
        check_overflow(vector, 4)
    with refused("E_VECTOR"):
        encode(vector, np.zeros(1), sites=4)


def test_counts_and_reals_have_no_scale_to_check():
    check_overflow(Vector("n", (1,), Ring.COUNTS), 50)


# Model deltas


@given(sites=SITES, clip=CLIPS, sign=st.sampled_from([1, -1]))
def test_the_edge_times_all_sites_is_exact(sites, clip, sign):
    vector = delta(3, sites, clip)
    edge = np.full(3, sign * clip)

    opened = total(vector, [edge] * sites)

    unit = Fraction(2) ** -vector.scale_bits
    assert [Fraction(value) for value in opened] == [sites * round(Fraction(sign * clip) / unit) * unit] * 3


@given(
    values=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 50), st.integers(1, 5)), elements=st.floats(-1, 1, width=32)
    ),
    alpha=st.floats(0.01, 1),
)
def test_the_sum_errs_by_half_a_unit_a_site(values, alpha):
    vector = delta(values.shape[1], len(values))

    opened = total(vector, list(values), alpha=alpha)

    exact = alpha * values.astype(np.float64).sum(axis=0)
    assert np.abs(opened - exact).max() <= 0.5 * len(values) * 2.0**-vector.scale_bits + 1e-12


@pytest.mark.parametrize(
    ("value", "integer"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (0.51, 1), (-3.0, -3)]
)
def test_rounds_to_the_nearest_ties_to_even_in_twos_complement(value, integer):
    vector = Vector("delta", (1,), Ring.UPDATES, 4.0, 0)

    words = encode(vector, np.array([value]), sites=2).words

    assert words.tolist() == [integer % 2**32, 0, 0, 0, 0]


def test_float32_deltas_keep_the_bits_that_a_float32_product_would_lose():
    value = np.array([0.7], np.float32)
    vector = delta(1, sites=2)

    words = encode(vector, value, sites=2, alpha=1 / 3).words

    # Half a unit of rounding; the float64 product errs by far less
    assert abs(int(words[0]) - Fraction(float(value[0])) * Fraction(1 / 3) * 2**vector.scale_bits) <= 0.501


def test_clips_each_segment_at_its_own_bound():
    vector = Vector("delta", (2, 3), Ring.UPDATES, (Segment(4, 1.0), Segment(2, 8.0)), 20)
    values = np.array([[0.5, -2.0, 1.0], [3.0, 8.0, -9.0]])

    encoded = encode(vector, values, sites=2, clip_fraction=0.5)

    assert encoded.clipped == 3
    assert decode(vector, encoded.words).tolist() == [[0.5, -1, 1], [1, 8, -8]]


def test_clips_at_the_bound_itself_where_float32_rounds_it_up():
    vector = delta(1, sites=2, clip=0.1)
    above = np.array([np.float32(0.1)])

    assert float(above[0]) > 0.1
    assert encode(vector, above, sites=2, clip_fraction=1.0).clipped == 1


@pytest.mark.parametrize("huge", [1e30, -1e308])
def test_clips_what_overflows_when_scaled(huge):
    encoded = encode(delta(2, sites=2), np.array([huge, 0]), sites=2, clip_fraction=0.5)

    assert (encoded.clipped, decode(delta(2, sites=2), encoded.words).tolist()) == (
        1,
        [math.copysign(1, huge), 0],
    )


def test_more_clipping_than_the_plan_allows_is_an_error():
    values = np.array([2.0, 0, 0, 0])

    assert encode(delta(4, sites=2), values, sites=2, clip_fraction=0.25).clipped == 1
    with refused("E_CLIP"):
        encode(delta(4, sites=2), values, sites=2, clip_fraction=0.24)
    with refused("E_CLIP"):
        encode(delta(4, sites=2), values, sites=2)


@pytest.mark.parametrize("alpha", [0.0, -0.5, 1.0000001, math.nan, math.inf])
def test_a_weight_lies_above_zero_and_at_most_at_one(alpha):
    with refused("E_WEIGHT"):
        encode(delta(1, sites=2), np.zeros(1), sites=2, alpha=alpha)


@pytest.mark.parametrize("size", [1, (1 << 15) - 1, (1 << 15) + 1, 100_003])
def test_long_vectors_are_encoded_as_short_ones(size):
    values = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
    vector = delta(size, sites=2)

    opened = decode(vector, encode(vector, values, sites=2).words)

    assert np.array_equal(opened, np.rint(values * 2.0**vector.scale_bits) / 2.0**vector.scale_bits)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, (1 << 18) + 1, 600_003])
@pytest.mark.parametrize("ring", [Ring.UPDATES, Ring.REALS])
def test_pieces_are_the_whole_and_say_at_the_end_that_too_much_was_clipped(size, ring):
    values = np.random.default_rng(0).uniform(-3, 3, size).astype(np.float32)
    clips = tuple(Segment(part, 1 + part / 7) for part in (size // 3, size - size // 3) if part)
    bits = scale_bits_for(2, 1e6) if ring is Ring.UPDATES else 0
    vector = Vector("delta", (size,), ring, clips, bits)
    encoder = DeltaEncoder(vector, values, sites=2, alpha=0.7, clip_fraction=1.0)
    whole = encode(vector, values, sites=2, alpha=0.7, clip_fraction=1.0)

    pieces = list(encoder.cut_words())

    assert np.concatenate(pieces).tobytes() == whole.words.tobytes()
    assert encoder.clipped == whole.clipped
    assert max(piece.nbytes for piece in pieces) <= 1 << 22
    if whole.clipped:
        begun = DeltaEncoder(vector, values, sites=2).cut_words()
        with refused("E_CLIP"):
            list(begun)


@pytest.mark.parametrize("bits", [-131, -91, -90, -1, 0, 1, 29, 90, 91, 126, 131])
def test_a_rounded_block_has_the_bits_of_the_float64_sum_rounded_once(bits):
    edges = [0, 1, -1, 2**24, 2**24 + 1, -(2**24) - 1, 2**25 + 2, 2**25 + 6, 2**31 - 1, -(2**31), 2**31 - 65]
    integers = np.array(edges, dtype="<i4")
    integers = np.concatenate([integers, np.random.default_rng(0).integers(-(2**31), 2**31, 1000, "<i4")])
    vector = Vector("delta", (integers.size,), Ring.UPDATES, 1.0, bits)
    words = np.concatenate([integers.view("<u4"), np.zeros(CANARY_WORDS, "<u4")])

    with np.errstate(over="ignore", under="ignore"):
        expected = np.array([math.ldexp(float(value), -bits) for value in integers]).astype(np.float32)
        rounded = round_block(vector, words, slice(0, integers.size))

    assert rounded.tobytes() == expected.tobytes()


# Model deltas that need the wide ring


def wide(size: int, clip: float = 2.0**53) -> Vector:
    return Vector("running", (size,), Ring.REALS, clip)


@given(sites=SITES, clip=st.floats(1e-9, 2.0**53), sign=st.sampled_from([1, -1]))
@example(sites=512, clip=2.0**53, sign=-1)
def test_the_edge_of_the_wide_ring_times_all_sites_is_exact(sites, clip, sign):
    opened = total(wide(3, clip), [np.full(3, sign * clip)] * sites)

    exact = sign * sites * Fraction(round(Fraction(clip) * 2**64), 2**64)
    assert abs(Fraction(float(opened[0])) - exact) <= Fraction(float(np.spacing(abs(opened[0]))))
    assert len(set(opened.tolist())) == 1


@pytest.mark.parametrize(("sites", "clip"), [(2, 2.0**62), (1, 2.0**63), (512, 2.0**54), (1024, 2.0**53)])
def test_a_bound_at_which_the_wide_sum_overflows_is_refused(sites, clip):
    below = math.nextafter(clip, 0)

    with refused("E_VECTOR"):
        check_overflow(wide(1, clip), sites)
    with refused("E_VECTOR"):
        encode(wide(1, clip), np.zeros(1), sites=sites)
    assert total(wide(1, below), [np.array([-below])] * sites).tolist() == [-sites * below]


@given(
    values=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 50), st.integers(1, 5)),
        elements=st.floats(-(2.0**40), 2.0**40, width=32) | st.floats(-(2.0**-20), 2.0**-20, width=32),
    ),
    alpha=st.floats(0.001, 1),
)
def test_a_wide_sum_errs_by_less_than_float32_for_great_and_for_small_changes(values, alpha):
    opened = total(wide(values.shape[1]), list(values), alpha=alpha)

    exact = [sum(Fraction(float(part)) for part in column) * Fraction(alpha) for column in values.T]
    scale = np.abs(values.astype(np.float64)).sum(axis=0) * alpha
    errors = [abs(Fraction(float(value)) - one) for value, one in zip(opened, exact, strict=True)]
    assert all(error <= 2.0**-50 * size + 50 * 2.0**-64 for error, size in zip(errors, scale, strict=True))


def test_wide_changes_are_clipped_at_the_bound_times_the_weight_and_counted():
    vector = Vector("running", (4,), Ring.REALS, (Segment(2, 256.0), Segment(2, 1.0)))
    values = np.array([22870.5, -2448.0, 0.5, -3.0], np.float32)

    encoded = encode(vector, values, sites=2, alpha=0.5, clip_fraction=0.75)

    assert (encoded.clipped, decode(vector, encoded.words).tolist()) == (3, [128, -128, 0.25, -0.5])
    with refused("E_CLIP"):
        encode(vector, values, sites=2, alpha=0.5, clip_fraction=0.74)
    with refused("E_CLIP"):
        encode(wide(1), np.array([2.0**54], np.float32), sites=2)
    with refused("E_WEIGHT"):
        encode(vector, values, sites=2, alpha=1.5)


@pytest.mark.parametrize("size", [(1 << 15) + 1, 70_003])
def test_long_wide_vectors_are_encoded_as_short_ones(size):
    values = np.random.default_rng(0).normal(scale=1e5, size=size).astype(np.float32)

    # A change below 2^-11 loses its bits under 2^-64
    opened = decode(wide(size), encode(wide(size), values, sites=2).words)

    assert np.abs(opened - values).max() <= 2.0**-64


# Counts


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 50), st.just(3)), elements=st.integers(-(2**53), 2**53)))
def test_counts_add_exactly(values):
    opened = total(Vector("n", (3,), Ring.COUNTS), list(values))

    assert (opened.dtype, opened.tolist()) == (np.int64, values.sum(axis=0).tolist())


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63])
def test_counts_beyond_2_to_the_53_are_refused(value):
    with refused("E_NORM"):
        encode(Vector("n", (1,), Ring.COUNTS), np.array([value]), sites=2)


def test_very_many_sites_lower_the_bound():
    vector = Vector("n", (1,), Ring.COUNTS)

    encode(vector, np.array([2**43 - 1]), sites=2**20)
    with refused("E_NORM"):
        encode(vector, np.array([2**43]), sites=2**20)


# Reals


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 50), st.integers(1, 3)),
        elements=st.floats(-(2.0**57), 2.0**57)
        | st.floats(-1e-15, 1e-15)
        | st.sampled_from([-(2.0**-64), -1.0]),
    )
)
def test_reals_add_as_fractions_do(values):
    vector = Vector("s", (values.shape[1],), Ring.REALS)

    opened = total(vector, list(values))

    for column, value in zip(values.T, opened, strict=True):
        exact = Fraction(sum(round(Fraction(part) * 2**64) for part in column), 2**64)
        assert abs(Fraction(value) - exact) <= Fraction(float(np.spacing(abs(value))))


@given(st.floats(-(2.0**60), 2.0**60).filter(lambda x: x == 0 or abs(x) > 2.0**-11))
@example(-(2.0**-64))
@example(-0.0)
@example(-1.0)
@example(1 - 2.0**-53)
@example(-(2.0**60))
def test_what_has_its_last_bit_above_2_to_the_minus_64_comes_back_whole(value):
    vector = Vector("s", (1,), Ring.REALS)

    assert decode(vector, encode(vector, np.array([value]), sites=2).words).tolist() == [value]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-(2.0**-64), [2**64 - 1, 2**64 - 1]),
        (-(2.0**-66), [0, 0]),
        (-1.0, [0, 2**64 - 1]),
        (-0.25, [3 << 62, 2**64 - 1]),
        (1.5, [1 << 63, 1]),
        (3 * 2.0**-65, [2, 0]),
    ],
)
def test_small_negative_reals_are_not_floored(value, words):
    encoded = encode(Vector("s", (1,), Ring.REALS), np.array([value]), sites=2).words

    assert encoded.tolist() == [*words, 0, 0, 0, 0]


@pytest.mark.parametrize("sites", [1, 2, 3, 50])
@pytest.mark.parametrize("sign", [1, -1])
def test_reals_are_bounded_so_that_the_sum_keeps_its_sign(sites, sign):
    vector = Vector("s", (1,), Ring.REALS)
    below = math.nextafter(2.0**63 / sites, 0)

    assert total(vector, [np.array([sign * below])] * sites).tolist() == pytest.approx([sign * sites * below])
    with refused("E_NORM"):
        encode(vector, np.array([sign * 2.0**63 / sites]), sites=sites)


def test_long_real_vectors_are_encoded_as_short_ones():
    values = np.random.default_rng(0).normal(size=70_000)
    vector = Vector("s", values.shape, Ring.REALS)

    # Numbers below 2^-11 lose their bits under 2^-64
    assert np.abs(decode(vector, encode(vector, values, sites=2).words) - values).max() <= 2.0**-64


# All rings

EVERY = [delta(2, sites=2), Vector("n", (2,), Ring.COUNTS), Vector("s", (2,), Ring.REALS), wide(2)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("vector", [EVERY[0], *EVERY[2:]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_is_refused(vector, value, dtype):
    with refused("E_NONFINITE"):
        encode(vector, np.array([1, value], dtype), sites=2)


@pytest.mark.parametrize("vector", EVERY)
def test_another_shape_is_a_programming_error(vector):
    with pytest.raises(ValueError, match="has shape"):
        encode(vector, np.zeros((2, 1)), sites=2)


@pytest.mark.parametrize("vector", EVERY)
def test_another_type_is_a_programming_error(vector):
    wrong = np.float64 if vector.ring is Ring.COUNTS else np.int64

    with pytest.raises(TypeError, match="cannot hold"):
        encode(vector, np.zeros(2, wrong), sites=2)
    with pytest.raises(TypeError, match="cannot hold"):
        encode(vector, np.zeros(2, np.longdouble), sites=2)


@pytest.mark.parametrize("vector", EVERY)
def test_without_sites_there_is_no_sum(vector):
    with pytest.raises(ValueError, match="0 sites"):
        encode(vector, np.zeros(2), sites=0)


@pytest.mark.parametrize("vector", EVERY)
def test_one_canary_word_that_is_not_zero_stops_the_opening(vector):
    for word in range(1, CANARY_WORDS + 1):
        words = np.zeros(vector.words, vector.dtype)
        words[-word] = 1
        with refused("S_CANARY"):
            decode(vector, words)


@pytest.mark.parametrize("vector", EVERY)
def test_a_sum_of_another_length_or_type_is_not_opened(vector):
    with refused("S_SHAPE"):
        decode(vector, np.zeros(vector.words + 2, vector.dtype))
    with refused("S_SHAPE"):
        decode(vector, np.zeros(vector.words, np.int64))


@pytest.mark.parametrize("ring", [Ring.COUNTS, Ring.REALS])
def test_an_empty_array_has_an_empty_sum(ring):
    vector = Vector("none", (0, 3), ring)
    values = np.zeros((0, 3), np.int64 if ring is Ring.COUNTS else np.float64)

    assert decode(vector, encode(vector, values, sites=2).words).shape == (0, 3)


@pytest.mark.parametrize(
    ("vector", "words", "dtype"),
    [
        (Vector("w", (2, 3), Ring.UPDATES, 1.0), 10, np.uint32),
        (Vector("n", (2, 3), Ring.COUNTS), 10, np.uint64),
        (Vector("s", (2, 3), Ring.REALS), 16, np.uint64),
        (Vector("s", (), Ring.REALS), 6, np.uint64),
    ],
)
def test_a_vector_knows_its_words(vector, words, dtype):
    assert (vector.words, vector.dtype) == (words, dtype)


@pytest.mark.parametrize(
    ("shape", "ring", "clip", "bits"),
    [
        ((-1,), Ring.COUNTS, None, 0),
        ((2,), Ring.COUNTS, 1.0, 0),
        ((2,), Ring.REALS, None, 3),
        ((2,), Ring.REALS, 1.0, 3),
        ((2,), Ring.REALS, math.inf, 0),
        ((2,), Ring.REALS, (Segment(1, 1.0),), 0),
        ((2,), Ring.UPDATES, None, 3),
        ((2,), Ring.UPDATES, 0.0, 3),
        ((2,), Ring.UPDATES, math.nan, 3),
        ((0,), Ring.UPDATES, 1.0, 3),
        ((2,), Ring.UPDATES, (Segment(3, 1.0), Segment(-1, 1.0)), 3),
        ((2,), Ring.UPDATES, (Segment(1, 1.0),), 3),
        ((2,), Ring.UPDATES, 1.0, 900),
    ],
)
def test_a_contradictory_vector_does_not_exist(shape, ring, clip, bits):
    with pytest.raises(ValueError, match="vector 'v'"):
        Vector("v", shape, ring, clip, bits)


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1e3, 1e3, width=32)))
def test_the_norm_is_summed_in_float64(values):
    assert norm(values) == pytest.approx(math.sqrt(sum(float(value) ** 2 for value in values)))


def test_the_norm_of_a_matrix_in_blocks():
    assert norm(np.full((3, 30_000), 2.0)) == pytest.approx(600.0)
