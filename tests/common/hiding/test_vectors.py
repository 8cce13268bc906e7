"""What is hidden adds up to what the plain summaries add up to."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.hiding.vectors import Hiding, Precision, precision_of
from common.messages.catalogue import QUESTIONS, Operation
from common.secagg.crypto.encoding import decode, encode, scale_bits_for
from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import Ring, Segment, Vector
from common.stats.contract import Summary, total

SITES = 50
COUNTS = st.integers(-(2**40), 2**40)
REALS = st.one_of(
    st.floats(-1e20, 1e20), st.floats(-1e-6, 1e-6), st.floats(-1e-18, 1e-18), st.integers(-9, 9).map(float)
)


def summed(summaries, sites=SITES, updates=None, precision=Precision.EXACT):
    hiding = Hiding(summaries[0].layout(), updates or {}, precision)
    sums = []
    for place, vector in enumerate(hiding.vectors):
        first, *others = (
            encode(vector, hiding.values(summary)[place], sites=sites).words for summary in summaries
        )
        for words in others:
            add_words(first, words, vector.ring)
        sums.append(decode(vector, first))
    return hiding.summary(sums)


@given(st.data(), st.integers(1, 7))
def test_counts_are_exact_and_reals_to_the_last_digit_but_one(data, sites):
    summaries = [
        Summary(
            {
                "n": data.draw(arrays(np.int64, (2, 3), elements=st.integers(-(2**40), 2**40))),
                "one": np.array(3),
            },
            {"x": data.draw(arrays(np.float64, (4,), elements=REALS)), "none": np.empty((0, 2))},
        )
        for _ in range(sites)
    ]

    found, plain = summed(summaries), total(summaries)

    assert found.layout() == plain.layout()
    for name, array in plain.counts.items():
        assert found.counts[name].tolist() == array.tolist()
    columns = zip(*(summary.reals["x"].tolist() for summary in summaries), strict=True)
    for value, column in zip(found.reals["x"].tolist(), columns, strict=True):
        error = abs(Fraction(value) - sum(map(Fraction, column)))
        assert error <= sum(map(abs, column)) * 2.0**-50 + sites * 2.0**-120


def test_squares_of_features_of_a_billion_and_products_of_a_billionth_add_up():
    values = [np.array([3.7e18 * site + 0.1, 2.2e-19 / (site + 1)]) for site in range(SITES)]

    found = summed([Summary(reals={"x": value}) for value in values])

    np.testing.assert_allclose(found.reals["x"], np.sum(values, axis=0), rtol=4e-16)


def test_many_products_travel_in_one_number_each():
    wide = Summary(reals={"gram": np.random.default_rng(1).normal(size=(200, 200))})
    hiding = Hiding(wide.layout(), precision=Precision.PRODUCTS)
    found = summed([wide, wide], precision=Precision.PRODUCTS)

    assert [vector.size for vector in hiding.vectors] == [40_000]
    np.testing.assert_allclose(found.reals["gram"], 2 * wide.reals["gram"], rtol=0, atol=1e-18)


def test_many_reals_are_as_exact_as_few():
    values = np.tile([3.7e18, 2.2e-19], 15_000)

    assert summed([Summary(reals={"x": values})]).reals["x"].tolist() == values.tolist()


def test_few_products_are_as_exact_as_anything():
    few = Hiding(Summary(reals={"gram": np.ones(20_000)}).layout(), precision=Precision.PRODUCTS)

    assert few.vectors == Hiding(few.layout).vectors


def test_only_cross_products_and_the_sums_of_a_ridge_are_products():
    of_products = [q for q in QUESTIONS.values() if precision_of(q) is Precision.PRODUCTS]
    products = {question.operation for question in of_products}

    assert products == {Operation.GRAM, Operation.PATH, Operation.RIDGE}


def spread(*shape):
    """Numbers of both signs from 2^-60 to 2^70."""
    k = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return (np.where(k % 3 == 0, -1, 1) * k**3 / (7 * k + 1) * 2.0 ** (k % 120 - 60)).reshape(shape)


KINDS = {
    "counts": Summary({"n": np.arange(6).reshape(2, 3), "a": np.array(-7)}),
    "reals": Summary({"n": np.arange(6)}, {"x": spread(4, 5), "empty": np.empty((0, 2)), "b": spread(3)}),
    "many reals": Summary(reals={"x": spread(20_000)}),
    "wide": Summary({"classes": np.arange(6).reshape(3, 2)}, {"gram": spread(3, 20_001)}),
    "update": Summary(
        {"patients": np.array(5)},
        {"loss": np.array(0.25)},
        {"delta": np.linspace(-1, 1, 9, dtype=np.float32)},
    ),
}


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("counts", "180df45a48487c5f"),
        ("reals", "9eb737fe235fb06e"),
        ("many reals", "ba07863cbf0f5266"),
        ("wide", "f2afc55ade7dd118"),
        ("update", "993caae84f3d9ccc"),
    ],
)
def test_the_vectors_of_each_kind_of_summary_stay_what_they_were(kind, digest):
    """Digests of what version 0.1.0 made of them, when the number of reals still chose the precision."""
    updates = {"delta": Vector("updates weights", (9,), Ring.UPDATES, (Segment(9, 4.0),), 20)}
    precision = Precision.PRODUCTS if kind == "wide" else Precision.EXACT
    hiding = Hiding(KINDS[kind].layout(), updates if kind == "update" else {}, precision)

    made = hashlib.sha256()
    for vector, values in zip(hiding.vectors, hiding.values(KINDS[kind]), strict=True):
        made.update(f"{vector.name} {vector.shape} {vector.ring.name}".encode())
        made.update(np.ascontiguousarray(values).tobytes())

    assert made.hexdigest()[:16] == digest


def test_updates_are_rounded_to_their_scale():
    source = np.random.default_rng(2)
    updates = [source.normal(size=100).astype(np.float32) / 8 for _ in range(3)]
    segments = (Segment(60, 4.0), Segment(40, 256.0))
    vector = Vector("delta", (100,), Ring.UPDATES, segments, scale_bits_for(3, 256.0))

    found = summed([Summary(updates={"delta": one}) for one in updates], 3, {"delta": vector})

    np.testing.assert_allclose(found.updates["delta"], np.sum(updates, axis=0), atol=3 * 2.0**-21)


def test_another_layout_is_another_vector_and_is_refused():
    one, other = Summary({"a": np.array([1])}), Summary({"b": np.array([1])})
    hiding = Hiding(one.layout())

    assert hiding.vectors[0].name != Hiding(other.layout()).vectors[0].name
    with pytest.raises(ValueError, match="another layout"):
        hiding.values(other)


def test_a_summary_of_nothing_has_no_vector():
    hiding = Hiding(Summary().layout())

    assert hiding.vectors == hiding.values(Summary()) == ()
    assert hiding.summary([]).layout() == ()
