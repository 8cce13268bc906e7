"""Every direction and model with its numbers, external cohorts in every chapter, and predictive values."""

import csv
import re

import pytest
from studies.page import Page, cut_chapter, render_chapter, render_words
from studies.results import Make, make_study

from common.stats.estimate import Estimate
from common.stats.predictive_values import predict_values
from server.report import write_tables
from server.report.baselines import list_baselines
from server.report.carry_over import build_directions
from server.report.centre_forests import SCALES, build_forests, place_mark
from server.report.federated_local import build_federated_table
from server.report.performance import build_table_three
from server.report.predictive_tables import build_predictive_tables, list_operating_points
from server.report.subgroup_tables import build_subgroup_plots
from server.report.subject import find_shared_cohorts, subject_of
from server.report.verdicts import judge_cell
from server.report.words import DASH, MINUS
from server.results.evaluation import InternalDifference
from server.results.file import Results

CROSSED = Make(models=("net",), logistic=("Clinical",), scores=("BRAIN",), rounds=1, full=True)
"""Two centres that train: only their local models are carried over, each to the other centre."""
EXTERNAL = Make(
    external=("Wuhan",), models=("net",), logistic=("Clinical",), scores=("BRAIN",), rounds=1, full=True
)


def study(make: Make) -> Results:
    """The study with a difference from the internal test of every model that is carried over."""
    results = make_study(make)
    difference = InternalDifference(
        cohort_sites=make.training, difference=Estimate(-0.0561, -0.1812, 0.069, "DeLong, unpaired")
    )
    cells = tuple(
        cell.model_copy(update={"from_internal": (difference,)})
        if cell.relation == "external" and cell.part == "whole"
        else cell
        for cell in results.evaluation
    )
    return results.model_copy(update={"evaluation": cells})


def show(estimate):
    """Value and interval as the page writes them, by another route than the product's."""
    texts = [
        f"{number:.3f}".replace("-0.000", "0.000") for number in (estimate.value, estimate.low, estimate.high)
    ]
    value, low, high = (text.replace("-", MINUS) for text in texts)
    return value, f"{low} to {high}" if MINUS in low + high else f"{low}{DASH}{high}"


def test_each_direction_has_every_model_with_the_numbers_of_the_results():
    results = study(EXTERNAL)
    directions = build_directions(subject_of(results))

    assert [(one.trained, one.tested, one.leading) for one in directions] == [
        ("Chongqing and Nanjing, federated", "Wuhan", True),
        ("Chongqing", "Nanjing", False),
        ("Chongqing", "Wuhan", False),
        ("Nanjing", "Chongqing", False),
        ("Nanjing", "Wuhan", False),
        ("Chongqing and Nanjing, pooled", "Wuhan", False),
    ]
    for line in directions[0].table.lines:
        (cell,) = [
            c
            for c in results.evaluation
            if c.model == line.label
            and c.arm in {"federated", "given"}
            and (c.cohort_sites, c.part) == (("Wuhan",), "whole")
        ]
        shown = [(entry.text, entry.below) for entry in line.entries]
        assert shown[1] == show(cell.auc)
        assert shown[6:8] == [show(cell.sensitivity), show(cell.specificity)]
        if cell.kind != "given":
            assert shown[2] == (f"{MINUS}0.056", f"{MINUS}0.181 to 0.069")
            assert shown[3] == show(cell.calibration.intercept)
            (point,) = [point for point in cell.decision if point.threshold == 0.5]
            assert shown[8] == show(Estimate(point.model, point.low, point.high))
            calls = cell.confusion
            n = cell.positive + cell.negative
            assert (
                shown[9][0].replace(MINUS, "-") == f"{(calls.true_negative - calls.false_negative) / n:.3f}"
            )


def test_the_reference_is_compared_with_every_model_in_pairs():
    results = study(EXTERNAL)
    (table,) = [one for one in results.comparisons if (one.cohort_sites, one.part) == (("Wuhan",), "whole")]
    lines = {line.label: line.entries for line in build_directions(subject_of(results))[0].table.lines}

    for pair in table.pairs:
        if pair.second_arm in {"federated", "given"} and pair.second_model != "net":
            entry = lines[pair.second_model][10]
            if pair.second_arm == "federated":
                assert (entry.text, entry.below) == show(pair.difference)
    assert lines["net"][10].text == "reference"


def test_the_page_opens_with_the_answer_its_rules_and_what_speaks_against_it():
    html = render_chapter(study(EXTERNAL), "summary")
    page = Page(html)

    assert page.text.startswith("Does the model carry over to a centre that it was not trained on?")
    assert len(page.of_class("verdict")) == 6
    assert page.text.count("Against it:") == 6
    assert "How these words follow from the numbers" in page.text
    assert "never from a value alone" in page.text
    assert html.index("Against it") < html.index("Every model there")
    assert "the best baseline, " in page.text
    assert "that of the local model of Chongqing alone" in page.text


def test_a_baseline_is_no_network_and_takes_no_network_s_score():
    results = study(Make(models=("net",), logistic=("Clinical", "Fusion"), scores=("BRAIN",), rounds=1))
    plan = {
        "models": [
            {"name": "net"},
            {"name": "Clinical", "covariates": ["age"]},
            {"name": "Fusion", "covariates": ["age", "score:net"]},
        ]
    }
    results = results.model_copy(update={"study": results.study.model_copy(update={"plan": plan})})

    assert list_baselines(subject_of(results)) == {"Clinical", "BRAIN"}


def test_federated_and_local_models_stand_beside_each_other():
    results = study(EXTERNAL)
    table = build_federated_table(subject_of(results))

    pairs = [
        pair
        for one in results.comparisons
        for pair in one.pairs
        if pair.first_model == pair.second_model
        and pair.second_arm.startswith("local")
        and pair.first_arm == "federated"
    ]
    assert len(table.lines) == len(pairs) > 2
    assert {line.entries[0].text for line in table.lines} == {"Chongqing alone", "Nanjing alone"}
    assert build_federated_table(subject_of(make_study(Make(training=("A",), models=("net",))))) is None


def test_where_only_local_models_are_carried_over_every_chapter_shows_them():
    """Of two centres that train, 28 calibrations and 532 points of decision curves stood on no page."""
    subject = subject_of(study(CROSSED))
    carried = [cohort for cohort in find_shared_cohorts(subject) if cohort.cells[0].relation == "external"]

    assert [(cohort.label, cohort.cells[0].arm) for cohort in carried] == [
        ("Nanjing, all patients", "local-Chongqing"),
        ("Chongqing, all patients", "local-Nanjing"),
    ]
    assert all({cell.model for cell in cohort.cells} == {"net", "Clinical", "BRAIN"} for cohort in carried)
    rows = [line.label for line in build_table_three(subject).lines if line.parent == "net"]
    assert rows == [
        "Training",
        "Internal test",
        "External, Nanjing (Chongqing alone)",
        "External, Chongqing (Nanjing alone)",
    ]
    given = [line.label for line in build_table_three(subject).lines if line.parent == "BRAIN"]
    assert given[-2:] == ["All of Chongqing", "All of Nanjing"]
    page = render_words(study(CROSSED))
    for name in ("calibration", "decision", "roc"):
        chapter = Page(cut_chapter(page, name)).text
        assert "Nanjing, all patients" in chapter, name
        assert "Chongqing alone" in chapter, name
    confusions = Page(cut_chapter(page, "confusion")).text
    assert "Clinical Calls at a score of 0.5 or more." in confusions


def test_a_federation_that_is_carried_over_stands_for_its_models_there():
    subject = subject_of(study(EXTERNAL))

    external = [one for one in find_shared_cohorts(subject) if one.cells[0].relation == "external"]

    assert [one.cells[0].arm for one in external if one.large] == ["federated"]
    others = [(one.cells[0].arm, one.cells[0].cohort_sites) for one in external if not one.large]
    assert others == [
        ("local-Chongqing", ("Nanjing",)),
        ("local-Chongqing", ("Wuhan",)),
        ("local-Nanjing", ("Chongqing",)),
        ("local-Nanjing", ("Wuhan",)),
    ]
    page = render_words(study(EXTERNAL))
    for name in ("calibration", "decision", "roc"):
        assert "Nanjing, all patients" in Page(cut_chapter(page, name)).text, name


def test_predictive_values_are_those_of_bayes_at_each_prevalence():
    results = study(EXTERNAL)
    (tables, *_) = build_predictive_tables(subject_of(results))
    (cell,) = [
        c
        for c in results.evaluation
        if (c.model, c.arm, c.cohort_sites, c.part) == ("net", "federated", ("Wuhan",), "whole")
    ]

    assert tables.label == "Wuhan, all patients"
    (frozen,) = [line for line in tables.by_threshold.lines if "(frozen)" in line.label]
    assert frozen.label == "0.5 (frozen)"
    # 0.12 stood among 0.102 and 0.203
    others = [line.label for line in tables.by_threshold.lines if line is not frozen]
    assert all(re.fullmatch(r"0\.\d{3}", label) for label in others), others
    a, b = cell.sensitivity.value, cell.specificity.value
    for place, share in enumerate((0.1, 0.2, 0.3, 0.4)):
        ppv, npv = frozen.entries[2 + 2 * place : 4 + 2 * place]
        assert float(ppv.text) == pytest.approx(a * share / (a * share + (1 - b) * (1 - share)), abs=5e-4)
        assert float(npv.text) == pytest.approx(
            b * (1 - share) / (b * (1 - share) + (1 - a) * share), abs=5e-4
        )
        assert (ppv.text, ppv.below) == show(predict_values(cell.sensitivity, cell.specificity, share)[0])
    assert len(tables.by_model.lines) == 3


def test_other_thresholds_are_steps_of_the_curve_near_fixed_risks():
    (cell, *_) = [c for c in study(EXTERNAL).evaluation if c.relation == "external" and c.part == "whole"]

    points = list_operating_points(cell, 0.5)

    assert 3 <= len(points) <= 5
    steps = {point.threshold: point for point in cell.roc}
    for point in points:
        if not point.frozen:
            step = steps[point.threshold]
            assert min(abs(point.threshold - risk) for risk in (0.1, 0.2, 0.3, 0.4)) <= 0.05
            assert point.sensitivity.value == step.true_positive_rate
            assert point.specificity.value == 1 - step.false_positive_rate
            spared = round(point.specificity.value * cell.negative)
            assert point.specificity.low < spared / cell.negative < point.specificity.high or spared in {
                0,
                cell.negative,
            }


def test_a_rounded_curve_has_a_specificity_without_interval():
    (cell, *_) = [c for c in study(EXTERNAL).evaluation if c.relation == "external" and c.part == "whole"]
    rounded = tuple(
        point.model_copy(update={"false_positive_rate": point.false_positive_rate * 0.99})
        for point in cell.roc
    )

    points = list_operating_points(cell.model_copy(update={"roc": rounded}), 0.5)

    assert all(point.specificity.low is None for point in points if not point.frozen)


def test_a_given_score_has_thresholds_that_the_outcome_does_not_choose():
    cells = [c for c in study(EXTERNAL).evaluation if c.model == "BRAIN" and c.part == "whole"]

    points = list_operating_points(cells[0], 0.5)

    assert len(points) == 4
    assert sum(point.frozen for point in points) == 1


def test_forests_show_auc_intercept_and_slope_of_each_centre():
    results = study(EXTERNAL)
    (forest, *_) = build_forests(subject_of(results))

    assert forest.model.name == "net"
    for line in forest.lines:
        auc, intercept, slope = line.estimates
        assert (auc, intercept, slope) == (
            line.cell.auc,
            line.cell.calibration.intercept,
            line.cell.calibration.slope,
        )
        assert len(line.cell.cohort_sites) == 1
        assert line.cell.relation in {"internal", "external"}
    chapter = Page(render_chapter(results, "centres"))
    assert "AUC and calibration by centre" in chapter.text
    assert len(chapter.of_class("axis-line")) > 10


@pytest.mark.parametrize(
    ("estimate", "mark"),
    [
        (Estimate(0.75, 0.5, 1.0), (50, 75, 100, False, False)),
        (Estimate(0.75), (None, 75, None, False, False)),
        (Estimate(None, standing=make_study(Make(suppressed=True)).evaluation[0].auc.standing), (None,) * 3),
    ],
)
def test_a_mark_lies_where_its_number_is(estimate, mark):
    found = place_mark(estimate, "auc")

    assert (found.low, found.value, found.high, found.beyond_low, found.beyond_high)[: len(mark)] == mark


def test_an_interval_beyond_the_axis_goes_on_in_an_arrow():
    _, left, right, middle = SCALES["intercept"]
    found = place_mark(Estimate(right + 1, left - 1, right + 2), "intercept")

    assert (found.low, found.value, found.high) == (0, None, 100)
    assert found.beyond_low
    assert found.beyond_high
    assert place_mark(Estimate(middle, middle, middle), "intercept").value == 50


def test_subgroups_open_with_the_reference_and_fold_by_relation():
    results = study(EXTERNAL)
    plots = build_subgroup_plots(subject_of(results))
    html = render_chapter(results, "subgroups")

    shown = [plot for plot in plots if plot.opens]
    assert {plot.name for plot in shown} == {"net"}
    assert len(re.findall(r"<details>", html)) == len({plot.relation for plot in plots if not plot.opens})
    assert Page(html).of_class("glance")


def test_the_file_has_every_number_in_full_with_the_words(tmp_path):
    results = study(EXTERNAL)
    (path,) = [one for one in write_tables(results, tmp_path) if one.stem == "carry_over"]
    rows = list(csv.DictReader(path.read_text().splitlines()))

    carried = [c for c in results.evaluation if c.relation == "external" and c.part == "whole"]
    assert len(rows) == len(carried)
    for row, cell in zip(rows, carried, strict=True):
        (test,) = cell.from_internal
        assert (float(row["difference"]), float(row["difference_low"])) == (
            test.difference.value,
            test.difference.low,
        )
        judged = judge_cell(cell, 0.5)
        assert (row["verdict"], row["use"]) == (judged.title, judged.benefit.words)
        assert float(row["gain_over_treat_all"]) == judged.gain.value
        assert float(row["net_benefit_high"]) == judged.point.high


def test_a_model_without_an_internal_test_stands_in_the_file_too(tmp_path):
    """Files that record no internal difference had no carry_over.csv at all."""
    results = make_study(EXTERNAL)
    (path,) = [one for one in write_tables(results, tmp_path) if one.stem == "carry_over"]

    rows = list(csv.DictReader(path.read_text().splitlines()))

    carried = [c for c in results.evaluation if c.relation == "external" and c.part == "whole"]
    assert [row["model"] for row in rows] == [cell.model for cell in carried]
    assert {(row["home"], row["difference"], row["difference_status"]) for row in rows} == {("", "", "")}
    assert all(row["verdict"] for row in rows)
    assert all(row["gain_over_treat_all_status"] for row in rows)


def test_without_external_centres_there_is_no_such_file(tmp_path):
    alone = make_study(Make(training=("Solo",), models=("net",), pooled=False, rounds=1))

    assert "carry_over" not in {one.stem for one in write_tables(alone, tmp_path)}


@pytest.mark.parametrize(("external", "said"), [((), 1), (("Wuhan",), 0)])
def test_without_a_new_centre_the_page_says_that_it_does_not_answer(external, said):
    make = Make(training=("Solo",), external=external, models=("net",), pooled=False, rounds=1)

    text = Page(render_chapter(make_study(make), "summary")).text

    assert text.count("whether one carries over is not answered here") == said


def test_withheld_numbers_give_no_verdict_and_no_number():
    hidden = make_study(
        Make(
            external=("Wuhan",),
            models=("net",),
            suppressed=True,
            profile="standard",
            synthetic=False,
            rounds=1,
        )
    )

    text = Page(render_chapter(hidden, "summary")).text

    assert "Not shown to carry over" in text
    assert "Carries over in part 2D" not in text
    assert not re.findall(r"\d\.\d{3}", text)
    assert "None" not in text
