"""What stands beside an AUC: another interval's method, why there is none, how far the scores' own AUC is."""

import csv

import pytest
from studies.page import Page, render_chapter
from studies.results import Make, make_study

from common.stats.estimate import Estimate, Status
from server.report import write_tables
from server.report.auc_words import format_bound

MAKE = Make(models=("net",), logistic=("Clinical",), pooled=False, rounds=1, full=True)
PERFECT = Estimate(1.0, 0.84, 1.0, "mc_binomial")


def study():
    return make_study(MAKE)


def change_cells(**changes):
    """The study with every cell changed."""
    cells = tuple(cell.model_copy(update=changes) for cell in study().evaluation)
    return study().model_copy(update={"evaluation": cells})


def change_subgroups(**changes):
    """The study with every level but the first of each variable changed."""
    subgroups = tuple(
        one.model_copy(update=changes) if one.level in {"female", "Deep"} else one
        for one in study().subgroups
    )
    return study().model_copy(update={"subgroups": subgroups})


def chapter(results, name):
    return Page(render_chapter(results, name)).text.replace("\N{EN DASH}", "-")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("summary", "1.000 (95% CI 0.840-1.000; exact binomial)"),
        ("roc", "AUC 1.000 (95% CI 0.840-1.000; exact binomial)"),
        ("matrix", "1.000 0.840-1.000 exact binomial"),
        ("performance", "a Interval: exact binomial (AUC x n successes of n patients"),
    ],
)
def test_an_interval_of_another_method_is_named_wherever_it_stands(name, words):
    """An AUC of 1 has a Clopper-Pearson interval, and the headline printed it as if it were DeLong's."""
    text = chapter(change_cells(auc=PERFECT), name)

    assert words in text
    assert "mc_binomial" not in text


def test_the_subgroups_name_it_too_and_the_glossary_explains_it():
    results = change_subgroups(auc=PERFECT)

    assert "1.000 0.840-1.000 exact binomial" in chapter(results, "subgroups")
    assert "mc_binomial" not in chapter(results, "subgroups")
    assert "exact binomial interval takes AUC times n for successes of n patients" in chapter(
        results, "glossary"
    )


def test_methods_are_words_where_the_page_says_which_it_uses():
    summary = study().study.model_copy(update={"interval": "mc_binomial"})
    results = study().model_copy(update={"study": summary})

    for name in ("performance", "run"):
        assert "exact binomial (as in the paper; not a valid interval of an AUC)" in chapter(results, name)


@pytest.mark.parametrize("name", ["summary", "roc", "matrix", "performance"])
def test_a_bound_stands_wherever_a_cell_s_auc_is_printed(name):
    """The page said that without a footnote the AUC is exact, and only Table 3 had such footnotes."""
    exact, binned = study(), change_cells(auc_error_bound=0.00121, auc_interval_bound=0.004)

    assert "\N{PLUS-MINUS SIGN} 0.0013, limits \N{PLUS-MINUS SIGN} 0.004" in chapter(binned, name)
    assert "\N{PLUS-MINUS SIGN}" not in chapter(exact, name)


def test_a_bound_stands_beside_the_aucs_that_are_compared():
    pairs = tuple(
        table.model_copy(
            update={"pairs": tuple(p.model_copy(update={"difference_bound": 0.002}) for p in table.pairs)}
        )
        for table in study().comparisons
    )
    results = change_cells(auc_error_bound=0.00121, auc_interval_bound=0.004)
    text = chapter(results.model_copy(update={"comparisons": pairs}), "comparisons")

    assert "the AUC of the scores themselves lies within 0.0013 of the printed one." in text
    assert "the difference lies within 0.002 of the printed one." in text


def test_a_bound_stands_beside_a_subgroup_s_auc_and_the_page_s_sentence_knows_it(tmp_path):
    results = change_subgroups(auc_error_bound=0.0213, auc_interval_bound=0.05)

    text = chapter(results, "subgroups")
    assert text.count("binning \N{PLUS-MINUS SIGN} 0.022, limits \N{PLUS-MINUS SIGN} 0.05") > 1
    assert "lies within 0.022 of the printed one in every cohort" in chapter(results, "performance")
    (path,) = (path for path in write_tables(results, tmp_path) if path.stem == "subgroups")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    deep = next(row for row in rows if row["level"] == "Deep")
    assert (deep["auc_error_bound"], deep["auc_interval_bound"]) == ("0.0213", "0.05")


def test_centres_and_their_differences_have_bounds_in_their_files(tmp_path):
    (record,) = study().heterogeneity
    centres = tuple(
        centre.model_copy(update={"auc_error_bound": 0.003, "interval_bound": 0.01})
        for centre in record.centres
    )
    binned = record.model_copy(update={"centres": centres, "difference_bound": 0.006})
    files = write_tables(study().model_copy(update={"heterogeneity": (binned,)}), tmp_path)
    rows = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in files}

    (spread,) = rows["heterogeneity"]
    assert (spread["difference_bound"], spread["largest_auc_error_bound"]) == ("0.006", "0.003")
    assert {(row["auc_error_bound"], row["auc_interval_bound"]) for row in rows["centre_aucs"]} == {
        ("0.003", "0.01")
    }


def test_nothing_is_called_exact_where_a_limit_has_a_bound_or_a_bound_was_not_recorded():
    exact = "so every AUC and interval of the evaluation is that of the scores themselves"
    subgroups = tuple(one.model_copy(update={"auc_error_bound": 0.0}) for one in study().subgroups)
    known = study().model_copy(update={"subgroups": subgroups, "heterogeneity": ()})
    limits = known.model_copy(update={"evaluation": change_cells(auc_interval_bound=0.001).evaluation})

    assert exact in chapter(known, "performance")
    assert exact not in chapter(limits, "performance")
    assert exact not in chapter(study(), "performance")
    assert "holds no bound, none is printed" in chapter(study(), "performance")


@pytest.mark.parametrize(
    ("bound", "text"), [(0.00121, "0.0013"), (0.0012, "0.0012"), (0.2, "0.2"), (0.099999, "0.1"), (0, "0")]
)
def test_a_bound_is_never_rounded_down(bound, text):
    assert format_bound(bound) == text


def test_a_subgroup_without_interval_and_without_p_says_why():
    alone = "no interval: one patient of an outcome has no variance"
    results = change_subgroups(
        auc=Estimate(0.9, method="logit-delong", standing=Status("ok", alone)),
        p_interaction=None,
        p_standing=Status("undefined", "one patient of a class has no variance"),
    )

    text = chapter(results, "subgroups")
    assert f"0.900 {alone} not defined a" in text
    assert "a Not defined: one patient of a class has no variance." in text


def test_an_interaction_of_an_auc_of_one_has_the_centres_footnote():
    method = "sum of squares: DeLong, Newcombe at 0 or 1"

    marked = chapter(change_subgroups(p_method=method), "subgroups")
    assert ".214 a" in marked
    assert "a An AUC of 0 or 1 has no variance by DeLong. Interval and P add the squares" in marked
    assert "Newcombe" not in chapter(change_subgroups(p_method="DeLong, unpaired"), "subgroups")


@pytest.mark.parametrize("name", ["summary", "matrix", "performance"])
def test_an_auc_without_interval_of_an_older_file_says_what_it_may_be(name):
    text = chapter(change_cells(auc=Estimate(0.9, method="logit-delong")), name)

    assert "o interval: all scores are equal, or there is one patient of an outcome" in text
