"""Means of maps by cell: as over all patients together, and nothing where few of a site have something."""

from __future__ import annotations

import numpy as np
import pytest

from common.stats.contract import total
from common.stats.mean_map import QUANTA, encode_map, finish_mean_map, local_mean_map

CELLS = 6


def make_maps(seed, patients, empty=0.0):
    """Attention and lesion of so many patients; a share of the cells is empty."""
    random = np.random.default_rng(seed)
    maps = random.uniform(0.06, 1, (patients, 2, CELLS, CELLS))
    return np.where(random.random(maps.shape) < empty, 0, maps)


def encode(maps):
    return np.array([encode_map(*one) for one in maps], dtype=np.int64).reshape(-1, 2, CELLS, CELLS)


def test_the_sum_over_sites_is_the_mean_of_all_patients():
    maps = [make_maps(seed, patients) for seed, patients in ((1, 7), (2, 12))]
    summed = total(local_mean_map(encode(one), 5) for one in maps)

    mean = finish_mean_map(summed, 19, 2)

    pooled = np.concatenate(maps).mean(axis=0)
    np.testing.assert_allclose(mean.attention, pooled[0], atol=1e-6)
    np.testing.assert_allclose(mean.lesion, pooled[1], atol=1e-6)


def test_a_cell_is_left_out_unless_enough_patients_of_every_site_have_something():
    first, second = make_maps(1, 8), make_maps(2, 8)
    first[4:, 0, 0, 0] = 0  # four of the first site
    second[:, 0, 0, 1] = 0  # nobody of the second
    first[3:, 0, 2, 2] = 0.01  # three, and others with what nobody sees
    first[:3, 1, 1, 1] = 0  # five have the lesion there
    summed = total(local_mean_map(encode(one), 5) for one in (first, second))

    mean = finish_mean_map(summed, 16, 2)

    hidden = np.argwhere(np.isnan(np.stack([mean.attention, mean.lesion])))
    assert hidden.tolist() == [[0, 0, 0], [0, 0, 1], [0, 2, 2]]
    # Nor is the part of the first site in the sum that the coordinator opens
    assert summed.counts["map"][0, 0, 0] == encode(second)[:, 0, 0, 0].sum()


@pytest.mark.parametrize("fewest", [2, 5])
def test_whoever_subtracts_the_others_parts_finds_no_cell_of_few_patients(fewest):
    # The attacker knows every part but one: what remains is zero, or of enough patients
    own = make_maps(3, 9, empty=0.7)
    others = [make_maps(seed, 9, empty=0.3) for seed in (4, 5)]
    summed = total(local_mean_map(encode(one), fewest) for one in (own, *others))

    remains = summed.counts["map"] - sum(local_mean_map(encode(one), fewest).counts["map"] for one in others)

    behind = (own > 0).sum(axis=0)
    assert (behind[remains > 0] >= fewest).all()
    assert ((behind > 0) & (behind < fewest)).any()


def test_one_patient_moves_a_mean_by_at_most_its_share():
    maps = make_maps(6, 20)
    other = maps.copy()
    other[0] = 1
    means = [finish_mean_map(local_mean_map(encode(one), 5), 20, 1).attention for one in (maps, other)]

    assert np.abs(means[1] - means[0]).max() <= 1 / 20


def test_without_patients_nothing_is_added():
    summary = local_mean_map(np.zeros((0, 2, CELLS, CELLS), dtype=np.int64), 1)

    assert not summary.counts["map"].any()
    assert not summary.counts["reached"].any()


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_a_map_beyond_its_bounds_is_refused(value):
    maps = np.full((CELLS, CELLS), 0.5)
    maps[2, 3] = value
    with pytest.raises(ValueError, match="outside of"):
        encode_map(maps, np.ones((CELLS, CELLS)))
    assert encode_map(np.ones((CELLS, CELLS)), np.ones((CELLS, CELLS))).max() == QUANTA
