from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from common.stats.contract import total
from common.stats.covariates import Model, Term, local_setup
from common.stats.glm import fit, select_terms
from common.stats.minima import REPLICATION, SIMULATION, STANDARD
from common.stats.newton import local_newton

AGE, LWT, RACE = Term("age", (0,)), Term("lwt", (1,)), Term("race", (2, 3), binary=True)
SMOKE, HT, UI = (Term(name, (column,), binary=True) for name, column in (("smoke", 4), ("ht", 5), ("ui", 6)))
TERMS = (AGE, LWT, RACE, SMOKE, HT, UI)
R_NAMES = {
    "age": ["age"],
    "lwt": ["lwt"],
    "race": ["race2", "race3"],
    "smoke": ["smoke"],
    "ht": ["ht"],
    "ui": ["ui"],
}

# 59 of the 189 children weigh too little.
NULL_LOG_LIKELIHOOD = 59 * np.log(59 / 189) + 130 * np.log(130 / 189)


@pytest.fixture(scope="module")
def birthwt(rows):
    data = rows("tables/birthwt.csv")

    def column(name):
        return np.array([float(row[name]) for row in data])

    race = column("race")
    matrix = np.column_stack(
        [column("age"), column("lwt"), race == 2, race == 3, column("smoke"), column("ht"), column("ui")]
    ).astype(float)
    return matrix, column("low") == 1


def federated(matrix, labels, models, sites=None, minima=REPLICATION):
    parts = [(matrix[site], labels[site]) for site in (sites or [np.arange(len(labels))])]
    setup = total(local_setup(x, y, models) for x, y in parts)
    rounds = []

    def ask(problem, query):
        rounds.append(query)
        return total(local_newton(x, y, problem, query) for x, y in parts)

    return fit(ask, setup, models, minima), len(rounds)


def names_of(result):
    counted = {}
    for coefficient in result.coefficients:
        counted[coefficient.term] = counted.get(coefficient.term, 0) + 1
        yield R_NAMES[coefficient.term][counted[coefficient.term] - 1], coefficient


def test_multivariable_equals_r(birthwt, reference):
    expected = reference("glm/glm.csv")

    (result,), rounds = federated(*birthwt, (Model(TERMS),))

    assert result.status.ok
    assert (result.n_used, result.n_missing, result.method) == (189, 0, "maximum likelihood")
    assert rounds <= 9
    assert result.log_likelihood == pytest.approx(expected["full.ll"], rel=1e-12)
    assert result.intercept == pytest.approx(expected["full.(Intercept).beta"], rel=1e-9)
    for name, coefficient in names_of(result):
        assert coefficient.log_odds == pytest.approx(expected[f"full.{name}.beta"], rel=1e-9)
        assert coefficient.standard_error == pytest.approx(expected[f"full.{name}.se"], rel=1e-9)
        assert coefficient.p == pytest.approx(expected[f"full.{name}.p"], rel=1e-8)
        assert coefficient.p_likelihood_ratio == pytest.approx(
            expected[f"full.{coefficient.term}.lr"], rel=1e-8
        )
        assert coefficient.odds_ratio == pytest.approx(np.exp(coefficient.log_odds))
        limits = coefficient.log_odds + np.array([-1, 1]) * 1.959963984540054 * coefficient.standard_error
        assert (coefficient.interval.low, coefficient.interval.high) == pytest.approx(tuple(np.exp(limits)))
    inflation = {factor.term: factor for factor in result.inflation}
    for name in ("age", "race", "ui"):
        assert inflation[name].value == pytest.approx(expected[f"vif.{name}"], rel=1e-9)
    assert all(factor.comparable <= 5 for factor in result.inflation)


def test_all_univariate_models_in_one_loop_equal_r(birthwt, reference):
    expected = reference("glm/glm.csv")

    results, rounds = federated(*birthwt, tuple(Model((term,)) for term in TERMS))

    assert rounds <= 9
    for result in results:
        for name, coefficient in names_of(result):
            assert coefficient.log_odds == pytest.approx(expected[f"uni.{name}.beta"], rel=1e-9)
            assert coefficient.standard_error == pytest.approx(expected[f"uni.{name}.se"], rel=1e-9)
            ratio = 2 * (result.log_likelihood - NULL_LOG_LIKELIHOOD)
            assert coefficient.p_likelihood_ratio == pytest.approx(
                stats.chi2.sf(ratio, len(result.coefficients))
            )
    assert [term.name for term in select_terms(results)] == [
        term.name for term in TERMS if any(expected[f"uni.{name}.p"] < 0.05 for name in R_NAMES[term.name])
    ]


def test_firth_equals_brglm2(birthwt, reference):
    expected = reference("glm/glm.csv")
    matrix, labels = birthwt
    sign = (~labels & (matrix[:, 0] > 30)).astype(float)
    model = Model((Term("sign", (0,), binary=True), Term("lwt", (1,))))

    (result,), rounds = federated(np.column_stack([sign, matrix[:, 1]]), labels, (model,))

    assert (result.method, result.status.ok) == ("Firth", True)
    assert rounds <= 60
    for coefficient in result.coefficients:
        assert coefficient.log_odds == pytest.approx(expected[f"separated.{coefficient.term}.beta"], rel=1e-8)
        assert coefficient.standard_error == pytest.approx(
            expected[f"separated.{coefficient.term}.se"], rel=1e-8
        )


def test_two_rounds_of_firth_equal_one(birthwt, monkeypatch, federations):
    matrix, labels = birthwt
    sign = (~labels & (matrix[:, 0] > 30)).astype(float)
    data = np.column_stack([sign, matrix[:, 1:]])
    models = (Model((Term("sign", (0,), binary=True), LWT, SMOKE)), Model((Term("sign", (0,), binary=True),)))
    monkeypatch.setattr("common.stats.stack.WIDEST_THIRD", 4)
    once, rounds = federated(data, labels, models)
    monkeypatch.undo()

    for sites in federations(labels):
        twice, more = federated(data, labels, models, sites)
        assert (more, twice[0].rounds) == (2 * rounds, 2 * once[0].rounds)
        for one, two in zip(once, twice, strict=True):
            assert two.method == "Firth"
            assert two.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-12)
            for a, b in zip(one.coefficients, two.coefficients, strict=True):
                assert b.log_odds == pytest.approx(a.log_odds, rel=1e-8)
                assert b.standard_error == pytest.approx(a.standard_error, rel=1e-8)
                assert b.p_likelihood_ratio == pytest.approx(a.p_likelihood_ratio, rel=1e-8)
                assert b.limits == pytest.approx(a.limits, rel=1e-7)


@pytest.mark.parametrize("covariates", [3, 16])
def test_firth_discloses_no_third_moments_of_three_covariates(covariates):
    """The moment of three levels that one patient alone has together would be this patient's."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, covariates))
    x[:, 0] = x[:, 0] > 1
    labels = (x[:, 0] == 0) & (random.random(300) < 0.5)
    asked = []

    def ask(problem, query):
        answer = local_newton(x, labels, problem, query)
        asked.append(set(answer.reals))
        return answer

    model = Model((Term("sign", (0,), binary=True), *(Term(f"x{c}", (c,)) for c in range(1, covariates))))
    (result,) = fit(ask, local_setup(x, labels, (model,)), (model,), REPLICATION)

    assert (result.method, result.status.ok) == ("Firth", True)
    first = frozenset({"score", "information", "log_likelihood"})
    assert {frozenset(names) for names in asked} == {first | {"fourth"}, first, frozenset({"penalty"})}
    assert sum("fourth" in names for names in asked) == 1


def penalised(beta, x, y):
    eta = x @ beta
    p = special.expit(eta)
    information = (x.T * (p * (1 - p))) @ x
    return np.sum(y * eta - np.logaddexp(0, eta)) + np.linalg.slogdet(information)[1] / 2


def test_penalised_likelihood_ratios_by_direct_maximisation(birthwt):
    matrix, labels = birthwt
    sign = (~labels & (matrix[:, 0] > 30)).astype(float)
    race = matrix[:, list(RACE.columns)]
    model = Model((Term("sign", (0,), binary=True), Term("race", (1, 2), binary=True)))
    x = np.column_stack([np.ones(len(labels)), sign, race])

    def best(*left_out):
        free = ~np.isin(np.arange(4), left_out)

        def negative(beta):
            whole = np.zeros(4)
            whole[free] = beta
            return -penalised(whole, x, labels)

        return -optimize.minimize(negative, np.zeros(free.sum()), method="BFGS", options={"gtol": 1e-9}).fun

    (result,), _ = federated(np.column_stack([sign, race]), labels, (model,))

    assert result.method == "Firth"
    for column, coefficient in enumerate(result.coefficients, start=1):
        term = (1,) if column == 1 else (2, 3)
        own, whole = 2 * (best() - best(column)), 2 * (best() - best(*term))
        assert coefficient.p == pytest.approx(stats.chi2.sf(own, 1), rel=1e-4)
        assert coefficient.p_likelihood_ratio == pytest.approx(stats.chi2.sf(whole, len(term)), rel=1e-4)


def test_saturated_firth_adds_half_to_every_cell():
    labels = np.repeat([False, True, False], [40, 30, 12])
    covariate = np.repeat([0.0, 0.0, 1.0], [40, 30, 12])[:, np.newaxis]

    (result,), _ = federated(covariate, labels, (Model((Term("sign", (0,), binary=True),)),))

    assert result.method == "Firth"
    assert result.coefficients[0].log_odds == pytest.approx(np.log(0.5 * 40.5 / (12.5 * 30.5)), rel=1e-8)


def test_federated_equals_pooled(birthwt, federations):
    matrix, labels = birthwt
    matrix = matrix.copy()
    matrix[np.random.default_rng(0).random(189) < 0.1, 1] = np.nan
    models = (Model(TERMS), Model((LWT,)), Model((RACE,)))
    pooled, _ = federated(matrix, labels, models)

    assert pooled[0].n_missing == pooled[1].n_missing == np.isnan(matrix[:, 1]).sum()
    assert pooled[2].n_missing == 0
    for sites in federations(labels):
        results, _ = federated(matrix, labels, models, sites)
        for one, other in zip(results, pooled, strict=True):
            for a, b in zip(one.coefficients, other.coefficients, strict=True):
                assert a.log_odds == pytest.approx(b.log_odds, rel=1e-9, abs=1e-10)
                assert a.standard_error == pytest.approx(b.standard_error, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.floats(-1000, 1000), st.floats(0.01, 100))
def test_any_data_maximises_the_likelihood(seed, columns, shift, scale):
    random = np.random.default_rng(seed)
    z = random.normal(size=(120, columns))
    labels = random.random(120) < special.expit(z.sum(axis=1) - 0.5)
    model = Model(tuple(Term(f"x{column}", (column,)) for column in range(columns)))

    (result,), _ = federated(shift + scale * z, labels, (model,), np.array_split(np.arange(120), 3))

    beta = np.array([c.log_odds for c in result.coefficients]) * scale
    intercept = result.intercept + shift * beta.sum() / scale
    residual = labels - special.expit(intercept + z @ beta)
    assert abs(residual.sum()) < 1e-6
    assert np.abs(z.T @ residual).max() < 1e-6


def table_two_cases(rows):
    """The binary and location rows of Table 2, with the counts of Table 1's training cohort."""
    counts = {
        (row["variable"], row["level"]): (int(row["nonrhe_count"]), int(row["rhe_count"]))
        for row in rows("paper/table1.csv")
        if row["cohort"] == "training" and row["rhe_count"]
    }
    for row in rows("paper/table2.csv"):
        key = (row["variable"], "male" if row["variable"] == "Sex" else row["level"])
        if row["uni_or"] and key in counts:
            yield row, counts


def test_twenty_univariate_rows_of_the_source(rows):
    outcome = np.repeat([False, True], [271, 118])
    agreeing = 0
    for row, counts in table_two_cases(rows):
        if row["variable"] == "Location":
            levels = [counts["Location", level] for level in ("Lobar", "Deep", "Infratentorial")]
            code = np.concatenate(
                [np.repeat([0, 1, 2], [level[group] for level in levels]) for group in (0, 1)]
            )
            columns = np.column_stack([code == 1, code == 2]).astype(float)
            position = 0 if row["level"] == "Deep" else 1
        else:
            yes = counts[row["variable"], "male" if row["variable"] == "Sex" else ""]
            code = np.concatenate([np.arange(271) < yes[0], np.arange(118) < yes[1]])
            # The source codes sex as female.
            columns = (~code if row["variable"] == "Sex" else code).astype(float)[:, np.newaxis]
            position = 0
        model = Model((Term(row["variable"], tuple(range(columns.shape[1])), binary=True),))
        (result,), _ = federated(columns, outcome, (model,), np.array_split(np.arange(389), 2))
        found = result.coefficients[position]
        printed = [float(row[name]) for name in ("uni_or", "uni_lo", "uni_hi")]
        assert [found.odds_ratio, found.interval.low, found.interval.high] == pytest.approx(
            printed, abs=0.00051
        )
        if row["uni_p_operator"] == "<":
            assert found.p < 0.001
        else:
            assert found.p == pytest.approx(float(row["uni_p_value"]), abs=0.00051)
        agreeing += 1
    assert agreeing == 20


def degenerate(columns, labels, minima=SIMULATION, terms=None):
    matrix = np.column_stack(columns).astype(float)
    terms = terms or tuple(Term(f"x{column}", (column,)) for column in range(matrix.shape[1]))
    (result,), rounds = federated(matrix, np.asarray(labels, dtype=bool), (Model(terms),), minima=minima)
    return result, rounds


def test_what_cannot_be_fitted_asks_nothing():
    random = np.random.default_rng(0)
    x, y = random.normal(size=60), np.arange(60) % 2

    for result, rounds in (
        degenerate([x], np.zeros(60)),
        degenerate([np.full(60, 0.1)], y),
        degenerate([x, 3 * x + 2], y),
        degenerate([np.where(np.arange(60) < 60, np.nan, 1)], y),
    ):
        assert rounds == 0
        assert (result.coefficients, result.intercept, result.log_likelihood) == ((), None, None)
        assert result.status.kind in {"suppressed", "undefined"}
    assert "x0, x1" in degenerate([x, 3 * x + 2], y)[0].status.reason
    assert "constant" in degenerate([np.full(60, 0.1)], y)[0].status.reason


@pytest.mark.parametrize(
    ("n", "positives", "columns"),
    [(60, 9, 1), (40, 20, 8)],
)
def test_too_few_patients_are_suppressed(n, positives, columns):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(n, columns)), np.arange(n) < positives

    assert degenerate(x.T, y, STANDARD)[0].status.kind == "suppressed"
    assert degenerate(x.T, y, SIMULATION)[0].status.ok


def test_small_cell_of_a_binary_covariate_is_suppressed():
    x = np.repeat([0, 1, 0, 1], [50, 4, 40, 20])
    y = np.repeat([0, 1], [54, 60])
    terms = (Term("sign", (0,), binary=True),)

    assert degenerate([x], y, STANDARD, terms)[0].status.kind == "suppressed"
    assert degenerate([x], y, REPLICATION, terms)[0].status.ok


def test_separation_by_a_number_falls_back_to_firth():
    x = np.arange(60.0)

    result, _ = degenerate([x], x >= 30)

    assert (result.method, result.status.ok) == ("Firth", True)
    assert np.isfinite(result.coefficients[0].standard_error)


def test_a_model_that_never_converges_says_so(monkeypatch):
    monkeypatch.setattr("common.stats.newton.MAXIMUM_ROUNDS_UNPENALISED", 1)
    monkeypatch.setattr("common.stats.newton.MAXIMUM_ROUNDS_FIRTH", 1)
    random = np.random.default_rng(0)

    result, rounds = degenerate([random.normal(size=60)], np.arange(60) % 2)

    assert str(result.status) == "undefined(no convergence, not even penalised)"
    assert rounds == 2


def fit_extreme(extreme, seed=0, n=80):
    """Ages near 60 that tell of the outcome, and one that is a slip; the fit over two sites, and the rows."""
    random = np.random.default_rng(seed)
    age = random.normal(60, 10, n)
    labels = random.random(n) < special.expit((age - 60) / 15)
    age[int(random.integers(n))] = extreme
    (result,), _ = federated(
        age[:, np.newaxis], labels, (Model((AGE,)),), np.array_split(np.arange(n), 2), SIMULATION
    )
    return result, age, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("extreme", [1e3, 1e6, -1e6])
def test_an_extreme_value_is_no_separation(extreme, seed):
    """It is fitted as any model is: the maximum, in 50 digits of the pooled rows (mpmath), exists."""
    result, age, labels = fit_extreme(extreme, seed)

    assert (result.method, result.status.ok) == ("maximum likelihood", True)
    (coefficient,) = result.coefficients
    log_odds, error = maximum_of(age, labels)
    assert coefficient.log_odds == pytest.approx(log_odds, abs=1e-6 * error)
    assert coefficient.standard_error == pytest.approx(error, rel=1e-5)
    assert coefficient.largest_share > 0.8


def maximum_of(column, labels):
    """Slope and its standard error by Newton's method in 50 digits."""
    with mpmath.workdps(50):
        x = mpmath.matrix([[1, value] for value in column.tolist()])
        y = mpmath.matrix(labels.astype(int).tolist())
        beta = mpmath.matrix(2, 1)
        for _ in range(100):
            p = (x * beta).apply(lambda eta: 1 / (1 + mpmath.exp(-eta)))
            weighted = x.copy()
            for row in range(x.rows):
                weighted[row, :] *= p[row] * (1 - p[row])
            information = x.T * weighted
            step = mpmath.lu_solve(information, x.T * (y - p))
            beta += step
            if mpmath.norm(step) < mpmath.mpf(10) ** -30 * (1 + mpmath.norm(beta)):
                return float(beta[1]), float(mpmath.sqrt((information**-1)[1, 1]))
    raise AssertionError("no maximum")


def test_an_extreme_value_that_hides_the_maximum_is_named():
    """Beyond some 1e9 rounding leaves nothing of the other values."""
    result, _, _ = fit_extreme(1e13)

    assert result.method == "not fitted"
    assert str(result.status) == (
        "undefined(no convergence: one patient's value makes up most of the variance of age)"
    )


def test_the_largest_share_is_at_most_what_one_patient_makes_up(birthwt):
    """Kurtosis over n by scipy, which is at most the largest square's share of the squares."""
    matrix, labels = birthwt
    (result,), _ = federated(matrix, labels, (Model((AGE, LWT, SMOKE)),), np.array_split(np.arange(189), 3))

    for coefficient, column in zip(result.coefficients, (0, 1, 4), strict=True):
        if column == 4:
            assert coefficient.largest_share is None
            continue
        squares = (matrix[:, column] - matrix[:, column].mean()) ** 2
        expected = stats.kurtosis(matrix[:, column], fisher=False) / 189
        assert coefficient.largest_share == pytest.approx(expected)
        assert expected <= squares.max() / squares.sum() < 0.15


def test_a_steep_model_is_not_separated():
    """One pair out of order keeps the maximum finite, however large the coefficient: R's glm fits it too."""
    x = np.arange(60.0)
    labels = x >= 30
    labels[[29, 30]] = labels[[30, 29]]

    result, rounds = degenerate([x], labels)

    assert (result.method, result.status.ok) == ("maximum likelihood", True)
    assert result.coefficients[0].log_odds * x.std() > 10
    residual = labels - special.expit(result.intercept + result.coefficients[0].log_odds * x)
    assert abs(residual.sum()) < 1e-8
    assert abs(residual @ x) < 1e-6
    assert rounds < 20


def test_few_missing_hide_the_number_used():
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    x[3] = np.nan

    result, _ = degenerate([x], np.arange(60) % 2, STANDARD)

    assert (result.status.ok, result.n_used, result.n_missing) == (True, None, None)


def test_odds_beyond_a_float_s_range_stand_at_its_end():
    """A covariate that varies little has huge odds per unit: no overflow, no infinite limit."""
    random = np.random.default_rng(5)
    labels = random.random(80) < 0.4
    column = 1e-4 * (labels * 0.4 + random.normal(size=80))

    (result,), _ = federated(column[:, np.newaxis], labels, (Model((Term("x", (0,)),)),))

    (found,) = result.coefficients
    assert found.log_odds > 700
    assert np.isfinite([found.odds_ratio, found.interval.low, found.interval.high]).all()
    assert found.interval.low <= found.odds_ratio <= found.interval.high
