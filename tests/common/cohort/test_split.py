from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from common.cohort.split import Fractions, Split, adopt_split, draw_split


def cohort(positives: int, negatives: int) -> tuple[list[str], list[bool]]:
    names = [f"p{i:04d}" for i in range(positives + negatives)]
    return names, [i < positives for i in range(positives + negatives)]


def positives_in(part, positives: int) -> int:
    return sum(int(name[1:]) < positives for name in part)


def test_the_papers_numbers():
    # Ning et al. 2025: 556 patients with 169 expansions -> 389 with 118 and 167 with 51
    split = draw_split(*cohort(169, 387), Fractions(0.7, 0), seed=1)

    assert (len(split.train), len(split.validation), len(split.test)) == (389, 0, 167)
    assert (positives_in(split.train, 169), positives_in(split.test, 169)) == (118, 51)


@pytest.mark.parametrize(
    ("positives", "negatives", "fractions", "sizes", "expanded"),
    [
        # 7 of 10, exactly: 0.7 * 10 must not become 6.999...
        (5, 5, Fractions(0.7, 0), (7, 0, 3), (4, 0, 1)),
        # 0.7 of 15 is 10.5 and rounds up, though the float 0.7 is a little less
        (5, 10, Fractions(0.7, 0), (11, 0, 4), (4, 0, 1)),
        (10, 20, Fractions(0.7, 0.2), (17, 4, 9), (6, 1, 3)),
        # every part keeps both classes where rounding alone would take the only positive away
        (2, 40, Fractions(0.9, 0), (37, 0, 5), (1, 0, 1)),
        (3, 30, Fractions(0.7, 0.2), (18, 5, 10), (1, 1, 1)),
    ],
)
def test_sizes_by_hand(positives, negatives, fractions, sizes, expanded):
    split = draw_split(*cohort(positives, negatives), fractions, seed=3)

    parts = (split.train, split.validation, split.test)
    assert tuple(map(len, parts)) == sizes
    assert tuple(positives_in(part, positives) for part in parts) == expanded


@given(
    st.tuples(st.integers(3, 40), st.integers(3, 40)),
    st.builds(Fractions, st.floats(0.05, 0.95), st.floats(0, 0.9)),
    st.integers(0, 2**62),
    st.randoms(use_true_random=False),
)
def test_everybody_once_in_any_order_and_both_classes_everywhere(classes, fractions, seed, shuffler):
    names, outcomes = cohort(*classes)
    split = draw_split(names, outcomes, fractions, seed)

    parts = [part for part in (split.train, split.validation, split.test) if part]
    assert sorted(sum(parts, ())) == names
    assert len(parts) == (3 if fractions.validation else 2)
    for part in parts:
        assert list(part) == sorted(part)
        assert 0 < positives_in(part, classes[0]) < len(part)

    pairs = list(zip(names, outcomes, strict=True))
    shuffler.shuffle(pairs)
    assert draw_split(*map(list, zip(*pairs, strict=True)), fractions, seed) == split


@given(st.integers(8, 60), st.integers(8, 60), st.floats(0.3, 0.7))
def test_shares_are_met_within_one_patient(positives, negatives, training):
    split = draw_split(*cohort(positives, negatives), Fractions(training, 0), seed=0)

    assume(training * min(positives, negatives) >= 2)
    assert abs(len(split.train) - training * (positives + negatives)) <= 0.5 + 1e-9
    assert abs(positives_in(split.train, positives) - training * positives) < 1


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    names, outcomes = cohort(40, 60)
    splits = [draw_split(names, outcomes, Fractions(), seed) for seed in range(20)]

    assert len(set(splits)) == 20
    assert splits[7] == draw_split(names, outcomes, Fractions(), 7)


def test_the_split_of_a_seed_never_changes():
    # Frozen when written: a change here changes every published study.
    split = draw_split(*cohort(4, 6), Fractions(0.7, 0.2), seed=2025)

    assert split.test == ("p0000", "p0005", "p0009")
    assert split.validation == ("p0003", "p0007")


def test_everybody_is_as_likely_to_be_tested():
    names, outcomes = cohort(12, 18)
    tested = Counter(
        name for seed in range(1000) for name in draw_split(names, outcomes, Fractions(0.7, 0), seed).test
    )

    shares = [binomtest(tested[name], 1000, 0.3 if i >= 12 else 1 / 3).pvalue for i, name in enumerate(names)]
    assert min(shares) > 0.05 / 30 / 100
    assert np.mean(list(tested.values())) == pytest.approx(300)


def test_one_patient_more_moves_few():
    names, outcomes = cohort(60, 90)
    before = draw_split(names, outcomes, Fractions(0.7, 0), seed=5)
    after = draw_split([*names, "new"], [*outcomes, False], Fractions(0.7, 0), seed=5)

    assert len(set(before.train) ^ set(after.train)) <= 3


def test_the_part_of_a_patient():
    split = draw_split(*cohort(10, 10), Fractions(), seed=1)

    assert {split.part_of(name) for name in split.validation} == {"validation"}
    assert (split.part_of(split.train[0]), split.part_of(split.test[0])) == ("train", "test")
    with pytest.raises(KeyError):
        split.part_of("stranger")


@pytest.mark.parametrize("validation", [0.2, 0])
@pytest.mark.parametrize(("rare", "trained", "tested"), [(0, 0, 0), (1, 1, 0), (2, 1, 1)])
@pytest.mark.parametrize("rare_expands", [True, False])
def test_a_class_without_a_patient_for_each_part_trains_first_and_is_tested_next(
    validation, rare, trained, tested, rare_expands
):
    common = 40
    names, outcomes = cohort(*((rare, common) if rare_expands else (common, rare)))
    members = {name for name, outcome in zip(names, outcomes, strict=True) if outcome == rare_expands}

    split = draw_split(names, outcomes, Fractions(0.7, validation), seed=1)

    found = [len(members & set(part)) for part in (split.train, split.validation, split.test)]
    assert found == [trained, 0, tested]
    assert sorted(split.train + split.validation + split.test) == names
    assert len(split.test) - tested == 12
    assert len(split.validation) == (6 if validation else 0)


@pytest.mark.parametrize("patients", range(4))
def test_a_handful_of_one_class_is_divided(patients):
    split = draw_split(*cohort(0, patients), Fractions(), seed=1)

    sizes = {0: (0, 0, 0), 1: (1, 0, 0), 2: (1, 0, 1), 3: (1, 1, 1)}
    assert (len(split.train), len(split.validation), len(split.test)) == sizes[patients]


def test_two_patients_of_one_name_are_refused():
    with pytest.raises(ValueError, match="unique"):
        draw_split(["a", "a"], [True, False], Fractions(), 1)
    with pytest.raises(ValueError, match="one outcome for each"):
        draw_split(["a", "b"], [True], Fractions(), 1)


@pytest.mark.parametrize("fractions", [(0, 0.2), (1, 0.2), (0.7, 1), (0.7, -0.1), (float("nan"), 0)])
def test_senseless_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match="fraction"):
        Fractions(*fractions)


# Made beforehand


def test_a_given_split_is_taken_as_it_is():
    split = adopt_split(
        ["d", "c", "b", "a", "e"],
        [True, False, True, False, True],
        ["train", "train", "test", "test", "validation"],
    )

    assert split == Split(train=("c", "d"), validation=("e",), test=("a", "b"))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("train", "train", "train", "train"), Split(("a", "b", "c", "d"), (), ())),
        (("test", "test", "test", "test"), Split((), (), ("a", "b", "c", "d"))),
        (("train", "train", "test", "train"), Split(("a", "b", "d"), (), ("c",))),
        (("train", "validation", "test", "test"), Split(("a",), ("b",), ("c", "d"))),
    ],
)
def test_a_given_split_may_lack_a_class_or_everybody_in_a_part(parts, expected):
    assert adopt_split("abcd", [True, False, True, False], parts) == expected


def test_a_given_split_names_everybody_once():
    with pytest.raises(ValueError, match="unique"):
        adopt_split("aa", [True, False], ["train", "test"])
    with pytest.raises(ValueError, match="one part for each"):
        adopt_split("ab", [True, False], ["train"])
