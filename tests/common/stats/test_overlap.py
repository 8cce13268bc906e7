from __future__ import annotations

import numpy as np
import pytest

from common.stats.minima import REPLICATION
from common.stats.overlap import choose_shown_cohorts

# Training, validation and tests of one centre, tests of another.
PARTS = np.eye(4, dtype=bool)
WHOLE, TRAINED, TESTED = PARTS[:3].any(axis=0), PARTS[:2].any(axis=0), PARTS[2:].any(axis=0)


def shown(cohorts, atoms, unions=PARTS, minima=None):
    """With counts by group, shape (groups, cells)."""
    members = np.array(cohorts)
    counts = members.astype(np.int64) @ np.array(atoms)
    terms = {} if minima is None else {"minima": minima}
    return choose_shown_cohorts(members, counts, np.array(unions), **terms).tolist()


def test_what_is_left_of_a_whole_hides_the_last_of_its_parts():
    atoms = [[30], [3], [12], [9]]

    assert shown([PARTS[2], WHOLE, PARTS[0]], atoms) == [True, True, False]
    assert shown([PARTS[0], WHOLE, PARTS[2]], atoms) == [True, True, False]
    assert shown([PARTS[2], WHOLE, PARTS[0]], atoms, minima=REPLICATION) == [True] * 3


def test_enough_or_nobody_may_be_left():
    for left in (0, 5):
        assert shown([PARTS[2], WHOLE, PARTS[0]], [[30], [left], [12], [9]]) == [True] * 3


def test_the_pool_of_two_centres_does_not_tell_the_one_that_is_hidden():
    assert shown([TESTED, PARTS[2], PARTS[3]], [[30], [9], [12], [4]]) == [True, False, False]


def test_any_small_cell_counts():
    assert shown([WHOLE, PARTS[0], PARTS[2]], [[30, 20], [9, 3], [12, 11], [9, 9]]) == [True, True, False]


def test_a_union_that_nobody_lists_is_not_told_either():
    atoms = [[2], [2], [12], [9]]

    assert shown([PARTS[2], WHOLE], atoms) == [True, True]
    assert shown([PARTS[2], WHOLE], atoms, [TRAINED]) == [True, False]


def test_a_longer_sum_is_found():
    """Both wholes less what is shown of the first is the second's rest."""
    both, second = PARTS.any(axis=0), PARTS[3]
    atoms = [[30], [9], [12], [4]]

    assert shown([both, PARTS[0], PARTS[1], PARTS[2]], atoms, [second]) == [True, True, True, False]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_shown_determines_no_small_part(seed):
    random = np.random.default_rng(seed)
    cohorts = np.unique(random.random((9, 4)) < 0.5, axis=0)
    cohorts = cohorts[cohorts.any(axis=1)]
    atoms = random.integers(0, 12, (4, 2))

    marks = np.array(shown(cohorts, atoms))

    known = cohorts[marks].astype(float)
    for part, counts in zip(PARTS.astype(float), atoms, strict=True):
        rank = np.linalg.matrix_rank(known) if len(known) else 0
        determined = len(known) and np.linalg.matrix_rank(np.vstack([known, part])) == rank
        if determined:
            assert ((counts == 0) | (counts >= 5)).all()
