"""Public parameters as arrays: read as they were written, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from common.errors import ProtocolError
from common.messages.questions import (
    read_centre,
    read_flag_array,
    read_grids,
    read_integer_array,
    read_newton,
    read_path,
    read_placements,
    read_real_array,
    write_centre,
    write_grids,
    write_newton,
    write_path,
    write_placements,
)
from common.stats.delong import Placements
from common.stats.lasso_binomial import PathQuery
from common.stats.newton import Query
from common.stats.score_grid import ScoreGrid
from common.stats.stack import Problem

COLUMNS = 3
FINITE = st.floats(-1e9, 1e9)


def floats(*shape):
    return of_numpy.arrays(np.float64, shape, elements=FINITE)


def bools(*shape):
    return of_numpy.arrays(np.bool_, shape)


@given(st.data(), st.integers(2, 4), st.integers(1, 5))
def test_a_round_of_a_path_arrives_as_it_was_written(data, folds, features):
    widest = data.draw(st.integers(0, features))
    rows = [data.draw(st.permutations(range(features)))[:widest] for _ in range(folds + 1)]
    # Where a fit asks for fewer features than the widest, -1 stands.
    padded = [[place if data.draw(st.booleans()) else -1 for place in row] for row in rows]
    working = np.array(padded, dtype=np.int64).reshape(folds + 1, widest)
    query = PathQuery(data.draw(floats(folds + 1, features + 1)), working, data.draw(bools(folds + 1)))

    arrived = read_path(write_path(query), folds, features)

    assert as_lists(arrived) == as_lists(query)


@given(floats(COLUMNS))
def test_centres_arrive_as_they_were_written_and_none_are_zeros(centre):
    assert read_centre(write_centre(centre), COLUMNS).tolist() == centre.tolist()
    assert read_centre({}, COLUMNS).tolist() == [0.0] * COLUMNS


def test_centres_of_another_number_of_columns_are_refused():
    with pytest.raises(ProtocolError, match="2 centres came for 3 columns"):
        read_centre(write_centre(np.ones(2)), COLUMNS)


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
    return problem, Query(draw(floats(models, width + 1)), draw(bools(models)), inverse, draw(st.booleans()))


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


NAMES = st.sampled_from(["paired/3/0-1/0", "paired/3/0-1/1", "cohort/3/0", "cohort/12/0"])


@given(st.data())
def test_placements_arrive_as_they_were_written(data):
    by_name = {}
    for name in data.draw(st.sets(NAMES)):
        bins = data.draw(st.integers(1, 5))
        by_name[name] = Placements(data.draw(floats(bins)), data.draw(floats(bins)), data.draw(FINITE))
    parameters = write_placements(by_name)

    for name, expected in by_name.items():
        assert as_lists(read_placements(parameters, name, expected.v10.size)) == as_lists(expected)
    assert len(parameters) == 3 * len(by_name)


GRIDS = st.builds(
    ScoreGrid,
    st.lists(st.floats(0, 1, exclude_min=True), unique=True, max_size=6).map(
        lambda edges: np.array(sorted(edges), dtype=np.float64)
    ),
    st.booleans(),
)


@given(st.lists(GRIDS, max_size=4))
def test_grids_arrive_as_they_were_written(grids):
    assert list(map(as_lists, read_grids(write_grids(grids), len(grids), 6))) == list(map(as_lists, grids))


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


PLACEMENTS = write_placements({"p": Placements(np.zeros(5), np.zeros(5), 0.5)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p.v10": None}, "'p.v10' is missing"),
        ({"p.v01": None}, "'p.v01' is missing"),
        ({"p.auc": None}, "'p.auc' is missing"),
        ({"p.v10": np.zeros(4)}, r"of \(4,\) came for 5 bins"),
        ({"p.v01": np.zeros(4)}, "came for 5 bins"),
        ({"p.v10": np.zeros(9), "p.v01": np.zeros(9)}, r"of \(9,\) came for 5 bins"),
        ({"p.v10": np.zeros((1, 5))}, "'p.v10' is float64 of shape"),
        ({"p.auc": np.zeros(2)}, "came for 5 bins"),
        ({"p.auc": np.zeros(0)}, "came for 5 bins"),
        ({"p.auc": np.array(0.5)}, "'p.auc' is float64 of shape"),
        ({"p.v01": np.zeros(5, dtype=np.int64)}, "'p.v01' is int64"),
    ],
)
def test_placements_of_another_shape_are_refused(changes, said):
    altered = {name: array for name, array in (PLACEMENTS | changes).items() if array is not None}

    read_placements(PLACEMENTS, "p", 5)
    with pytest.raises(ProtocolError, match=said):
        read_placements(altered, "p", 5)
    with pytest.raises(ProtocolError, match="'q.v10' is missing"):
        read_placements(PLACEMENTS, "q", 5)


TWO_GRIDS = write_grids([ScoreGrid(np.array([0.25, 0.5])), ScoreGrid(np.array([0.5, 0.75, 1.0]))])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"edges": None}, "'edges' is missing"),
        ({"sizes": None}, "'sizes' is missing"),
        ({"values": None}, "'values' is missing"),
        ({"edges": np.array([0, 0, 1, 1, 1])}, "'edges' is int64"),
        ({"edges": np.ones((5, 1))}, "'edges' is float64 of shape"),
        ({"sizes": np.array([2.0, 3.0])}, "'sizes' is float64"),
        ({"values": np.zeros(2)}, "'values' is float64"),
        ({"values": np.zeros(3, dtype=bool)}, "'values' is bool of"),
        # Not one grid for each score, or other edges than the grids have
        ({"sizes": np.array([5])}, "5 edges came for the grids of 2 scores"),
        ({"sizes": np.array([2, 3, 0])}, "5 edges came for the grids of 2 scores"),
        ({"sizes": np.array([2, 2])}, "5 edges came"),
        ({"sizes": np.array([3, 3])}, "5 edges came"),
        ({"sizes": np.array([-1, 6])}, "5 edges came"),
        # Sizes whose sum leaves int64 and comes back
        ({"sizes": np.array([2**62 + 5, 2**62]) * 2}, "edges came for|where 3 are allowed"),
        # A grid finer than is allowed
        ({"sizes": np.array([1, 4])}, "a grid of 4 edges came, where 3 are allowed"),
        ({"sizes": np.array([5, 0])}, "a grid of 5 edges came, where 3 are allowed"),
        # What is no grid
        ({"edges": np.array([0.5, 0.25, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([0.25, 0.25, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([0.0, 0.25, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([-0.1, 0.25, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([0.25, 0.5, 0.5, 0.75, 1.5])}, "do not ascend within"),
        ({"edges": np.array([0.25, np.nan, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([np.nan, 0.5, 0.5, 0.75, 1.0])}, "do not ascend within"),
        ({"edges": np.array([0.25, 0.5, 0.5, 0.75, np.inf])}, "do not ascend within"),
    ],
)
def test_what_is_no_grid_is_refused(changes, said):
    altered = {name: array for name, array in (TWO_GRIDS | changes).items() if array is not None}

    read_grids(TWO_GRIDS, 2, 3)
    with pytest.raises(ProtocolError, match=said):
        read_grids(altered, 2, 3)


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
