"""Each pair of scores on the patients who have both, against DeLong's method on their pooled raw rows."""

import numpy as np
import pytest
from scipy import stats
from sites.exchange import make_cases, make_scored_cases, scored_exchange
from sites.plans import LOGISTIC, SCALE, plan_of

from common.plan.matrix import Cohort, cohorts_of
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.results.comparison import record_comparisons

SITES = ("a", "b", "c")
EVERYBODY = Cohort(SITES, "whole")


def brute_force(scores, labels):
    """AUCs and their covariance from the kernel of every pair of patients."""
    wins = np.sign(scores[:, labels][:, :, None] - scores[:, ~labels][:, None, :]) / 2 + 0.5
    covariance = np.cov(wins.mean(axis=2)) / labels.sum() + np.cov(wins.mean(axis=1)) / np.sum(~labels)
    return wins.mean(axis=(1, 2)), covariance


def find_difference(scores, labels):
    """Difference, its standard error and p of two scores, of patients who have both."""
    auc, c = brute_force(scores, labels)
    error = np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    return auc[0] - auc[1], error, 2 * stats.norm.sf(abs(auc[0] - auc[1]) / error)


def find_omnibus(scores, labels):
    """The omnibus test's statistic, degrees of freedom and p, of patients who have all scores."""
    auc, c = brute_force(scores, labels)
    contrasts = np.hstack([np.ones((len(auc) - 1, 1)), -np.eye(len(auc) - 1)])
    difference = contrasts @ auc
    statistic = difference @ np.linalg.solve(contrasts @ c @ contrasts.T, difference)
    return statistic, len(difference), stats.chi2.sf(statistic, len(difference))


def a_line(folder, labels, rows, sites, **changes):
    """A connection to the three sites at which these patients were examined."""
    models = [SCALE | {"name": name, "column": name} for name in rows]
    plan = plan_of(dict.fromkeys(SITES, "external"), *models, two_site_ack=False, **changes)
    cases = {
        site: make_cases(labels[sites == number], {name: row[sites == number] for name, row in rows.items()})
        for number, site in enumerate(SITES)
    }
    return scored_exchange(plan, cases, folder)


def compare(line, reference):
    return compare_models(line, evaluate_models(line, reference), reference)


def records_of(line, reference):
    """What is recorded of each table, by its cohort."""
    found = list(record_comparisons(line.plan, compare(line, reference)))
    return {Cohort(table.cohort_sites, table.part): table for table in found}


def draw(seed, spread=1.0, n=150, models=3):
    """Risks about 0.3 of patients at three sites, one with few; `spread` is the SD of their logits."""
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.4
    shared = random.normal(size=n)
    effects = np.linspace(1.4, 0.4, models)[:, np.newaxis]
    logits = -0.8 + spread * (effects * labels + 0.6 * shared + random.normal(size=(models, n)))
    return 1 / (1 + np.exp(-logits)), labels, np.digitize(random.random(n), [0.45, 0.85])


@pytest.mark.parametrize("spread", [0.02, 1.0, 12.0])
@pytest.mark.parametrize("reference", ["One", "Sparse"])
def test_a_sparse_score_takes_no_patient_from_the_pair_of_two_others(tmp_path, reference, spread):
    """Half lack one of three scores, and one site has nobody with it: only its own pairs are of fewer."""
    rows, labels, sites = draw(1, spread)
    rows[2, ::2] = np.nan
    rows[2, sites == 2] = np.nan
    names = ("One", "Two", "Sparse")
    line = a_line(tmp_path, labels, dict(zip(names, rows, strict=True)), sites)

    by_cohort = records_of(line, reference)

    assert set(by_cohort) == {cohort for cohort in cohorts_of(line.plan) if cohort.sites != ("c",)} | (
        {Cohort(("c",), "whole")} if reference == "One" else set()
    )
    used = [pair.used for pair in by_cohort[EVERYBODY].pairs]
    sparse = np.count_nonzero(~np.isnan(rows[2]))
    assert used == ([150, sparse] if reference == "One" else [sparse, sparse])
    for cohort, table in by_cohort.items():
        here = np.isin(sites, [SITES.index(site) for site in cohort.sites])
        for pair in table.pairs:
            members = [names.index(name) for name in (pair.first_model, pair.second_model)]
            both = here & ~np.isnan(rows[members]).any(axis=0)
            if not both.any():
                assert (pair.difference.standing.kind, pair.difference.value) == ("undefined", None)
                continue
            difference, error, p = find_difference(rows[members][:, both], labels[both])
            assert (pair.used, pair.missing) == (both.sum(), here.sum() - both.sum())
            assert pair.difference.value == pytest.approx(difference, abs=1e-12)
            assert pair.difference.low == pytest.approx(difference - 1.959963984540054 * error, abs=1e-10)
            assert pair.difference.high == pytest.approx(difference + 1.959963984540054 * error, abs=1e-10)
            assert pair.p_value == pytest.approx(p, rel=1e-8)
            # All of it exact: no patients of different outcomes share a bin.
            assert pair.difference_bound == 0.0
            assert pair.p_least == pair.p_most == pytest.approx(pair.p_value, rel=1e-12)


def test_the_omnibus_test_is_of_the_table_s_scores_and_of_who_has_all_of_them(tmp_path):
    rows, labels, sites = draw(2, models=4)
    rows[3, ::3] = np.nan
    rows[1, ::7] = np.nan
    names = ("One", "Two", "Three", "Four")
    line = a_line(tmp_path, labels, dict(zip(names, rows, strict=True)), sites)

    table = records_of(line, "One")[EVERYBODY]

    complete = ~np.isnan(rows).any(axis=0)
    statistic, freedom, p = find_omnibus(rows[:, complete], labels[complete])
    assert (table.used, table.missing) == (complete.sum(), len(labels) - complete.sum())
    assert table.degrees_of_freedom == freedom == len(table.pairs) == 3
    assert table.chi_squared == pytest.approx(statistic, rel=1e-9)
    assert table.p_value == pytest.approx(p, rel=1e-8)
    assert all(pair.used > table.used for pair in table.pairs)


@pytest.mark.parametrize(
    ("smaller", "models", "needed"), [(15, 4, None), (14, 4, 15), (10, 3, None), (9, 3, 10), (4, 2, 5)]
)
def test_the_omnibus_test_needs_five_patients_of_each_outcome_a_contrast(tmp_path, smaller, models, needed):
    """Chi-squared of 2,073.90 on 15 degrees of freedom came from 18 patients: now it says what it lacks."""
    rows, _, _ = draw(3, n=48, models=models)
    labels, sites = np.arange(48) < smaller, np.arange(48) % 3
    names = [f"M{number}" for number in range(models)]
    line = a_line(tmp_path, labels, dict(zip(names, rows, strict=True)), sites)

    table = records_of(line, "M0")[EVERYBODY]

    if needed is None:
        assert table.standing.ok
        assert table.degrees_of_freedom == models - 1
        assert table.chi_squared == pytest.approx(find_omnibus(rows, labels)[0], rel=1e-9)
        return
    assert str(table.standing) == (
        f"undefined({models} models need {needed} patients of each outcome with all of their scores)"
    )
    assert (table.chi_squared, table.degrees_of_freedom, table.p_value) == (None, None, None)
    # The pairs have no such need.
    assert all(
        pair.p_value == pytest.approx(find_difference(rows[[0, number]], labels)[2], rel=1e-8)
        for number, pair in enumerate(table.pairs, start=1)
    )


def test_each_arm_s_table_has_its_own_degrees_of_freedom(tmp_path):
    """Models of other arms, which a table does not show, are not in its test."""
    regressions = [LOGISTIC | {"name": name} for name in ("Ref", "Other")]
    plan = plan_of({"a": "train+", "b": "train+"}, *regressions, SCALE)
    line = scored_exchange(plan, {"a": make_scored_cases(1, 90), "b": make_scored_cases(2, 60)}, tmp_path)

    tables = [table for table in compare(line, "Ref").tables if table.cohort == Cohort(("a",), "test")]

    assert [len(table.pairs) for table in tables] == [4, 2, 2]
    tests = [table.omnibus for table in tables]
    assert str(tests[0].status) == "ok"
    assert [test.degrees_of_freedom for test in tests] == [4, 2, 2]
    scorers = [[pair.second for pair in table.pairs] for table in tables]
    assert all(
        {s.arm.name for s in of_table} <= {"given", f"local-{site}"}
        for of_table, site in zip(scorers[1:], "ab", strict=True)
    )


@pytest.mark.parametrize("squeeze", [1e-5, 1e-9, 1.0])
def test_two_models_whose_scores_share_the_plan_s_bins_find_difference(tmp_path, squeeze):
    """AUCs .817 and .632: "difference 0, P 1, ok" was printed where all of a site's risks were in one bin."""
    random = np.random.default_rng(5595)
    labels = np.arange(120) % 3 == 0
    shared = random.normal(size=120)
    logits = np.array([0.5 * shared + random.normal(size=120) + effect * labels for effect in (1.3, 0.5)])
    rows, sites = squeeze / (1 + np.exp(-logits)), np.arange(120) // 40
    line = a_line(tmp_path, labels, dict(zip(("One", "Two"), rows, strict=True)), sites)

    (pair,) = records_of(line, "One")[EVERYBODY].pairs

    auc, _ = brute_force(rows, labels)
    difference, _, p = find_difference(rows, labels)
    assert [round(value, 3) for value in auc.tolist()] == [0.817, 0.632]
    assert pair.difference.value == pytest.approx(difference, abs=1e-12)
    assert pair.p_value == pytest.approx(p, rel=1e-8) == pytest.approx(0.003, abs=0.0005)


def test_where_bins_stay_shared_no_difference_is_claimed(tmp_path, monkeypatch):
    """Without the questions that divide bins, all patients share one: what is not known is undefined."""
    monkeypatch.setattr("common.program.score_bins._MOST_ROUNDS", 1)
    rows, labels, sites = draw(4, models=2)
    rows = 0.5001 + rows / 2000
    line = a_line(tmp_path, labels, {"One": rows[0], "Two": rows[1]}, sites)

    (pair,) = records_of(line, "One")[EVERYBODY].pairs

    assert (pair.difference.value, pair.p_value, pair.p_least, pair.p_most) == (None,) * 4
    assert pair.difference.standing.kind == "undefined"
    assert "share bins" in pair.difference.standing.reason
    assert pair.used == 150


def test_where_some_bins_stay_shared_the_raw_numbers_lie_within_the_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("common.program.score_bins._MOST_ROUNDS", 1)
    rows, labels, sites = draw(5, spread=0.2)
    line = a_line(
        tmp_path,
        labels,
        dict(zip(("One", "Two", "Three"), rows, strict=True)),
        sites,
        evaluation={"bins": 80},
    )

    for cohort, table in records_of(line, "One").items():
        here = np.isin(sites, [SITES.index(site) for site in cohort.sites])
        for number, pair in enumerate(table.pairs, start=1):
            difference, _, p = find_difference(rows[[0, number]][:, here], labels[here])
            if pair.p_value is None:
                assert "share bins" in pair.difference.standing.reason
                continue
            assert abs(pair.difference.value - difference) <= pair.difference_bound + 1e-12
            assert pair.p_least <= p <= pair.p_most
            assert pair.p_least < pair.p_most or abs(difference) < 1e-12
    assert sum(pair.p_value is not None for pair in table.pairs) == 2
    assert max(pair.difference_bound for pair in table.pairs) > 0


def test_only_scores_that_order_all_patients_alike_are_equal(tmp_path):
    """A monotone transform is equal; one that is scaled site by site orders each site's patients alike."""
    rows, labels, sites = draw(6, models=1)
    scaled = rows[0] * np.array([0.2, 1.0, 0.5])[sites]
    scores = {"One": rows[0], "Cubed": rows[0] ** 3, "Tiny": rows[0] * 1e-6, "Scaled": scaled}
    line = a_line(tmp_path, labels, scores, sites)

    by_cohort = records_of(line, "One")

    for cohort, table in by_cohort.items():
        cubed, tiny, other = table.pairs
        alike = [cubed, tiny, *([other] if len(cohort.sites) == 1 else [])]
        assert all((pair.difference.value, pair.p_value) == (0.0, 1.0) for pair in alike)
        assert all(pair.difference.standing.ok for pair in table.pairs)
    matrix = np.stack([rows[0], scaled])
    difference, _, p = find_difference(matrix, labels)
    assert other.difference.value == pytest.approx(difference, abs=1e-12)
    assert other.p_value == pytest.approx(p, rel=1e-8)
    assert abs(difference) > 0.01


def test_a_difference_of_few_patients_is_not_told_by_the_numbers_of_a_pair(tmp_path):
    """Three lack one of the scores: how many have both would tell it, and its decimals too."""
    rows, labels, sites = draw(7, n=240)
    rows[1, :3] = np.nan
    rows[2, :60] = np.nan
    names = ("One", "Two", "Three")
    line = a_line(tmp_path, labels, dict(zip(names, rows, strict=True)), sites, profile="standard")

    few, many = records_of(line, "One")[EVERYBODY].pairs

    assert (few.used, few.missing) == (None, None)
    assert few.difference.value == pytest.approx(find_difference(rows[:2, 3:], labels[3:])[0], abs=0.00051)
    assert few.difference.value == round(few.difference.value, 3)
    assert (many.used, many.missing) == (180, 60)
    assert many.difference.value == pytest.approx(
        find_difference(rows[[0, 2], 60:], labels[60:])[0], abs=1e-12
    )
