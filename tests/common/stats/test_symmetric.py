import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.stats.symmetric import pack_symmetric, unpack_symmetric


@given(st.data(), st.integers(0, 4), st.integers(0, 9))
def test_triangles_hold_the_whole_matrices(data, models, size):
    rows = data.draw(arrays(np.float64, (models, size, 3), elements=st.floats(-9, 9)))
    matrices = rows @ rows.transpose(0, 2, 1)
    triangles = pack_symmetric(matrices)

    assert triangles.shape == (models, size * (size + 1) // 2)
    np.testing.assert_array_equal(
        unpack_symmetric(triangles), np.triu(matrices) + np.triu(matrices, 1).swapaxes(1, 2)
    )


def test_what_is_no_triangle_is_refused():
    with pytest.raises(ValueError, match="4 numbers are no triangle"):
        unpack_symmetric(np.zeros((2, 4)))
