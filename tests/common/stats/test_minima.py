from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from common.stats.minima import REPLICATION, STANDARD, hide_cells, minima_of


def test_profiles():
    assert minima_of("standard") is STANDARD
    assert (STANDARD.cell, STANDARD.per_class, STANDARD.sites, STANDARD.site_patients) == (5, 10, 3, 20)
    assert minima_of("replication").cell == minima_of("simulation").cell == 1


def test_what_is_shown():
    assert STANDARD.may_release(np.array([0, 1, 4, 5])).tolist() == [True, False, False, True]
    assert (STANDARD.show(0), STANDARD.show(4), STANDARD.show(5)) == (0, None, 5)


def test_no_minimum_below_one():
    with pytest.raises(ValueError, match="cell is 0"):
        replace(STANDARD, cell=0)


def test_small_cell_of_a_two_by_two_table_hides_all_four():
    assert hide_cells(np.array([[3, 268], [9, 116]]), STANDARD).all()


def test_nothing_is_hidden_without_a_small_cell():
    assert not hide_cells(np.array([[0, 20], [9, 5]]), STANDARD).any()
    assert not hide_cells(np.array([[3, 20], [9, 5]]), REPLICATION).any()


def test_smallest_complement_goes_zero_last():
    hidden = hide_cells(np.array([[4, 100], [78, 60], [34, 90]]), STANDARD)

    assert hidden.tolist() == [[True, True], [False, False], [True, True]]
    assert hide_cells(np.array([[3, 0, 50]]), STANDARD).tolist() == [[True, False, True]]
    assert hide_cells(np.array([[3, 0]]), STANDARD).tolist() == [[True, True]]
    assert hide_cells(np.array([[3]]), STANDARD).tolist() == [[True]]


@given(
    arrays(
        np.int64, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=5), elements=st.integers(0, 30)
    )
)
def test_no_margin_gives_a_hidden_cell_away(table):
    hidden = hide_cells(table, STANDARD)

    assert hidden[(table > 0) & (table < 5)].all()
    assert 1 not in hidden.sum(axis=0)
    assert 1 not in hidden.sum(axis=1)
