from __future__ import annotations

import numpy as np
import pytest

from common.stats.covariates import RARE_CELL, RARE_PAIR, Model, Term, count_cells, judge_cells
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

    assert cells[:, :2].tolist() == [[0, 0], [1, 2], [0, 2], [1, 1]]
    assert cells[:, 2:].tolist() == [[0, 0, 0, 0], [0, 3, 1, 2], [0, 1, 2, 0], [0, 2, 0, 2]]


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
