"""Logistic models over sites in this process: as on pooled rows, and only where enough stand behind them."""

import numpy as np
import pytest
from sites.exchange import NearExchange, analyses_of
from sites.patients import a_case
from sites.plans import NETWORK, plan_of
from sklearn.linear_model import LogisticRegression

from common.messages.catalogue import Operation
from common.program.regressions import fit_regressions, screen_candidates
from server.procedures import carry_out

LEVELS = ("lobar", "deep", "infratentorial")
NAMES = ("age", "location", "sah")


def make_cases(seed, patients=150, levels=LEVELS, parts=("train", "validation", "test")):
    """Age and, weaker, location tell of expansion; subarachnoid hemorrhage tells nothing."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        age, level = float(random.normal(60, 10)), str(random.choice(levels))
        risk = 1 / (1 + np.exp(-(0.12 * (age - 60) + 1.6 * (level == "deep") - 0.9)))
        cases.append(
            a_case(
                f"P{number:03d}",
                grows=bool(random.random() < risk),
                part=parts[number % len(parts)],
                age=age,
                location=level,
                sah=float(random.random() < 0.4),
            )
        )
    return tuple(cases)


@pytest.fixture
def exchange(tmp_path):
    def make(cases, **changes):
        roles = dict.fromkeys(cases, "train")
        plan = plan_of(roles, NETWORK, regression={"candidates": NAMES}, **changes)
        return NearExchange(
            plan, {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        )

    return make


SITES = {"a": make_cases(1), "b": make_cases(2), "c": ()}


def pooled(names, cases):
    """scikit-learn on the training and validation patients of all sites."""
    own = [case for case in cases if case.part != "test"]
    columns = {
        "age": [[case.patient.number("age")] for case in own],
        "location": [
            [float(case.patient.level("location") == level) for level in LEVELS[1:]] for case in own
        ],
        "sah": [[float(case.patient.flag("sah"))] for case in own],
    }
    matrix = np.hstack([columns[name] for name in names])
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000)
    return model.fit(matrix, [case.positive for case in own])


def fit_over_sites(line, sites, regressions, arm=""):
    return carry_out(line, "fit", fit_regressions(line.plan, sites, regressions, arm))


def screen_predictors(line):
    return carry_out(line, "regression", screen_candidates(line.plan, line.plan.training_sites))


def operations(line):
    return [operation for operation, *_ in line.asked]


@pytest.mark.parametrize("regressions", [[NAMES], [("location",), ("age",), ("sah", "age")]])
def test_models_over_sites_are_those_of_all_their_rows(exchange, regressions):
    line = exchange(SITES)

    found = fit_over_sites(line, ("a", "b", "c"), regressions)

    for names, result in zip(regressions, found, strict=True):
        expected = pooled(names, [case for own in SITES.values() for case in own])
        log_odds = [coefficient.log_odds for coefficient in result.coefficients]
        np.testing.assert_allclose(log_odds, expected.coef_[0], rtol=1e-3, atol=1e-4)
        assert result.intercept == pytest.approx(expected.intercept_[0], rel=1e-3)
        assert (result.n_used, result.n_missing) == (200, 0)


def test_all_models_share_one_newton_loop(exchange):
    line = exchange(SITES)

    found = fit_over_sites(line, ("a", "b", "c"), [("location",), ("age",), ("sah",)])

    rounds = max(result.rounds for result in found)
    assert line.rounds == 2 + rounds
    expected = [Operation.GUARD] * 3 + [Operation.SETUP] * 3 + [Operation.NEWTON] * 3 * rounds
    assert operations(line) == expected


def test_only_the_arm_s_sites_are_asked(exchange):
    line = exchange(SITES)
    fit_over_sites(line, ("b",), [("age",)], "local-b")

    assert {site for _, site, _ in line.asked} == {"b"}


def test_a_model_with_too_few_patients_is_not_asked_and_the_others_are(exchange):
    """15 without and 15 with expansion a site: enough for 5 coefficients of 6 rows each, not for more."""
    sites = {
        name: tuple(
            a_case(f"{n}", grows=n % 2 == 0, age=50.0 + n, location=LEVELS[n // 2 % 2], sah=float(n // 4 % 2))
            for n in range(26)
        )
        for name in ("a", "b")
    }
    # 26 rows: 4 coefficients of age and location need 20, 5 with hemorrhage 25, 6 with INR 30
    line = exchange(sites, profile="standard", seed=3)

    fits, few = fit_over_sites(line, ("a", "b"), [("age",), NAMES])

    assert fits.status.ok
    assert few.status.ok
    line.sites["b"] = analyses_of(line.plan, "b", sites["b"][:24], line.sites["b"].registry.path.parent / "n")
    fits, few = fit_over_sites(line, ("a", "b"), [("age",), NAMES])
    assert fits.status.ok
    assert (few.status.reason, few.coefficients, few.method) == (
        "a site has too few patients for it",
        (),
        "not fitted",
    )


def test_where_nothing_may_be_fitted_nothing_is_asked(exchange):
    line = exchange({"a": make_cases(1, 12), "b": make_cases(2, 12)}, profile="standard")

    found = fit_over_sites(line, ("a", "b"), [("age",), ("sah",)])

    assert [result.status.kind for result in found] == ["suppressed", "suppressed"]
    assert operations(line) == [Operation.GUARD] * 2


def test_one_site_alone_needs_twenty_patients(exchange):
    cases = {"a": make_cases(1, 60), "b": make_cases(2, 60)}
    line = exchange(cases, profile="standard")
    line.sites["a"] = analyses_of(line.plan, "a", cases["a"][:12], line.sites["a"].registry.path.parent / "n")

    (found,) = fit_over_sites(line, ("a",), [("age",)], "local-a")

    assert found.status.reason == "fewer than 20 patients"


def test_a_level_that_nobody_has_anywhere_leaves_and_one_of_one_site_stays(exchange):
    own = {"a": make_cases(1, levels=("lobar", "deep")), "b": make_cases(2, levels=("lobar", "deep"))}
    line = exchange(own)
    (found,) = fit_over_sites(line, ("a", "b"), [("location",)])
    columns = [coefficient.column for coefficient in found.coefficients]

    other = exchange({"a": own["a"], "b": make_cases(2)})
    (kept,) = fit_over_sites(other, ("a", "b"), [("location",)])

    assert len(columns) == 1
    assert [coefficient.column for coefficient in kept.coefficients] == [columns[0], columns[0] + 1]


# Table 2


def test_whatever_has_a_small_p_enters_as_a_whole(exchange):
    found = screen_predictors(exchange(SITES))

    p = {
        result.model.terms[0].name: min(coefficient.p for coefficient in result.coefficients)
        for result in found.univariate
    }
    assert found.candidates == tuple(p) == NAMES
    assert found.entered == tuple(name for name in NAMES if p[name] < 0.05) == ("age", "location")
    assert [term.name for term in found.multivariable.model.terms] == ["age", "location"]
    # Both levels of a factor, whichever told
    assert len(found.multivariable.coefficients) == 3


def test_where_none_enters_there_is_no_multivariable_model(exchange):
    line = exchange(SITES)
    plan = plan_of(
        dict.fromkeys(SITES, "train"), NETWORK, regression={"candidates": NAMES, "entry_p": 1e-300}
    )
    line.plan = plan
    line.sites = {
        name: analyses_of(plan, name, own, line.sites[name].registry.path.parent / "n")
        for name, own in SITES.items()
    }

    found = screen_predictors(line)

    assert (found.entered, found.multivariable) == ((), None)
    assert sum(operation is Operation.SETUP for operation in operations(line)) == 3
