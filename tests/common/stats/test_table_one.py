from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from common.stats.contract import total
from common.stats.minima import REPLICATION
from common.stats.recording_grid import RecordingGrid
from common.stats.table_one import (
    Categorical,
    Continuous,
    choose_test,
    finish_table_one,
    local_table_one,
)

VARIABLES = (
    Continuous("age", RecordingGrid(18, 1, 100), "student"),
    Continuous("volume", RecordingGrid(0, 0.01, 30_001), "mann-whitney"),
    Categorical("sex", ("female", "male")),
    Categorical("location", ("lobar", "deep", "infratentorial")),
)


def cohort(seed=0, n=389):
    random = np.random.default_rng(seed)
    outcome = (random.random(n) < 0.3).astype(np.int64)
    age = random.normal(58 + 5 * outcome, 13).round().clip(18)
    volume = random.gamma(2, 8, n).round(2)
    volume[random.random(n) < 0.1] = np.nan
    return [age, volume, random.integers(0, 2, n), random.integers(-1, 3, n)], outcome


def test_one_message_gives_the_whole_table():
    columns, outcome = cohort()
    age, volume, sex, location = columns

    rows = finish_table_one(local_table_one(columns, outcome, VARIABLES), VARIABLES)

    assert rows[0].test.p == pytest.approx(
        stats.ttest_ind(age[outcome == 1], age[outcome == 0]).pvalue, rel=1e-9
    )
    assert rows[0].test.statistic > 0
    assert rows[0].smd > 0
    known = ~np.isnan(volume)
    expected = stats.mannwhitneyu(
        volume[known & (outcome == 1)],
        volume[known & (outcome == 0)],
        method="asymptotic",
        use_continuity=False,
    )
    assert rows[1].test.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert rows[1].groups[1].n_missing == np.sum(~known & (outcome == 1))
    table = stats.contingency.crosstab(sex, outcome).count
    assert rows[2].tabulation.counts == tuple(map(tuple, table.tolist()))
    assert rows[2].test.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    share = sex[outcome == 1].mean() - sex[outcome == 0].mean()
    assert np.sign(rows[2].smd) == np.sign(share)
    table = stats.contingency.crosstab(location[location >= 0], outcome[location >= 0]).count
    assert rows[3].test.p == pytest.approx(stats.chi2_contingency(table).pvalue)


def test_federated_equals_pooled(federations):
    columns, outcome = cohort(1)
    pooled = finish_table_one(local_table_one(columns, outcome, VARIABLES), VARIABLES, kind=6)

    for sites in federations(outcome):
        parts = total(local_table_one([c[site] for c in columns], outcome[site], VARIABLES) for site in sites)
        rows = finish_table_one(parts, VARIABLES, kind=6)
        assert rows[1].groups[0].median == pooled[1].groups[0].median
        assert rows[2:] == pooled[2:]
        for one, other in zip(rows[:2], pooled[:2], strict=True):
            assert one.test.p == pytest.approx(other.test.p, rel=1e-10)
            assert one.smd == pytest.approx(other.smd, rel=1e-10)


def test_a_hidden_cell_hides_test_and_smd():
    outcome = np.repeat([0, 1], [271, 118])
    fluid = np.repeat([1, 0, 1, 0], [3, 268, 2, 116])
    variables = (Categorical("fluid level", ("no", "yes")),)
    summary = local_table_one([fluid], outcome, variables)

    (hidden,) = finish_table_one(summary, variables)
    (shown,) = finish_table_one(summary, variables, REPLICATION)

    assert (hidden.test.p, hidden.test.statistic, hidden.test.method, hidden.smd) == (
        None,
        None,
        "not shown",
        None,
    )
    assert hidden.test.status.kind == "suppressed"
    assert round(shown.test.p, 3) == 1.0


def test_a_small_group_hides_test_and_smd():
    outcome = np.repeat([0, 1], [30, 9])
    variables = (VARIABLES[0],)

    (row,) = finish_table_one(local_table_one([np.arange(20.0, 59.0)], outcome, variables), variables)

    assert (row.test.p, row.smd, row.test.status.kind) == (None, None, "suppressed")
    assert row.groups[0].mean is not None


def test_few_missing_hide_the_test_and_what_tells_how_many_they_are():
    """An SMD or t in full, or a quartile's fraction, would be one equation more for the numbers."""
    age = np.arange(20.0, 82.0)
    age[[0, 31]] = np.nan
    outcome = np.arange(62) % 2

    (row,) = finish_table_one(local_table_one([age], outcome, VARIABLES[:1]), VARIABLES[:1])

    assert (row.test.n_used, row.test.p, row.test.statistic, row.test.status.kind) == (
        None,
        None,
        None,
        "suppressed",
    )
    assert row.smd == round(row.smd, 3)
    assert (row.groups[0].mean, row.groups[1].mean) == (51.0, 51.0)
    first = np.quantile(age[outcome == 0][1:], 0.25)
    assert first % 1
    assert row.groups[0].first_quartile.value == round(first)


def test_names_must_differ():
    columns, outcome = cohort()
    with pytest.raises(ValueError, match="one name"):
        local_table_one(columns[:1] * 2, outcome, VARIABLES[:1] * 2)


@pytest.mark.parametrize(("rule", "t_test"), [("auto", "welch"), ("auto-student", "student")])
def test_one_test_for_a_table_is_a_t_test_if_everybody_who_decides_looks_normal(rule, t_test, federations):
    by_rule = (Continuous("age", RecordingGrid(0, 1, 400), rule),)
    outcome = np.arange(200) % 2
    random = np.random.default_rng(3)
    normal, skewed = random.normal(60, 10, 200).round(), random.gamma(1, 30, 200).round()
    bell, tail = (local_table_one([values], outcome, by_rule) for values in (normal, skewed))

    chosen = [
        choose_test(by_rule[0], who, "somebody").test for who in ([bell], [tail], [bell, bell], [bell, tail])
    ]

    assert chosen == [t_test, "mann-whitney", t_test, "mann-whitney"]
    for sites in federations(outcome):
        summed = total(local_table_one([normal[site]], outcome[site], by_rule) for site in sites)
        assert choose_test(by_rule[0], [summed], "x") == choose_test(by_rule[0], [bell], "x")
    with pytest.raises(ValueError, match="nobody's values decide how age is tested"):
        choose_test(by_rule[0], [], "nobody")
