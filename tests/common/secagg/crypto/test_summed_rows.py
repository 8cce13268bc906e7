"""Many rows at once add up to what one after the other does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import Ring
from common.secagg.crypto.summed_rows import sum_rows


def one_by_one(rows, ring):
    total = np.zeros(rows.shape[1], rows.dtype)
    for row in rows:
        add_words(total, row, ring)
    return total


@pytest.mark.parametrize("ring", list(Ring))
@given(data=st.data())
def test_rows_add_up_as_one_by_one(ring, data):
    most = np.iinfo(ring.dtype).max
    words = st.one_of(
        st.integers(0, most), st.sampled_from([0, 1, most, most - 1, 2**31, 2**32 - 1, most // 2 + 1])
    )
    shape = data.draw(st.tuples(st.integers(0, 6), st.sampled_from([0, 2, 6])))
    rows = data.draw(arrays(ring.dtype, shape, elements=words))

    assert sum_rows(rows, ring).tolist() == one_by_one(rows, ring).tolist()


def test_carries_of_all_512_members_arrive():
    rows = np.full((512, 4), 2**64 - 1, np.uint64)

    assert sum_rows(rows, Ring.REALS).tolist() == one_by_one(rows, Ring.REALS).tolist()
