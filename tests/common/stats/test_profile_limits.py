"""Profile penalised-likelihood intervals: R's, a direct search's, and never at odds with P."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from common.stats.contract import total
from common.stats.covariates import Model, Term, local_setup
from common.stats.glm import fit
from common.stats.minima import REPLICATION, SIMULATION
from common.stats.newton import local_newton
from common.stats.profile_limits import DROP, PROFILE

EXPOSED = Model((Term("x", (0,), binary=True),))


def fit_over(matrix, labels, model, sites=None, minima=SIMULATION):
    """The fit over sites, and how many rounds of messages it took."""
    parts = [(matrix[site], labels[site]) for site in (sites or [np.arange(len(labels))])]
    asked = []

    def ask(problem, query):
        asked.append(query)
        return total(local_newton(x, y, problem, query) for x, y in parts)

    (result,) = fit(ask, total(local_setup(x, y, (model,)) for x, y in parts), (model,), minima)
    return result, len(asked)


def table(a, b, c, d):
    """Covariate and outcome of a table: exposed with and without the outcome, unexposed with and without."""
    exposed = np.repeat([1.0, 1.0, 0.0, 0.0], [a, b, c, d])[:, np.newaxis]
    return exposed, np.repeat([True, False, True, False], [a, b, c, d])


@pytest.fixture(scope="module")
def designs(rows):
    """Each design of profile.R: columns, outcome and model."""
    birth = rows("tables/birthwt.csv")
    column = {name: np.array([float(row[name]) for row in birth]) for name in birth[0]}
    low = column["low"] == 1
    sign = ~low & (column["age"] > 30)
    lone = [np.arange(len(low)) == np.flatnonzero(low == bool(case))[4] for case in (0, 1)]
    race = [column["race"] == level for level in (2, 3)]
    tumours = rows("glm/endometrial.csv")
    tumour = {name: np.array([float(row[name]) for row in tumours]) for name in tumours[0]}

    def design(outcome, *terms):
        built, columns = [], []
        for name, values, binary in terms:
            built.append(Term(name, tuple(range(len(columns), len(columns) + len(values))), binary))
            columns += values
        return np.column_stack(columns).astype(np.float64), outcome, Model(tuple(built))

    adjusted = (("lwt", [column["lwt"]], False), ("smoke", [column["smoke"]], True))
    return {
        "endometrial": design(
            tumour["HG"] == 1, ("NV", [tumour["NV"]], True), *((n, [tumour[n]], False) for n in ("PI", "EH"))
        ),
        "sign": design(low, ("sign", [sign], True), ("lwt", [column["lwt"]], False)),
        "race": design(low, ("sign", [sign], True), ("race", race, True), ("smoke", [column["smoke"]], True)),
        **{f"lone{case}": design(low, ("lone", [lone[case]], True)) for case in (0, 1)},
        **{f"lone{case}.adjusted": design(low, ("lone", [lone[case]], True), *adjusted) for case in (0, 1)},
        "ordered": design(column["lwt"] > 130, ("z", [(column["lwt"] - 130) / 10], False)),
    }


NAMES = ("endometrial", "sign", "race", "lone0", "lone1", "lone0.adjusted", "lone1.adjusted", "ordered")


@pytest.mark.parametrize("name", NAMES)
def test_estimates_limits_and_p_are_those_of_r_over_any_sites(designs, reference, federations, name):
    expected = reference("glm/profile.csv")
    matrix, labels, model = designs[name]

    for sites in federations(labels):
        result, rounds = fit_over(matrix, labels, model, sites, REPLICATION)

        assert (result.method, result.status.ok) == ("Firth", True)
        assert result.log_likelihood == pytest.approx(expected[f"{name}.ll"], rel=1e-10)
        # First the likelihood of a model separated by a number alone
        assert rounds <= (45 if name == "ordered" else 40)
        for coefficient in result.coefficients:
            number = coefficient.column
            term = f"race{number + 1}" if coefficient.term == "race" else coefficient.term
            beta, error, p, low, high = (
                expected[f"{name}.{term}.{what}"] for what in ("beta", "se", "p", "low", "high")
            )
            assert coefficient.log_odds == pytest.approx(beta, abs=2e-8 * error)
            assert coefficient.standard_error == pytest.approx(error, rel=1e-6)
            assert coefficient.p == pytest.approx(p, rel=1e-6)
            assert coefficient.limits == pytest.approx((low, high), abs=1e-6 * error)
            assert coefficient.interval.method == PROFILE
            assert (coefficient.interval.low, coefficient.interval.high) == pytest.approx(
                tuple(np.exp([low, high])), rel=1e-5
            )


def test_endometrial_cancer_as_logistf_prints_it(designs):
    """`logistf(HG ~ NV + PI + EH)`: Heinze and Schemper 2002, example; digits of logistf 1.24."""
    result, _ = fit_over(*designs["endometrial"], minima=REPLICATION)

    printed = {
        "NV": (2.92927330, 0.6097244, 7.85463171),
        "PI": (-0.03475175, -0.1244587, 0.04045547),
        "EH": (-2.60416387, -4.3651832, -1.23272106),
    }
    for coefficient in result.coefficients:
        beta, low, high = printed[coefficient.term]
        assert coefficient.log_odds == pytest.approx(beta, abs=1e-6)
        assert coefficient.limits == pytest.approx((low, high), abs=1e-6)


def agree_on_zero(coefficient):
    """Whether P and interval say the same of no association."""
    low, high = coefficient.limits
    return (coefficient.p < 0.05) == (not low <= 0 <= high)


SIZES = (0, 1, 2, 7, 90)
DEGENERATE = [
    cells
    for cells in itertools.product(SIZES, repeat=4)
    if 0 in cells and min(cells[0] + cells[1], cells[2] + cells[3], cells[0] + cells[2], cells[1] + cells[3])
]


def test_p_and_interval_of_every_degenerate_table_agree():
    """A zero cell, down to one exposed patient; the estimate adds 1/2 to each cell (Heinze & Schemper)."""
    assert len(DEGENERATE) == 288
    rounds = []
    for a, b, c, d in DEGENERATE:
        result, asked = fit_over(*table(a, b, c, d), EXPOSED)
        rounds.append(asked)

        assert result.method == "Firth", (a, b, c, d)
        (coefficient,) = result.coefficients
        half = np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
        assert coefficient.log_odds == pytest.approx(half, abs=1e-7), (a, b, c, d)
        assert np.isfinite(coefficient.limits).all(), (a, b, c, d)
        assert coefficient.limits[0] < half < coefficient.limits[1], (a, b, c, d)
        assert agree_on_zero(coefficient), (a, b, c, d)
    assert max(rounds) <= 25
    assert np.mean(rounds) < 17


def penalised(beta, x, y):
    eta = x @ beta
    p = special.expit(eta)
    information = (x.T * (p * (1 - p))) @ x
    return np.sum(y * eta - np.logaddexp(0, eta)) + np.linalg.slogdet(information)[1] / 2


def maximise(x, y):
    """The maximum of the penalised likelihood by scipy, without a gradient."""
    return optimize.minimize(
        lambda beta: -penalised(beta, x, y),
        np.zeros(x.shape[1]),
        method="Powell",
        options={"xtol": 1e-10, "ftol": 1e-14},
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_limits_of_tables_with_a_zero_cell_by_direct_search(seed):
    """Federated over sites, and against scipy's search on the pooled rows."""
    random = np.random.default_rng(seed)
    cells = random.integers(1, 60, 4)
    cells[random.integers(4)] = 0
    a, b, c, d = cells.tolist()
    assume(a + b and c + d and a + c and b + d)
    exposed, labels = table(a, b, c, d)
    sites = np.array_split(random.permutation(len(labels)), int(random.integers(1, 8)))

    result, _ = fit_over(exposed, labels, EXPOSED, sites)

    (coefficient,) = result.coefficients
    assert agree_on_zero(coefficient)
    x = np.column_stack([np.ones(len(labels)), exposed])
    for limit in coefficient.limits:
        centre = result.intercept
        found = optimize.minimize_scalar(
            lambda intercept, slope=limit: -penalised(np.array([intercept, slope]), x, labels),
            bounds=(centre - 12, centre + 12),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert -found.fun == pytest.approx(result.log_likelihood - DROP, abs=1e-7)


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_one_exposed_patient_converges_always(columns):
    """Fisher's scoring runs between two points for ever: that patient's leverage is 1."""
    for seed in range(27):  # 81 data sets in all
        random = np.random.default_rng([columns, seed])
        n = int(random.integers(30, 200))
        lone = np.arange(n) == random.integers(n)
        labels = random.random(n) < random.uniform(0.15, 0.85)
        matrix = np.column_stack([lone, *random.normal(size=(columns, n))]).astype(np.float64)
        model = Model((*EXPOSED.terms, *(Term(f"z{place}", (place + 1,)) for place in range(columns))))

        result, rounds = fit_over(matrix, labels, model, np.array_split(np.arange(n), 3))

        assert (result.method, result.status.ok) == ("Firth", True)
        assert rounds <= 44
        assert all(agree_on_zero(coefficient) for coefficient in result.coefficients)
        if columns == 2 and seed < 8:
            x = np.column_stack([np.ones(n), matrix])
            best = maximise(x, labels)
            assert result.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
            log_odds = [coefficient.log_odds for coefficient in result.coefficients]
            assert log_odds == pytest.approx(best.x[1:], abs=1e-4)


def test_a_saddle_between_two_equal_peaks_is_no_limit():
    """Two patients have another age, as far above as below: age has two peaks beside a sign's limit."""
    age = np.full(36, 2.0)
    age[[2, 18]] = 1, 3
    matrix, labels = np.column_stack([np.arange(36) > 0, age]).astype(np.float64), np.arange(36) > 0
    model = Model((Term("sign", (0,), binary=True), Term("age", (1,))))
    x = np.column_stack([np.ones(36), matrix])

    for shift in (18, 19):
        order = np.roll(np.arange(36), shift)
        result, _ = fit_over(matrix[order], labels[order], model)

        for limit in result.coefficients[0].limits:
            peaks = [
                -optimize.minimize(
                    lambda free, slope=limit: -penalised(np.array([free[0], slope, free[1]]), x, labels),
                    np.array([intercept, start]),
                    method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-12, "maxfev": 4000},
                ).fun
                for intercept in (-4.0, 0.0, 4.0)
                for start in (-2.0, 0.1, 2.0)
            ]
            assert max(peaks) == pytest.approx(result.log_likelihood - DROP, abs=1e-6)


def test_p_and_interval_of_sparse_models_agree():
    """Up to five columns of which some hardly anybody has; a limit may be missing, never contradicts P."""
    coefficients = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        n, columns = int(random.integers(30, 120)), int(random.integers(2, 6))
        matrix = (random.random((n, columns)) < random.choice([0.04, 0.1, 0.4], columns)).astype(np.float64)
        matrix[0] = 1
        labels = random.random(n) < special.expit(matrix @ random.normal(size=columns) * 4 - 1)
        model = Model(tuple(Term(f"x{place}", (place,), binary=True) for place in range(columns)))
        result, _ = fit_over(matrix, labels, model)
        if result.method == "Firth":
            coefficients += result.coefficients

    found = [coefficient for coefficient in coefficients if np.isfinite(coefficient.limits).all()]
    assert len(coefficients) > 100
    assert len(found) >= 0.99 * len(coefficients)
    assert all(agree_on_zero(coefficient) for coefficient in found)


def test_limits_of_many_coefficients_share_their_rounds(birthwt_like):
    """As many steps for six columns as for one, within a few; each takes two rounds."""
    matrix, labels = birthwt_like
    terms = tuple(Term(f"x{place}", (place,), binary=place == 0) for place in range(6))

    alone, few = fit_over(matrix, labels, Model(terms[:1]))
    together, rounds = fit_over(matrix, labels, Model(terms))

    assert (alone.rounds, together.rounds) == (few, rounds)
    assert rounds <= 2 * (few + 6)
    assert [coefficient.interval.method for coefficient in together.coefficients] == [PROFILE] * 6


@pytest.fixture
def birthwt_like():
    random = np.random.default_rng(4)
    matrix = random.normal(size=(160, 6))
    matrix[:, 0] = np.arange(160) < 9
    return matrix, (np.arange(160) >= 9) & (random.random(160) < special.expit(matrix[:, 1]))


def test_a_limit_that_is_not_found_is_no_number(birthwt_like, monkeypatch):
    monkeypatch.setattr("common.stats.profile_limits.MAXIMUM_ROUNDS_LIMITS", 1)
    matrix, labels = birthwt_like

    result, _ = fit_over(matrix, labels, Model((Term("x0", (0,), binary=True),)))

    assert result.status.ok
    assert np.isnan(result.coefficients[0].limits).all()
    assert np.isnan([result.coefficients[0].interval.low, result.coefficients[0].interval.high]).all()


def test_maximum_likelihood_keeps_wald_s_interval():
    random = np.random.default_rng(0)
    result, _ = fit_over(random.normal(size=(90, 1)), np.arange(90) % 3 == 0, Model((Term("x", (0,)),)))

    (coefficient,) = result.coefficients
    half = 1.959963984540054 * coefficient.standard_error
    assert coefficient.interval.method == "Wald"
    assert coefficient.limits == pytest.approx((coefficient.log_odds - half, coefficient.log_odds + half))
