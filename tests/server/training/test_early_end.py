"""A training ends once its validation AUC does not rise, and the round of the best AUC is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.plan.sections import Federation
from server.training.early_end import find_early_end


def a_federation(patience=2, gain=0.0, rounds=20):
    rule = {"patience": patience, "minimum_gain": gain}
    return Federation.model_validate({"rounds": rounds, "early_stopping": rule})


def end_of(aucs, **rule):
    end = find_early_end(a_federation(**rule), enumerate(aucs, start=1))
    return None if end is None else (end.gained, end.last)


@pytest.mark.parametrize(
    ("aucs", "rule", "expected"),
    [
        ([0.6, 0.7, 0.7, 0.69], {}, (2, 4)),
        ([0.6, 0.7, 0.7], {}, None),
        ([0.6, 0.5, 0.61, 0.5, 0.6], {}, (3, 5)),
        ([0.6, 0.605, 0.61], {"gain": 0.01}, (1, 3)),
        # Small gains add up: the mark stays where the last gain was
        ([0.6, 0.605, 0.611, 0.6], {"gain": 0.01}, None),
        ([0.6, None, None, None, 0.5], {}, None),
        ([None, None, None], {}, None),
        ([0.6, None, 0.5, None, 0.5], {}, (1, 5)),
        ([0.6, 0.5], {"patience": 1}, (1, 2)),
        # The last round is trained by the time that is known
        ([0.6, 0.5, 0.5], {"rounds": 4}, None),
        ([0.6, 0.5, 0.5], {"rounds": 5}, (1, 3)),
    ],
)
def test_the_end_of_a_curve(aucs, rule, expected):
    assert end_of(aucs, **rule) == expected


def test_without_a_rule_a_training_has_every_round():
    assert find_early_end(Federation(rounds=50), enumerate([0.5] * 40, start=1)) is None


@given(
    st.lists(st.floats(0, 1), max_size=40),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05]),
    st.integers(0, 5),
)
def test_the_rule_is_that_of_a_loop_that_looks_back(aucs, patience, gain, more):
    """The same by another route: after each round, the last mark of all marks so far is looked up."""
    expected = None
    marks = []
    for number, auc in enumerate(aucs, start=1):
        if not marks or auc > aucs[marks[-1] - 1] + gain:
            marks.append(number)
        elif number - marks[-1] == patience:
            expected = (marks[-1], number)
            break

    assert end_of(aucs, patience=patience, gain=gain, rounds=100) == expected
    if expected is not None:
        # What comes later changes nothing
        assert end_of([*aucs, *np.ones(more)], patience=patience, gain=gain, rounds=100) == expected
