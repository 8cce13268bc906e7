from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common.stats.moments import moments_of, power_sums
from common.stats.recording_grid import RecordingGrid
from common.stats.tests import (
    are_both_normal,
    compare_categorical,
    compare_continuous,
    mann_whitney,
    normality,
    student,
    welch,
)

GRAMS = RecordingGrid(low=0, resolution=1, bins=6000)


def moments(values, grid=GRAMS):
    numbers = np.asarray(values, dtype=float)
    return moments_of(numbers.size, power_sums(numbers, grid), grid)


@pytest.fixture(scope="module")
def birthwt(rows):
    return {
        name: np.array([float(row[name]) for row in rows("tables/birthwt.csv")])
        for name in ("low", "age", "lwt", "race", "smoke", "ht", "ui", "bwt")
    }


@pytest.mark.parametrize("name", ["age", "lwt", "bwt"])
def test_continuous_equals_r(name, birthwt, reference):
    expected = reference("tables/tables.csv")
    one, zero = birthwt[name][birthwt["low"] == 1], birthwt[name][birthwt["low"] == 0]
    first, second = GRAMS.histogram(one), GRAMS.histogram(zero)

    assert student(moments(one), moments(zero)).statistic == pytest.approx(
        expected[f"{name}.student.t"], rel=1e-10
    )
    assert student(moments(one), moments(zero)).p == pytest.approx(expected[f"{name}.student.p"], rel=1e-9)
    result = welch(moments(one), moments(zero))
    assert result.statistic == pytest.approx(expected[f"{name}.welch.t"], rel=1e-10)
    assert result.degrees_of_freedom == pytest.approx(expected[f"{name}.welch.df"], rel=1e-10)
    assert result.p == pytest.approx(expected[f"{name}.welch.p"], rel=1e-9)
    assert mann_whitney(first, second).statistic == expected[f"{name}.mwu.u"]
    assert mann_whitney(first, second).p == pytest.approx(expected[f"{name}.mwu.p"], rel=1e-10)
    corrected = mann_whitney(first, second, continuity=True)
    assert corrected.p == pytest.approx(expected[f"{name}.mwu.corrected"], rel=1e-10)


@pytest.mark.parametrize(
    ("name", "kind"), [("race", "pearson"), ("smoke", "pearson"), ("ht", "yates"), ("ui", "pearson")]
)
def test_categorical_equals_r(name, kind, birthwt, reference):
    values = np.unique(birthwt[name])
    table = np.array([[np.sum((birthwt[name] == v) & (birthwt["low"] == g)) for g in (0, 1)] for v in values])

    result = compare_categorical(table)

    assert kind in result.method.lower()
    assert result.p == pytest.approx(reference("tables/tables.csv")[f"{name}.{kind}"], rel=1e-10)


def source_tables(rows):
    """The tables that the paper's Table 1 prints, by variable and cohort, with the printed p."""
    tables, printed = defaultdict(list), {}
    for row in rows("paper/table1.csv"):
        if row["kind"] != "categorical":
            continue
        key = (row["variable"], row["cohort"])
        if row["p_printed"]:
            printed[key] = (row["p_operator"], float(row["p_value"]))
        if row["rhe_count"]:
            tables[key].append((int(row["nonrhe_count"]), int(row["rhe_count"])))
            if row["level"] != "" and row["variable"] == "Location":
                continue
            tables[key].append(
                (int(row["n_nonrhe"]) - int(row["nonrhe_count"]), int(row["n_rhe"]) - int(row["rhe_count"]))
            )
    return {key: (np.array(tables[key]), *printed[key]) for key in printed}


def agrees(p, operator, value):
    return p < value if operator == "<" else abs(p - value) <= 0.0005 + 1e-12


def test_all_57_categorical_p_values_of_the_source(rows):
    cases = source_tables(rows)

    assert len(cases) == 57
    assert [
        key for key, (table, *printed) in cases.items() if not agrees(compare_categorical(table).p, *printed)
    ] == []


def test_one_patient_more_and_the_row_no_longer_agrees(rows):
    table, *printed = source_tables(rows)["Diabetes mellitus", "training"]

    assert not agrees(compare_categorical(np.add(table, [[0, 1], [0, -1]])).p, *printed)


def test_age_p_values_of_the_source_are_students(rows):
    for row in rows("paper/table1.csv"):
        if row["variable"] != "Age":
            continue
        groups = [
            (int(row[f"n_{g}"]), float(row[f"{g}_centre"]), float(row[f"{g}_spread"]))
            for g in ("rhe", "nonrhe")
        ]
        # Mean and SD are printed to two decimals: the p of their centre must agree within that rounding.
        pair = [moments_with(*group) for group in groups]
        assert (
            student(*pair).p < 0.001
            if row["p_operator"] == "<"
            else (abs(student(*pair).p - float(row["p_value"])) < 0.0015)
        )


def moments_with(n, mean, sd):
    base = np.arange(n) - (n - 1) / 2
    grid = RecordingGrid(low=-1000, resolution=0.001, bins=2_000_001)
    return moments(mean + base / base.std(ddof=1) * sd, grid)


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=30),
    st.lists(st.integers(0, 12), min_size=2, max_size=30),
)
def test_equals_scipy_on_any_values(one, zero):
    grid = RecordingGrid(0, 1, 13)
    result = mann_whitney(grid.histogram(np.array(one)), grid.histogram(np.array(zero)))
    if len({*one, *zero}) == 1:
        assert (result.p, result.statistic) == (1.0, len(one) * len(zero) / 2)
        return
    expected = stats.mannwhitneyu(one, zero, method="asymptotic", use_continuity=False)
    assert result.statistic == expected.statistic
    assert result.p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_normality_equals_scipy(seed):
    random = np.random.default_rng(seed)
    values = random.gamma(1 + 3 * seed, size=20 + 30 * seed).round(2) * 100

    assert normality(moments(values)) == pytest.approx(stats.normaltest(values).pvalue, rel=1e-7)


def test_choice_of_test():
    random = np.random.default_rng(0)
    normal, skewed = random.normal(3000, 300, 60).round(), random.exponential(500, 60).round()

    def choose(one, zero, test="auto"):
        return compare_continuous(
            (moments(one), moments(zero)), (GRAMS.histogram(one), GRAMS.histogram(zero)), test
        ).method

    assert choose(normal, normal + 10) == "Welch t"
    assert choose(normal, skewed) == choose(normal[:19], normal) == "Mann-Whitney U"
    assert choose(skewed, skewed, "student") == "Student t"
    assert choose(skewed, skewed, "welch") == "Welch t"
    assert not are_both_normal(moments(skewed), moments(normal))


@pytest.mark.parametrize(
    ("table", "method"),
    [
        ([[10, 10], [10, 10]], "Pearson chi-squared"),
        ([[4, 6], [40, 40]], "Yates chi-squared"),
        ([[4, 6], [20, 9]], "Fisher exact"),
        ([[1, 0], [60, 60]], "Fisher exact"),
        ([[4, 6], [40, 40], [30, 20]], "Pearson chi-squared"),
    ],
)
def test_categorical_rule(table, method):
    assert compare_categorical(np.array(table)).method == method


def test_larger_tables_say_when_expected_counts_are_small():
    assert "20%" in compare_categorical(np.array([[1, 2], [2, 1], [50, 60]])).note
    assert compare_categorical(np.array([[10, 20], [20, 10], [50, 60]])).note == ""


def test_empty_levels_are_dropped():
    with_empty = compare_categorical(np.array([[10, 20], [0, 0], [30, 9]]))

    assert with_empty == compare_categorical(np.array([[10, 20], [30, 9]]))


@pytest.mark.parametrize("table", [[[10, 20], [0, 0]], [[10, 0], [20, 0]], [[0, 0], [0, 0]]])
def test_single_level_has_no_test(table):
    assert compare_categorical(np.array(table)).status.kind == "undefined"


def test_degenerate_groups_have_no_test():
    constant, empty, single = moments([5.0] * 20), moments([]), moments([5.0])

    for result in (
        student(constant, constant),
        welch(constant, constant),
        student(empty, constant),
        student(single, empty),
        student(single, single),
        welch(single, constant),
        mann_whitney(GRAMS.histogram(np.empty(0)), GRAMS.histogram(np.ones(3))),
    ):
        assert (result.p, result.status.kind) == (None, "undefined")
    assert normality(constant) is None
