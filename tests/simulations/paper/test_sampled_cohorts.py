import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix, roc_auc_score

from common.cohort.eligibility import apply_exclusions
from common.cohort.outcome import OutcomeDefinition, classify
from common.cohort.schema import TABLE_ONE
from common.cohort.table import read_table
from common.plan.study import load_plan
from simulations.paper.described import Recording, values_of
from simulations.paper.facts import MeanSd, MedianIqr, Ranking, read_facts
from simulations.paper.paper_study import PAPER_PLAN
from simulations.paper.sampled_cohorts import SITES, build_site_tables
from simulations.paper.sampled_patients import score_column_of
from simulations.paper.sampled_scores import scores_of
from simulations.paper.sites import write_sites
from simulations.paper.spread import Division, divide_levels, reveals_pooled

REFERENCE = Path(__file__).parents[2] / "reference/paper"
NAMES = {variable.label: variable.name for variable in TABLE_ONE}
LEVELLED = [variable for variable in TABLE_ONE if variable.kind != "continuous"]


def transcribed(name):
    with (REFERENCE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The four sites as the command writes them."""
    tables = build_site_tables(read_facts(), load_plan(PAPER_PLAN).seed)
    return write_sites(tables, tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def everybody(folders):
    """All rows, read back by a site's own reader, with outcome, site and cohort."""
    read = []
    for site, folder in folders.items():
        table = read_table(folder / "cohort.csv", root=folder)
        assert len(apply_exclusions(table).included) == len(table.patients)
        rows = pd.read_csv(folder / "cohort.csv")
        rows["site"] = site
        rows["rhe"] = [
            int(classify(p.baseline_volumes, p.followup_volumes, OutcomeDefinition()).revised)
            for p in table.patients
        ]
        read.append(rows)
    rows = pd.concat(read, ignore_index=True)
    rows["cohort"] = rows["split"].map({"train": "training", "test": "internal"}).fillna("external")
    return rows


def crossed(rows, variable):
    """Levels by outcome; the levels of a binary variable are 0 and 1."""
    levels = variable.levels or (0, 1)
    table = pd.crosstab(rows[variable.name], rows["rhe"])
    return table.reindex(index=levels, columns=(0, 1), fill_value=0).to_numpy()


def test_every_printed_count(everybody):
    checked = 0
    for row in transcribed("table1.csv"):
        if row["summary"] != "count_pct":
            continue
        rows = everybody[everybody["cohort"] == row["cohort"]]
        level = row["level"].lower() or 1
        for outcome, group in enumerate(("nonrhe", "rhe")):
            patients = rows[rows["rhe"] == outcome]
            assert len(patients) == int(row[f"n_{group}"])
            assert (patients[NAMES[row["variable"]]] == level).sum() == int(row[f"{group}_count"])
            checked += 1
    assert checked == 126


def test_every_printed_mean_sd_median_and_iqr(everybody):
    for row in transcribed("table1.csv"):
        for outcome, group in enumerate(("nonrhe", "rhe")):
            chosen = (everybody["cohort"] == row["cohort"]) & (everybody["rhe"] == outcome)
            values = everybody.loc[chosen, NAMES[row["variable"]]]
            centre, spread = row[f"{group}_centre"], row[f"{group}_spread"]
            if row["summary"] == "mean_sd":
                found = (values.mean(), values.std())
            elif row["summary"] == "median_iqr":
                # Weibull's quantiles are those of SPSS
                first, median, third = np.quantile(values, (0.25, 0.5, 0.75), method="weibull")
                found = (median, third - first)
            else:
                continue
            assert found[0] == pytest.approx(float(centre), abs=0.5 * 10 ** -places(centre))
            assert found[1] == pytest.approx(float(spread), abs=0.5 * 10 ** -min(2, places(spread)) + 1e-9)


def places(text):
    return len(text.partition(".")[2])


def printed_p(table):
    """By the rule of the specification, with scipy alone."""
    kept = table[table.sum(axis=1) > 0]
    if len(kept) < 2:
        return "none"
    expected = stats.contingency.expected_freq(kept)
    if kept.shape != (2, 2) or expected.min() >= 5:
        p = stats.chi2_contingency(kept, correction=False).pvalue
    elif expected.min() >= 1 and kept.sum() >= 40:
        p = stats.chi2_contingency(kept, correction=True).pvalue
    else:
        p = stats.fisher_exact(kept).pvalue
    return "<0.001" if p < 0.001 else f"{p:.3f}"


@pytest.mark.parametrize("cohort", ["training", "internal", "external"])
@pytest.mark.parametrize("variable", LEVELLED, ids=lambda variable: variable.name)
def test_no_site_alone_has_the_cohort_s_p_value_or_odds_ratios(everybody, variable, cohort):
    rows = everybody[everybody["cohort"] == cohort]
    together = crossed(rows, variable)
    assert set(rows["site"]) == set(SITES[cohort])
    for site in SITES[cohort]:
        alone = crossed(rows[rows["site"] == site], variable)
        assert alone.sum() < together.sum()
        assert printed_p(alone) != printed_p(together)
        for level in range(1, len(together)):
            assert printed_ratio(alone[[0, level]]) != printed_ratio(together[[0, level]]) or 0 in alone


def printed_ratio(table):
    (a, b), (c, d) = table
    return f"{d * a / (c * b):.3f}" if c * b else "none"


def test_every_confusion_matrix_and_number_of_wins(everybody):
    for row in transcribed("table3.csv"):
        rows = everybody[everybody["cohort"] == row["cohort"]]
        scores = rows[score_column_of(row["model"])]
        (tn, fp), (fn, tp) = confusion_matrix(rows["rhe"], scores >= 0.5)
        assert [tp, fn, tn, fp] == [int(row[f"{cell}_recovered"]) for cell in ("tp", "fn", "tn", "fp")]
        assert scores.between(0, 1).all()
        # To the nearest half pair
        assert abs(roc_auc_score(rows["rhe"], scores) - float(row["auc"])) <= 0.25 / (80 * 51)


def test_no_site_alone_has_a_model_s_printed_auc(everybody):
    for row in transcribed("table3.csv"):
        rows = everybody[everybody["cohort"] == row["cohort"]]
        for site in SITES[row["cohort"]]:
            alone = rows[rows["site"] == site]
            assert f"{roc_auc_score(alone['rhe'], alone[score_column_of(row['model'])]):.3f}" != row["auc"]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(everybody):
    facts, seed = read_facts(), load_plan(PAPER_PLAN).seed
    once, again, other = (build_site_tables(facts, s)["centre2-b"] for s in (seed, seed, seed + 1))

    pd.testing.assert_frame_equal(once, again)
    assert not once["age"].equals(other["age"])


@pytest.mark.parametrize("doubled_wins", [24, 25, 40, 41, 62, 63, 64])
def test_exactly_so_many_wins_ties_and_calls(doubled_wins):
    # Of 5 x 8 pairs 3 x 4 are won by the calls, 2 x 4 lost: between 24 and 64 doubled wins remain possible
    negatives, positives = scores_of(Ranking(3, 2, 4, 4, doubled_wins))

    difference = positives[:, None] - negatives[None, :]
    assert 2 * (difference > 0).sum() + (difference == 0).sum() == doubled_wins
    assert (difference == 0).sum() <= 2
    assert ((positives >= 0.5).sum(), (negatives >= 0.5).sum()) == (3, 4)


@pytest.mark.parametrize("doubled_wins", [23, 65])
def test_refuses_wins_that_the_calls_exclude(doubled_wins):
    with pytest.raises(ValueError, match="no ranks"):
        scores_of(Ranking(3, 2, 4, 4, doubled_wins))


def test_refuses_more_patients_than_places():
    with pytest.raises(ValueError, match="have no 500 places"):
        scores_of(Ranking(0, 300, 300, 0, 90_000))


def test_refuses_what_no_values_have():
    whole = Recording(Decimal(1))
    with pytest.raises(ValueError, match="2 values with a resolution of 1 cannot have"):
        values_of(MeanSd(Decimal("50.0"), Decimal("0.3")), 2, whole)
    with pytest.raises(ValueError, match="contradict"):
        values_of(MedianIqr(Decimal(3), Decimal(4)), 9, whole, zeros=6)
    with pytest.raises(ValueError, match="half-way"):
        values_of(MedianIqr(Decimal("3.5"), Decimal(4)), 9, whole)


def test_a_division_that_hides_nothing_is_refused():
    everything = np.array([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="no division"):
        divide_levels(everything, Division((1, 1), (0, 0)), np.random.default_rng(0))
    assert reveals_pooled(everything, everything)


def test_facts_that_no_rows_have_are_refused():
    facts = read_facts()
    group = facts.groups["training", True]
    none = replace(group, counts={**group.counts, ("ivh", ""): 0})

    with pytest.raises(ValueError, match="zeros of 118 values contradict"):
        build_site_tables(replace(facts, groups={**facts.groups, ("training", True): none}), 1)
