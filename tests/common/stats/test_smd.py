from __future__ import annotations

import numpy as np
import pytest

from common.stats.moments import Moments
from common.stats.smd import smd_categorical, smd_continuous


def test_continuous_by_hand():
    # Means 5 and 3, variances 4 and 16: (5 - 3) / sqrt(10).
    assert smd_continuous(Moments(11, 5, 40, 0, 0), Moments(11, 3, 160, 0, 0)) == pytest.approx(2 / 10**0.5)


def test_binary_by_hand():
    # Shares of the second level 0.5 and 0.2: 0.3 / sqrt((0.25 + 0.16) / 2).
    assert smd_categorical(np.array([[50, 80], [50, 20]])) == pytest.approx(0.3 / 0.205**0.5)
    assert smd_categorical(np.array([[80, 50], [20, 50]])) == pytest.approx(-0.3 / 0.205**0.5)


def test_three_levels_by_hand():
    # Shares (.2, .3, .5) and (.5, .3, .2): differences of the last two (0, .3); mean covariance
    # [[.21, -.105], [-.105, .205]]; its inverse's last element is .21 / (.21 * .205 - .105**2).
    expected = (0.09 * 0.21 / (0.21 * 0.205 - 0.105**2)) ** 0.5

    assert smd_categorical(np.array([[20, 50], [30, 30], [50, 20]])) == pytest.approx(expected)
    assert smd_categorical(np.array([[20, 50], [0, 0], [30, 30], [50, 20]])) == pytest.approx(expected)


def test_reference_level_does_not_matter():
    table = np.array([[12, 50], [30, 25], [50, 20], [8, 9]])

    assert smd_categorical(table) == pytest.approx(smd_categorical(table[[2, 0, 3, 1]]))


@pytest.mark.parametrize("table", [[[5, 5], [0, 0]], [[5, 0], [5, 0]], [[5, 0], [0, 5]]])
def test_none_where_it_does_not_exist(table):
    assert smd_categorical(np.array(table)) is None


def test_none_without_variance():
    assert smd_continuous(Moments(3, 1, 0, 0, 0), Moments(3, 2, 0, 0, 0)) is None
    assert smd_continuous(Moments(1, 1, 0, 0, 0), Moments(3, 2, 1, 0, 0)) is None
