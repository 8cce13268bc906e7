from __future__ import annotations

import numpy as np
import pytest

from common.stats.covariates import (
    RARE_CELL,
    RARE_NUMBER,
    RARE_PAIR,
    Model,
    Term,
    count_cells,
    judge_cells,
)
from common.stats.estimate import OK
from common.stats.minima import SIMULATION, STANDARD

AGE, SMOKER, PLACE = Term("age", (0,)), Term("smoker", (1,), binary=True), Term("place", (2, 3), binary=True)
MODEL = Model((AGE, SMOKER, PLACE))


def judge(matrix, labels, model=MODEL, minima=STANDARD):
    (cells,) = count_cells(matrix, labels, [model])
    return judge_cells(np.array([(~labels).sum(), labels.sum()]), cells, model, minima)


def lay_out(table):
    """Patients by smoking (rows: yes, no) and place (first, second, reference), half with the outcome."""
    rows = [
        [50.0, smokes, place == 0, place == 1]
        for smokes, of_place in zip((1, 0), table, strict=True)
        for place, number in enumerate(of_place)
        for _ in range(number)
    ]
    return np.array(rows, dtype=np.float64), np.arange(len(rows)) % 2 == 0


def test_patients_are_counted_by_two_levels():
    matrix = np.array(
        [[50, 1, 1, 0], [60, 1, 0, 1], [70, 1, 0, 1], [80, 0, 1, 0], [np.nan, 1, 1, 0]], dtype=np.float64
    )
    labels = np.array([True, False, True, True, True])

    (cells,) = count_cells(matrix, labels, [MODEL])

    assert cells[:, :2].tolist() == [[1, 3], [1, 2], [0, 2], [1, 1]]
    assert cells[:, 2:].tolist() == [[4, 3, 2, 2], [3, 3, 1, 2], [2, 1, 2, 0], [2, 2, 0, 2]]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[12, 12, 12], [12, 12, 12]], OK),
        ([[0, 24, 12], [24, 12, 12]], OK),
        ([[5, 24, 12], [24, 12, 12]], OK),
        ([[1, 24, 12], [24, 12, 12]], RARE_PAIR),
        ([[12, 24, 12], [24, 4, 12]], RARE_PAIR),
        ([[12, 24, 1], [24, 12, 12]], RARE_PAIR),
        ([[12, 24, 12], [24, 12, 1]], RARE_PAIR),
        ([[1, 1, 1], [24, 24, 24]], RARE_CELL),
    ],
)
def test_no_cell_of_two_covariates_may_be_small(table, expected):
    """Neither of two levels, nor of one with the reference level, which follows by subtraction."""
    assert judge(*lay_out(table)) == expected
    assert judge(*lay_out(table), minima=SIMULATION) == OK


def test_a_plan_may_accept_few_patients_of_two_levels_but_not_of_one():
    def accept(table):
        matrix, labels = lay_out(table)
        (cells,) = count_cells(matrix, labels, [MODEL])
        classes = np.array([(~labels).sum(), labels.sum()])
        return judge_cells(classes, cells, MODEL, STANDARD, accept_rare_pairs=True)

    assert accept([[1, 24, 12], [24, 12, 12]]) == OK
    assert accept([[1, 1, 1], [24, 24, 24]]) == RARE_CELL


def test_levels_of_one_covariate_exclude_each_other():
    matrix, labels = lay_out([[12, 12, 12], [12, 12, 12]])

    assert judge(matrix, labels, Model((PLACE,))) == OK


def test_models_of_unequal_width_are_counted_together():
    matrix, labels = lay_out([[1, 24, 12], [24, 12, 12]])
    narrow = Model((SMOKER,))

    cells = count_cells(matrix, labels, [narrow, MODEL])

    classes = np.array([(~labels).sum(), labels.sum()])
    assert judge_cells(classes, cells[0], narrow, STANDARD) == OK
    assert judge_cells(classes, cells[1], MODEL, STANDARD) == RARE_PAIR


def have_volume(holders, *, usual=0.0, smokers=0):
    """120 patients, half with the outcome: so many of each outcome, and so many smokers, have bled."""
    random = np.random.default_rng(0)
    matrix = np.stack([random.normal(60, 10, 120), np.arange(120) // 4 % 2, np.full(120, usual)], axis=1)
    labels = np.arange(120) % 2 == 0
    for outcome, number in zip((False, True), holders, strict=True):
        chosen = np.flatnonzero((labels == outcome) & (matrix[:, 1] == 0))[:number]
        matrix[chosen, 2] = random.gamma(2, 5, number)
    matrix[np.flatnonzero(matrix[:, 1] == 1)[:smokers], 2] = random.gamma(2, 5, smokers)
    return matrix, labels


VOLUME = Term("volume", (2,))


@pytest.mark.parametrize("usual", [0.0, 15.0, 1.1])
@pytest.mark.parametrize(
    ("holders", "expected"),
    [((0, 1), RARE_NUMBER), ((4, 30), RARE_NUMBER), ((0, 0), OK), ((5, 5), OK), ((30, 30), OK)],
)
def test_no_number_may_be_usual_in_all_but_a_few(holders, usual, expected):
    """Whatever the usual value is, it may be subtracted: what is left of the sums is of those few."""
    for terms in ((VOLUME,), (AGE, VOLUME)):
        assert judge(*have_volume(holders, usual=usual), Model(terms)) == expected
        assert judge(*have_volume(holders, usual=usual), Model(terms), SIMULATION) == OK


@pytest.mark.parametrize(("smokers", "expected"), [(0, OK), (1, RARE_PAIR), (4, RARE_PAIR), (5, OK)])
def test_few_may_not_have_a_level_and_an_unusual_number(smokers, expected):
    assert judge(*have_volume((20, 20), smokers=smokers), Model((SMOKER, VOLUME))) == expected
    assert judge(*have_volume((20, 20), smokers=smokers), Model((VOLUME, SMOKER))) == expected


def test_few_may_not_have_the_reference_level_and_an_unusual_number():
    matrix, labels = have_volume((20, 20), smokers=1)
    matrix[:, 1] = 1 - matrix[:, 1]

    assert judge(matrix, labels, Model((SMOKER, VOLUME))) == RARE_PAIR


def test_few_may_not_have_two_unusual_numbers():
    matrix, labels = have_volume((20, 20))
    matrix[:, 1] = 0
    matrix[np.flatnonzero(matrix[:, 2] == 0)[:20], 1] = np.arange(1, 21)
    assert judge(matrix, labels, Model((VOLUME, Term("other", (1,))))) == OK

    matrix[np.flatnonzero(matrix[:, 2] != 0)[0], 1] = 7

    assert judge(matrix, labels, Model((VOLUME, Term("other", (1,))))) == RARE_PAIR


def test_ordinary_numbers_are_of_everybody():
    matrix, labels = have_volume((0, 0))

    (cells,) = count_cells(matrix, labels, [Model((AGE,))])

    assert cells.tolist() == [[60, 60, 120]]


def test_a_patient_who_is_alone_at_a_site_has_no_usual_number():
    model, labels = Model((VOLUME,)), np.array([True])

    (cells,) = count_cells(np.array([[60.0, 0.0, 3.7]]), labels, [model])

    assert cells.tolist() == [[0, 1, 1]]
