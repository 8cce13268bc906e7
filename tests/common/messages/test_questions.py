"""Public parameters as arrays: read as they were written, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from common.errors import ProtocolError
from common.messages.questions import (
    read_flag_array,
    read_integer_array,
    read_newton,
    read_pairs,
    read_placements,
    read_real_array,
    write_newton,
    write_pairs,
    write_placements,
)
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.stack import Problem

COLUMNS = 3
FINITE = st.floats(-1e9, 1e9)


def floats(*shape):
    return of_numpy.arrays(np.float64, shape, elements=FINITE)


def bools(*shape):
    return of_numpy.arrays(np.bool_, shape)


@st.composite
def newton_rounds(draw):
    models, width, used = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, COLUMNS))
    problem = Problem(
        draw(of_numpy.arrays(np.int64, (models, width), elements=st.integers(-1, used - 1))),
        draw(bools(models, width + 1)),
        draw(floats(used)),
        draw(floats(used)),
        draw(st.booleans()),
    )
    inverse = draw(st.none() | floats(models, width + 1, width + 1))
    return problem, Query(draw(floats(models, width + 1)), draw(bools(models)), inverse)


def as_lists(thing):
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(thing).items()
    }


@given(newton_rounds())
def test_a_round_of_newton_s_arrives_as_it_was_written(asked):
    problem, query = read_newton(write_newton(*asked), COLUMNS)

    assert as_lists(problem) == as_lists(asked[0])
    assert as_lists(query) == as_lists(asked[1])


@given(st.data())
def test_placements_arrive_as_they_were_written(data):
    scorers, bins = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    of_cohorts = {
        cohort: Placements(*(data.draw(floats(*shape)) for shape in ((scorers, bins),) * 2 + ((scorers,),)))
        for cohort in data.draw(st.sets(st.integers(0, 20), max_size=3))
    }
    parameters = write_placements(of_cohorts)

    for cohort, expected in of_cohorts.items():
        assert as_lists(read_placements(parameters, cohort, (scorers, bins))) == as_lists(expected)
    assert len(parameters) == 3 * len(of_cohorts)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2))))
def test_pairs_arrive_as_they_were_written(pairs):
    assert read_pairs({"pairs": write_pairs(pairs)}, "pairs", (7, 3)) == tuple(pairs)


# Whatever is malformed is refused


def a_round(**changes):
    """Two models of two columns, as a message carries them."""
    written = write_newton(
        Problem(
            np.array([[0, -1], [1, 2]]), np.ones((2, 3), dtype=bool), np.zeros(3), np.ones(3), firth=False
        ),
        Query(np.zeros((2, 3)), np.array([True, True]), np.zeros((2, 3, 3))),
    )
    return {name: array for name, array in (written | changes).items() if array is not None}


def test_the_round_that_is_altered_below_is_in_order():
    read_newton(a_round(), COLUMNS)


@pytest.mark.parametrize("name", ["columns", "free", "centre", "scale", "firth", "coefficients", "active"])
def test_a_round_without_an_array_is_refused(name):
    with pytest.raises(ProtocolError, match=f"the parameter '{name}' is missing"):
        read_newton(a_round(**{name: None}), COLUMNS)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("columns", np.float64),
        ("free", np.int64),
        ("centre", np.int64),
        ("scale", np.bool_),
        ("firth", np.float64),
        ("coefficients", np.int64),
        ("active", np.int64),
        ("inverse", np.int64),
    ],
)
def test_an_array_of_another_type_is_refused(name, dtype):
    with pytest.raises(ProtocolError, match=f"'{name}' is {np.dtype(dtype)}"):
        read_newton(a_round(**{name: a_round()[name].astype(dtype)}), COLUMNS)


@pytest.mark.parametrize(
    "name", ["columns", "free", "centre", "scale", "firth", "coefficients", "active", "inverse"]
)
def test_an_array_of_other_dimensions_is_refused(name):
    with pytest.raises(ProtocolError, match=f"'{name}' is "):
        read_newton(a_round(**{name: a_round()[name][np.newaxis]}), COLUMNS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": np.array([[0, 3], [1, 2]])}, "columns 0 to 3 of 3"),
        ({"columns": np.array([[0, -2], [1, 2]])}, "columns -2 to 2 of 3"),
        ({"centre": np.zeros(2)}, "standardises 2 and 3 of 3 columns"),
        ({"scale": np.ones(2)}, "standardises 3 and 2 of 3 columns"),
        ({"centre": np.zeros(4), "scale": np.ones(4)}, "standardises 4 and 4 of 3 columns"),
        # Column 2 would not be standardised
        ({"centre": np.zeros(2), "scale": np.ones(2)}, "standardises 2 and 2 of 3 columns"),
        ({"free": np.ones((2, 2), dtype=bool)}, "'free' is bool of"),
        ({"free": np.ones((3, 3), dtype=bool)}, "'free' is bool of"),
        ({"firth": np.array([True, False])}, "'firth' is bool of"),
        ({"firth": np.array([], dtype=bool)}, "'firth' is bool of"),
        ({"coefficients": np.zeros((2, 2))}, r"a regression of \(2, 3\) coefficients came with \(2, 2\)"),
        ({"coefficients": np.zeros((1, 3))}, r"came with \(1, 3\)"),
        ({"active": np.array([True])}, "'active' is bool of"),
        ({"inverse": np.zeros((2, 2, 2))}, "a regression of"),
    ],
)
def test_a_round_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ProtocolError, match=said):
        read_newton(a_round(**changes), COLUMNS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"4.v10": None}, "'4.v10' is missing"),
        ({"4.v01": None}, "'4.v01' is missing"),
        ({"4.auc": None}, "'4.auc' is missing"),
        ({"4.v10": np.zeros((2, 4))}, "came for scores and bins"),
        ({"4.v10": np.zeros((3, 5)), "4.v01": np.zeros((3, 5))}, "came for scores and bins"),
        ({"4.v10": np.zeros((2, 9)), "4.v01": np.zeros((2, 9))}, "came for scores and bins"),
        ({"4.auc": np.zeros(3)}, "came for scores and bins"),
        ({"4.auc": np.zeros((2, 1))}, "'4.auc' is float64 of shape"),
        ({"4.v01": np.zeros((2, 5), dtype=np.int64)}, "'4.v01' is int64"),
    ],
)
def test_placements_of_another_shape_are_refused(changes, said):
    written = write_placements({4: Placements(np.zeros((2, 5)), np.zeros((2, 5)), np.zeros(2))}) | changes

    with pytest.raises(ProtocolError, match=said):
        read_placements({name: array for name, array in written.items() if array is not None}, 4, (2, 5))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([[0, 2]]), r"not all below \(3, 2\)"),
        (np.array([[3, 0]]), r"not all below \(3, 2\)"),
        (np.array([[0, 0], [-1, 0]]), r"not all below \(3, 2\)"),
        (np.array([[0, 0, 0]]), r"not all below \(3, 2\)"),
        (np.array([0, 0]), "is int64 of shape"),
        (np.array([[0.0, 0.0]]), "is float64 of shape"),
        (None, "is missing"),
    ],
)
def test_pairs_out_of_range_are_refused(array, said):
    with pytest.raises(ProtocolError, match=said):
        read_pairs({} if array is None else {"pairs": array}, "pairs", (3, 2))


@pytest.mark.parametrize(
    ("read", "array"),
    [
        (lambda p: read_real_array(p, "x", 1), np.array([1.5, -2.0])),
        (lambda p: read_integer_array(p, "x", 1), np.array([3, -4])),
        (lambda p: read_flag_array(p, "x", (2,)), np.array([True, False])),
    ],
)
def test_each_type_is_read_as_itself_alone(read, array):
    np.testing.assert_array_equal(read({"x": array}), array)
    others = {np.float64, np.int64, np.bool_, np.float32, np.int32} - {array.dtype.type}
    for other in others:
        with pytest.raises(ProtocolError, match=f"'x' is {np.dtype(other)}"):
            read({"x": array.astype(other)})
