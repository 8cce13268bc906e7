"""Folds that are stratified within sites, and how many of them the patients carry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.stats.folds import choose_folds, deal_folds, find_members, list_numbers
from common.stats.minima import SIMULATION, STANDARD


def name_patients(n):
    return [f"P{number:04d}" for number in range(n)]


def count_classes(members, labels):
    return np.stack([(members & ~labels).sum(axis=1), (members & labels).sum(axis=1)], axis=1)


def count_over_sites(seed, sites, planned=10, fewest=3):
    """Pooled classes of all folds of all numbers; `sites` are arrays of outcomes."""
    numbers = list_numbers(planned, fewest)
    counted = 0
    for place, labels in enumerate(sites):
        site, patients = f"site{place}", name_patients(len(labels))
        dealt = [deal_folds(seed, site, patients, labels, number) for number in numbers]
        counted = counted + count_classes(find_members(dealt, numbers), labels)
    return counted


def spread(seed, negatives, positives, sites):
    """Outcomes by site, of unequal sizes."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(negatives + positives) < positives)
    shares = random.dirichlet(np.full(sites, 3.0))
    return np.split(labels, np.floor(np.cumsum(shares)[:-1] * len(labels)).astype(int))


@pytest.mark.parametrize("sites", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("negatives", "positives", "expected"), [(271, 118, 10), (153, 118, 10), (160, 80, 10), (80, 80, 7)]
)
def test_the_paper_s_patients_carry_a_cross_validation_for_every_seed(negatives, positives, sites, expected):
    """Hashed one by one, ten folds passed for 118 and 271 with probability .93, for 80 and 160 with .04."""
    found = [
        choose_folds(count_over_sites(seed, spread(seed, negatives, positives, sites)), 10, 3)
        for seed in range(40)
    ]

    assert all(choice.status.ok for choice in found)
    # As many as possible, less what the remainders of several sites cost.
    assert np.mean([choice.number >= expected - (sites > 3) for choice in found]) > 0.95
    for choice in found:
        assert choice.classes.sum(axis=1).min() >= 20
        assert choice.classes.min() >= 5
        assert choice.classes.sum() == negatives + positives


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(2, 20), st.integers(0, 2**31), st.randoms())
def test_at_a_site_folds_differ_by_one_patient_and_by_one_of_each_class(outcomes, n_folds, seed, random):
    labels = np.array(outcomes, dtype=bool)
    patients = name_patients(len(labels))

    folds = deal_folds(seed, "a", patients, labels, n_folds)

    for who in (labels, ~labels, np.ones_like(labels)):
        sizes = np.bincount(folds[who], minlength=n_folds)
        assert sizes.size == n_folds
        assert np.ptp(sizes) <= 1
    # The order of the table does not matter.
    order = list(range(len(labels)))
    random.shuffle(order)
    again = deal_folds(seed, "a", [patients[i] for i in order], labels[order], n_folds)
    assert again.tolist() == folds[order].tolist()


def test_folds_depend_on_seed_and_site():
    labels, patients = np.arange(200) % 3 == 0, name_patients(200)
    first = deal_folds(7, "a", patients, labels, 5)

    assert (first == deal_folds(7, "a", patients, labels, 5)).all()
    for other in (deal_folds(8, "a", patients, labels, 5), deal_folds(7, "b", patients, labels, 5)):
        # By chance a fifth of the patients is in the same fold.
        assert (first == other).mean() < 0.4


def test_remainders_of_sites_do_not_all_fall_into_the_same_folds():
    """Twenty sites with three patients each: were all dealt from fold 0 on, seven of ten folds were empty."""
    sites = [np.array([True, False, False])] * 20

    classes = count_over_sites(3, sites, planned=10, fewest=10)

    assert classes.sum(axis=1).min() > 0


def test_the_largest_number_that_is_carried_is_chosen_and_the_reason_said():
    labels = np.arange(90) < 30
    choice = choose_folds(count_over_sites(1, [labels]), 10, 3)

    # 90 patients: 22 or 23 in each of four folds, 18 in each of five.
    assert (choice.number, choice.planned) == (4, 10)
    assert choice.why == "of 5 or more, one would have fewer than 20 patients or 5 of a class"
    assert choose_folds(count_over_sites(1, [labels], planned=4), 4, 3).why == ""


def test_too_few_carry_none_and_the_reason_is_said():
    few_patients, few_positives = np.arange(59) < 30, np.arange(500) < 14

    for labels in (few_patients, few_positives):
        choice = choose_folds(count_over_sites(1, [labels]), 10, 3)

        assert (choice.number, choice.status.kind, choice.classes.size) == (0, "suppressed", 0)
        assert "fewer than 20 patients or 5 of a class, even with 3 folds" in choice.status.reason


def test_simulated_patients_need_one_of_each_class_in_a_fold():
    labels = np.arange(40) < 6

    assert choose_folds(count_over_sites(1, [labels]), 10, 3, SIMULATION).number == 6
    assert choose_folds(count_over_sites(1, [labels]), 10, 3, STANDARD).number == 0


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="do not belong together"):
        deal_folds(1, "a", ["P1", "P2"], np.array([True]), 3)
    with pytest.raises(ValueError, match="7 folds counted, 52 asked for"):
        choose_folds(np.ones((7, 2), dtype=np.int64), 10, 3)
