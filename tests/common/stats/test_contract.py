from __future__ import annotations

import numpy as np
import pytest

from common.errors import NonFiniteError
from common.stats.contract import Summary, join_summaries, total


def summary(count=1, real=0.5, update=1.5):
    return Summary(
        {"n": np.array([count])}, {"s": np.array([real])}, {"w": np.array([update], dtype=np.float32)}
    )


def test_adds_name_by_name():
    both = total([summary(1, 0.5, 1.0), summary(2, 0.25, 2.0), summary(3, 0.125, 4.0)])

    assert (both.counts["n"].tolist(), both.reals["s"].tolist(), both.updates["w"].tolist()) == (
        [6],
        [0.875],
        [7.0],
    )


def test_under_and_part_are_inverse():
    named = join_summaries([summary(1).under("a"), summary(2).under("b")])

    assert named.part("b").counts["n"].tolist() == [2]
    assert named.part("a").reals["s"].tolist() == [0.5]
    assert not named.part("c").counts


@pytest.mark.parametrize(
    "other",
    [
        Summary({"m": np.array([1])}, {"s": np.array([0.5])}, {"w": np.ones(1, dtype=np.float32)}),
        Summary({"n": np.array([1])}, {"s": np.array([0.5, 1.0])}, {"w": np.ones(1, dtype=np.float32)}),
        Summary({"n": np.array([1])}, {"s": np.array([0.5])}, {"w": np.ones((1, 1), dtype=np.float32)}),
        Summary({"n": np.array([1])}, {}, {"w": np.ones(1, dtype=np.float32)}),
    ],
)
def test_refuses_another_layout(other):
    with pytest.raises(ValueError, match=r"differ|added"):
        summary() + other


def test_refuses_two_of_a_name():
    with pytest.raises(ValueError, match="one name"):
        join_summaries([summary(), summary()])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite(value):
    with pytest.raises(NonFiniteError):
        summary(real=value)
    with pytest.raises(NonFiniteError):
        summary(update=value)


@pytest.mark.parametrize(
    "value", [2**62, -(2**62), np.uint64(2**63), np.iinfo(np.int64).max, np.iinfo(np.int64).min]
)
def test_refuses_counts_whose_sum_could_wrap(value):
    with pytest.raises(NonFiniteError, match="2\\^62"):
        Summary({"n": np.array([value])})
    with pytest.raises(NonFiniteError, match="2\\^62"):
        Summary({"n": np.append(np.zeros(40, np.array(value).dtype), value)})


def test_refuses_a_sum_that_overflows():
    with pytest.raises(NonFiniteError, match="2\\^62"):
        summary(count=2**61) + summary(count=2**61)
    with np.errstate(over="ignore"), pytest.raises(NonFiniteError, match="not finite"):
        summary(real=1.7e308) + summary(real=1.7e308)
    assert (summary(count=2**61) + summary(count=2**61 - 1)).counts["n"].tolist() == [2**62 - 1]


def test_refuses_the_wrong_kind():
    with pytest.raises(TypeError, match="integers"):
        Summary({"n": np.array([1.0])})
    with pytest.raises(TypeError, match="float32"):
        Summary(updates={"w": np.array([1.0])})


def test_cannot_be_changed_afterwards():
    source = np.array([1.0])
    made = Summary(reals={"s": source})
    source[0] = 2.0

    assert made.reals["s"].tolist() == [1.0]
    with pytest.raises(ValueError, match="read-only"):
        made.reals["s"][0] = 3.0
    with pytest.raises(TypeError):
        made.reals["t"] = source


def test_what_is_joined_or_taken_apart_is_neither_copied_nor_writable():
    """Each array is checked and copied once, however many summaries it travels in."""
    own = summary()
    joined = join_summaries([own.under("a"), summary(2).under("b")])

    for kind, name in (("counts", "n"), ("reals", "s"), ("updates", "w")):
        array = getattr(joined.part("a"), kind)[name]
        assert np.shares_memory(array, getattr(own, kind)[name])
        kept = getattr(joined.keep_under(["a"]), kind)
        assert list(kept) == [f"a/{name}"]
        assert kept[f"a/{name}"] is getattr(joined, kind)[f"a/{name}"]
    with pytest.raises(ValueError, match="read-only"):
        joined.part("a").counts["n"][0] = 3
    with pytest.raises(TypeError):
        joined.counts["c/n"] = np.array([1])


def test_an_empty_array_has_no_count_that_is_too_large():
    assert Summary({"n": np.zeros((0, 3), int)}).layout() == (("counts", "n", (0, 3)),)


def test_total_of_nothing_is_an_error():
    with pytest.raises(TypeError):
        total([])
