from __future__ import annotations

import dataclasses
import re

import pytest
from studies.page import (
    Page,
    cut_chapter,
    render_chapter,
    render_study,
    render_study_chapter,
    render_words,
)
from studies.results import SMALL, Make, make_study

from server.report.page import render_page
from server.results.comparison import Comparisons
from server.results.file import Results
from server.results.provenance import PauseOfStudy, PhaseTime

FULL = Make(
    external=("Wuhan", "Yongchuan"),
    models=("2D-ResNet-101", "3D-DenseNet-S"),
    logistic=("Clinical",),
    scores=("BRAIN",),
    rounds=2,
    full=True,
)
SMALLER = Make(models=("net",), logistic=("Clinical",), pooled=False, rounds=2, full=True)


@pytest.fixture(scope="module")
def results() -> Results:
    return make_study(FULL)


def _chapter(make: Make, name: str) -> Page:
    return Page(render_study_chapter(make, name))


def _chapter_of(results: Results, name: str) -> Page:
    return Page(render_chapter(results, name))


def _dashed(text: str) -> str:
    """Dashes of intervals and minus signs as hyphens."""
    return text.replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")


def test_every_chapter_of_a_full_study_is_in_the_contents(results):
    page = Page(render_words(results))
    sections = [found["id"] for found in page.all("section")]
    links = [found["href"][1:] for found in page.all("a")]

    assert sections == [
        *("summary", "patients", "characteristics", "predictors", "training", "matrix", "roc", "confusion"),
        *("performance", "comparisons", "calibration", "decision", "subgroups", "centres", "attention"),
        *("run", "glossary"),
    ]
    assert set(sections) <= set(links)


def test_table_1_shows_the_papers_cohorts_with_tests_as_footnotes():
    table = _chapter(FULL, "characteristics").text

    for cohort in (
        "Training and validation set (n = 42)",
        "Internal test set (n = 42)",
        "External test set (n = 42)",
    ):
        assert cohort in table
    assert "Age (year) 63.03 ± 12.20 63.03 ± 12.20 .731 b 0.41" in table
    assert "18.42 (8.10, 33.90) missing: 1" in table
    assert "a Pearson's chi-squared test." in table
    assert "d More than 20% of expected counts are below 5." in table


def test_levels_stand_indented_under_their_variable_which_has_the_p_value():
    chapter = _chapter(FULL, "characteristics")

    assert len(chapter.of_class("indented")) == 2 * 2  # two levels, in two tables
    assert "Location .031 a,d 0.30" in chapter.text
    assert "Deep 12 (57.1) 12 (57.1) 12 (57.1)" in chapter.text


def test_a_withheld_cell_of_table_1_hides_its_p_value_too():
    table = _chapter(FULL, "characteristics").text

    assert "SAH withheld e withheld e withheld withheld" in table
    assert f"e Withheld: {SMALL.reason}." in table


def test_each_centre_stands_below_the_papers_table_1():
    table = _chapter(FULL, "characteristics").text

    for site in (*FULL.sites, "All centres together"):
        assert f"{site} (n = 42)" in table


def test_table_2_shows_both_kinds_of_odds_ratio():
    table = _dashed(_chapter(FULL, "predictors").text)

    assert "Age (per year) 389 1.031 (1.014-1.049) < .001 1.022 (0.999-1.045) .064" in table
    assert "Sex 389 1.064 (0.649-1.742) .806 -" in table
    assert "Lobar Reference Reference" in table
    assert "387 missing: 2" in table
    assert "3.557 (1.663-7.610) a" in table
    assert "a Variance inflation factor 7.3, above 5" in table
    assert "61.500 (2.100-21,034) b" in table
    assert "b Firth's penalised likelihood" in table
    assert (
        "P is of the penalised likelihood ratio, the interval of the profile penalised likelihood." in table
    )
    assert "Intervals and P are Wald's unless a footnote says otherwise." in table


def _replace_effect(results: Results, variable: str, **changes) -> Results:
    """The results with another univariate effect of a variable: fields of it, or of its odds ratio."""

    def change(row):
        if row.variable != variable:
            return row
        effect = row.univariate
        of_ratio = {name: value for name, value in changes.items() if name in {"low", "high", "method"}}
        ratio = dataclasses.replace(effect.odds_ratio, **of_ratio)
        rest = {name: value for name, value in changes.items() if name not in of_ratio}
        return row.model_copy(update={"univariate": effect.model_copy(update={"odds_ratio": ratio, **rest})})

    table = results.regression
    rows = tuple(change(row) for row in table.rows)
    return results.model_copy(update={"regression": table.model_copy(update={"rows": rows})})


def test_firth_with_wald_s_interval_of_an_older_study_says_so(results):
    table = _chapter_of(_replace_effect(results, "fluid_level", method="Wald"), "predictors").text

    assert "P is of the penalised likelihood ratio, the interval of Wald." in table


def test_a_limit_that_was_not_found_is_said_so(results):
    changed = _replace_effect(results, "fluid_level", high=None)
    table = _dashed(_chapter_of(changed, "predictors").text)

    assert "61.500 (2.100 to not found) b,c" in table
    assert "c The search for a limit of the interval did not end." in table


def test_an_extreme_value_is_named_beside_the_odds_ratio_that_it_decides(results):
    def table_of(share):
        changed = _replace_effect(results, "age", largest_share=share)
        return _dashed(_chapter_of(changed, "predictors").text)

    table = table_of(0.97)
    assert "1.031 (1.014-1.049) a" in table
    assert "a An extreme value: one patient makes up at least 97% of this variable's variance" in table
    assert "An extreme value" not in table_of(0.5)


def test_table_2_says_what_entered_and_on_whom_the_model_was_fitted():
    text = _chapter(FULL, "predictors").text

    assert "any of its levels has P < 0.05 alone: Age, Anticoagulation, ICH volume, Location, IVH" in text
    assert "386 patients (3 without a value left out); maximum likelihood." in text


def test_without_a_multivariable_model_the_reason_is_told():
    results = make_study(SMALLER)
    hidden = results.regression.model_copy(update={"standing": SMALL, "entered": ()})

    table = _chapter_of(results.model_copy(update={"regression": hidden}), "predictors").text

    assert f"There is no multivariable model (withheld: {SMALL.reason})." in table
    assert "none did" not in table


def test_the_forest_plot_is_left_out_where_every_ratio_is_withheld():
    hidden = Make(models=("net",), rounds=2, full=True, suppressed=True)

    assert len(_chapter(SMALLER, "predictors").all("img")) == 1
    assert not _chapter(hidden, "predictors").all("img")


def test_logistic_models_show_their_arms_side_by_side():
    text = _dashed(_chapter(FULL, "training").text)

    assert "ICH volume (per mL) 1.042 (1.020-1.070) < .001 1.042 (1.020-1.070) a < .001" in text
    assert "Intercept (log odds) -2.417 stayed at its centre stayed at its centre" in text


def test_the_p_of_a_network_s_score_says_that_the_same_patients_trained_the_network(results):
    """A fusion's odds ratio of such a score is too good, and nothing said so."""
    fits = tuple(
        fit.model_copy(
            update={"rows": (fit.rows[0].model_copy(update={"variable": "score:net"}), fit.rows[1])}
        )
        for fit in results.fitted
    )
    text = _chapter_of(results.model_copy(update={"fitted": fits}), "training").text

    assert re.search(r"< \.001 (\w) .*\1 Its P is too small: the patients also trained that network\.", text)
    assert text.count("Its P is too small") == 1
    assert "Its P is too small" not in _chapter(FULL, "training").text


def test_table_3_has_a_line_for_each_model_and_cohort(results):
    text = _dashed(_chapter(FULL, "performance").text)

    for model in ("2D-ResNet-101", "3D-DenseNet-S", "Clinical"):
        for sites, part in ((FULL.training, "train"), (FULL.training, "test"), (FULL.external, "whole")):
            (cell,) = [
                one
                for one in results.evaluation
                if (one.model, one.arm, one.cohort_sites, one.part) == (model, "federated", sites, part)
            ]
            auc = f"{cell.auc.value:.3f} ({cell.auc.low:.3f}-{cell.auc.high:.3f})"
            numbers = (cell.accuracy, cell.sensitivity, cell.specificity, cell.ppv, cell.npv, cell.f1)
            line = " ".join(f"{measure.value:.3f}" for measure in numbers)
            # A regression has no round to choose: validation patients train it, too
            mark = "a " if (model, part) == ("Clinical", "train") else ""
            assert f"{cell.positive} / {cell.negative} {mark}{auc} {line}" in text
    assert "a Fitted on training and validation patients; judged here on the training patients alone." in text


def test_a_threshold_that_is_not_the_plans_is_a_footnote():
    assert "b Called positive from 9." in _chapter(FULL, "performance").text


def _compared(results: Results) -> Comparisons:
    return next(
        one for one in results.comparisons if (one.cohort_sites, one.part) == (FULL.external, "whole")
    )


def test_comparisons_print_difference_interval_and_both_p_values(results):
    text = _dashed(_chapter(FULL, "comparisons").text)

    for pair in _compared(results).pairs:
        between = "to" if pair.difference.low < 0 else "-"
        bounds = f"{pair.difference.low:.3f}{' to ' if between == 'to' else '-'}{pair.difference.high:.3f}"
        assert f"{pair.difference.value:.3f} ({bounds})" in text
    assert ".031 .062" in text  # DeLong's, and after Holm
    assert "14 / 3 .013 a" in text
    assert "a McNemar's test, exact." in text
    assert "chi-squared 11.27, 11 degrees of freedom, P = .011." in text


def test_a_withheld_mcnemar_test_shows_neither_counts_nor_p_value():
    text = _chapter(FULL, "comparisons").text

    assert "withheld c withheld c" in text
    assert f"c Withheld: {SMALL.reason}." in text


def test_the_bars_are_marked_by_the_adjusted_p_value():
    alts = [picture["alt"] for picture in _chapter(FULL, "comparisons").all("img")]
    joined = next(alt for alt in alts if "Wuhan + Yongchuan" in alt)

    marked = joined.partition("Significantly different: ")[2].split("; ")
    assert "2D-ResNet-101, Chongqing alone (AUC, sensitivity)" in marked  # .0004, adjusted .0008
    assert "2D-ResNet-101, Nanjing alone (sensitivity)" in marked  # .031, adjusted .062


def test_without_adjustment_the_raw_p_value_marks():
    external = ("Wuhan", "Yongchuan")
    results = make_study(
        Make(external=external, models=("2D-ResNet-101",), pooled=False, rounds=1, full=True)
    )
    raw = tuple(
        one.model_copy(
            update={"pairs": tuple(pair.model_copy(update={"p_adjusted": None}) for pair in one.pairs)}
        )
        for one in results.comparisons
    )
    chapter = _chapter_of(results.model_copy(update={"comparisons": raw}), "comparisons")

    joined = next(picture["alt"] for picture in chapter.all("img") if "Wuhan + Yongchuan" in picture["alt"])
    assert "2D-ResNet-101, Nanjing alone (AUC, sensitivity)" in joined
    assert "Holm" not in chapter.text


def test_differences_of_net_benefit_are_printed_by_threshold(results):
    text = _dashed(_chapter(FULL, "comparisons").text)
    point = next(pair for pair in _compared(results).pairs if pair.net_benefit).net_benefit[3]

    bounds = f"{point.low:.3f} to {point.high:.3f}" if point.low < 0 else f"{point.low:.3f}-{point.high:.3f}"
    assert f"{point.difference:.3f} ({bounds})" in text


def test_all_models_share_one_roc_panel_a_cohort():
    alts = [picture["alt"] for picture in _chapter(FULL, "roc").all("img")]

    external = [alt for alt in alts if alt.startswith("ROC curves of all models, Wuhan + Yongchuan")]
    (joined,) = [alt for alt in external if "alone" not in alt]
    assert all(f"{model} 0." in joined for model in ("2D-ResNet-101", "3D-DenseNet-S", "Clinical", "BRAIN"))


def test_calibration_is_shown_on_patients_who_trained_no_model(results):
    text = _dashed(_chapter(FULL, "calibration").text)

    (cell,) = [
        one
        for one in results.evaluation
        if (one.model, one.arm, one.cohort_sites) == ("Clinical", "federated", FULL.external)
    ]
    found = cell.calibration
    brier = f"{found.brier.value:.3f} ({found.brier.low:.3f}-{found.brier.high:.3f})"
    assert f"Clinical {brier} 0.081 -0.214 (-0.610 to 0.180) 0.871 (0.420-1.320) 3" in text
    assert "Clipped: risks below 1e-6 or above 1 - 1e-6" in text
    assert "training patients" not in text
    assert "BRAIN" not in text  # points are no predicted risk


def test_a_slope_that_does_not_exist_says_so():
    text = _chapter(FULL, "calibration").text

    assert "not defined a" in text
    assert "a Not defined: separated: no finite value." in text


def test_decision_curves_stand_beside_treating_everybody_and_nobody():
    chapter = _chapter(FULL, "decision")

    # internal tests, external centres, and two local models at both and at the other's centre
    assert len(chapter.all("img")) == 2 + 2 * 2
    assert "Everybody treated" in chapter.text
    assert "Nobody treated" in chapter.text


def test_subgroups_show_numbers_interaction_and_what_is_withheld():
    text = _chapter(FULL, "subgroups").text

    assert "Sex male 11 / 20 0." in text
    assert re.search(r"female 12 / 20 0\.\d{3} \S+ .214", text)
    assert f"Lobar withheld withheld: {SMALL.reason} reference" in text


def test_rounds_of_messages_are_told_by_phase_and_in_total():
    text = _chapter(FULL, "run").text

    assert "Training 2 min, 26 rounds of messages" in text
    assert "62 messages in 31 rounds" in text


def test_one_round_is_one_round():
    results = make_study(SMALLER)
    once = results.provenance.model_copy(update={"phases": (PhaseTime(phase="cohort", seconds=1, rounds=1),)})

    assert "1 round of messages" in _chapter_of(results.model_copy(update={"provenance": once}), "run").text


def test_pauses_and_phases_beside_others_are_told_for_what_they_are():
    results = make_study(SMALLER)
    phases = (PhaseTime(phase="cohort", seconds=0.001), PhaseTime(phase="training", seconds=60, rounds=2))
    pause = PauseOfStudy(site="south", since="2026-11-30T03:36:00+00:00", seconds=300.0)
    waited = results.provenance.model_copy(update={"phases": phases, "pauses": (pause,)})

    text = _chapter_of(results.model_copy(update={"provenance": waited}), "run").text

    assert (
        "Cohort its questions travelled with those of other phases, whose time and rounds hold them" in text
    )
    assert "waited for south since 2026-11-30 03:36 UTC for 5 min. The times above hold them" in text
    assert "waited for" not in _chapter_of(results, "run").text


def test_names_stay_text_in_every_chapter():
    wicked = "</td><b>$x"
    make = Make(
        training=(wicked, "B"), models=(wicked,), logistic=("<i>L",), scores=("&amp;S",), rounds=1, full=True
    )
    page = Page(render_study(make))

    assert "<i>L" in page.text
    assert "&amp;S" in page.text
    assert page.text.count(wicked) > 20


def test_the_same_results_give_the_same_page():
    make = dataclasses.replace(SMALLER, training=("Solo",), rounds=1)

    assert render_page(make_study(make)) == render_page(make_study.__wrapped__(make))


def test_a_withheld_study_shows_no_number_of_its_analyses():
    make = Make(
        models=("net",), logistic=("Clinical",), scores=("BRAIN",), rounds=2, full=True, suppressed=True
    )
    html = render_study(make)

    for name in ("characteristics", "predictors", "performance", "comparisons", "subgroups"):
        text = Page(cut_chapter(html, name)).text
        assert "withheld" in text
        assert not re.findall(r"\d\.\d{3}", text)
    assert "None" not in Page(html).text
    assert "missing: withheld" not in Page(cut_chapter(html, "predictors")).text


def test_a_label_of_many_centres_counts_or_names_them():
    make = Make(training=tuple("ABCD"), external=("E",), models=("net",), rounds=1, pooled=False, full=True)
    text = Page(render_words(make_study(make))).text

    assert "All training centres" in text
    assert "All centres together" in text
