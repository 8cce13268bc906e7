"""Selected radiomics features and support vector machines, as the page and the files show them."""

import csv
import xml.etree.ElementTree as ET

import pytest
from studies.page import Page, cut_chapter, decode_picture, render_chapter, render_chapters, render_words
from studies.results import SMALL, Make, make_study
from studies.svg_styles import list_styled

from common.messages.headers import PathPoint, SelectedFeature
from common.stats.estimate import Status
from server.report import write_tables
from server.report.palette import style_features
from server.results.file import load_results, save_results
from server.results.selection import FeatureSelection
from server.results.training import SupportVectorMachine

SPHERICITY, ENERGY = "original_shape_Sphericity", "wavelet-LLH_firstorder_Energy"
PATH = tuple(
    PathPoint(penalty=0.3 / 2**step, loss=0.25 - 0.01 * min(step, 4 - step), standard_error=0.02, active=step)
    for step in range(5)
)
FEATURES = (
    SelectedFeature(
        name=SPHERICITY, coefficient=-0.02, mean=0.5, sd=0.1, profile=(0, -0.01, -0.02, -0.03, -0.03)
    ),
    SelectedFeature(name=ENERGY, coefficient=0.05, mean=2e7, sd=4e6, profile=(0, 0.01, 0.05, 0.06, 0.07)),
)
SELECTION = FeatureSelection(
    arm="federated",
    kind="federated",
    sites=("Chongqing", "Nanjing"),
    candidates=851,
    prescreened=42,
    features=FEATURES,
    penalty=0.075,
    path=PATH,
    used=84,
    method="Gaussian LASSO, 5 folds, lambda_min",
)
ALONE = SELECTION.model_copy(
    update={
        "arm": "local-Nanjing",
        "kind": "local",
        "sites": ("Nanjing",),
        "features": FEATURES[:1],
        "used": 42,
    }
)
HIDDEN = FeatureSelection(
    arm="local-Chongqing",
    kind="local",
    sites=("Chongqing",),
    candidates=851,
    prescreened=0,
    features=(),
    penalty=None,
    path=(),
    used=None,
    method="",
    standing=SMALL,
)
MACHINES = (
    SupportVectorMachine(
        model="Combined-SVM",
        arm="federated",
        kind="federated",
        sites=("Chongqing", "Nanjing"),
        covariates=("ivh", SPHERICITY, ENERGY),
        c=10.0,
        gamma=0.03,
        features=64,
        criterion=-0.512,
        used=83,
        missing=1,
        method="ridge-penalised logistic regression on 64 random Fourier features",
    ),
    SupportVectorMachine(
        model="Combined-SVM",
        arm="local-Nanjing",
        kind="local",
        sites=("Nanjing",),
        covariates=("ivh", SPHERICITY),
        c=0.1,
        gamma=0.003,
        features=64,
        criterion=0.871,
        deviation=0.0214,
        used=42,
        missing=0,
        method="linear in 64 random Fourier features, Platt's scaling",
    ),
    SupportVectorMachine(
        model="Combined-SVM",
        arm="local-Chongqing",
        kind="local",
        sites=("Chongqing",),
        standing=Status(kind="suppressed", reason="the model stayed at its centre"),
    ),
)


def with_models(*selections, machines=MACHINES):
    study = make_study(Make(models=("net",), pooled=False, rounds=2))
    return study.model_copy(update={"selections": selections, "machines": machines})


@pytest.fixture(scope="module")
def results():
    return with_models(SELECTION, HIDDEN, ALONE)


@pytest.fixture(scope="module")
def html(results):
    return render_chapters(results, "selections", "training")


@pytest.fixture
def files(results, tmp_path):
    return {path.stem: path for path in write_tables(results, tmp_path)}


def rows_of(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def records_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_printed_table_has_both_coefficients_the_strongest_first(files):
    rows = rows_of(files["table_s3"])

    assert rows[0][2::2] == ["Federated", "Chongqing alone", "Nanjing alone"]
    lines = {row[0]: row[2:] for row in rows[2:] if row}
    assert list(lines)[:3] == [ENERGY, SPHERICITY, "Patients"]
    minus, dash = "\N{MINUS SIGN}", "\N{EN DASH}"
    assert lines[ENERGY] == ["0.05", "1.25e-08", "withheld [a]", "", dash, ""]
    assert lines[SPHERICITY] == [
        f"{minus}0.02",
        f"{minus}0.2",
        "withheld [a]",
        "",
        f"{minus}0.02",
        f"{minus}0.2",
    ]
    assert lines["Patients"][::2] == ["84", "withheld", "42"]
    assert [f"[a] Withheld: {SMALL.reason}."] in rows


def test_the_page_shows_the_path_and_marks_the_chosen_penalty(html):
    text = cut_chapter(html, "selections")
    page = Page(text)

    assert "84 patients, 851 features, prescreened to 42; 2 were selected at" in page.text
    assert "42 patients, 851 features, prescreened to 42; 1 was selected at" in page.text
    assert f"No features were selected (withheld: {SMALL.reason})." in page.text
    pictures = page.all("img")
    assert len(pictures) == 2
    assert all("chosen penalty 0.075" in picture["alt"] for picture in pictures)
    assert "Combined-SVM takes them" in page.text
    drawn = [decode_picture(picture["src"]) for picture in pictures]
    first, second = (style.colour.lower() for style in style_features((SPHERICITY, ENERGY)).values())
    assert [(first in svg, second in svg) for svg in drawn] == [(True, True), (True, False)]
    # The chosen penalty in both panels, and the second feature.
    dashed = [len(list_styled(ET.fromstring(svg), "stroke-dasharray")) for svg in drawn]  # noqa: S314
    assert dashed == [3, 2]


def test_the_page_says_in_how_many_folds_and_rounds_and_why(tmp_path):
    as_planned = {"folds": 10, "planned_folds": 10, "rounds": 5, "family": "gaussian"}
    why = "of 5 or more, one would have fewer than 20 patients or 5 of a class"
    fewer = as_planned | {"folds": 4, "fold_reason": why, "rounds": None}
    results = with_models(SELECTION.model_copy(update=as_planned), ALONE.model_copy(update=fewer))

    text = Page(render_chapter(results, "selections")).text
    (path,) = [path for path in write_tables(results, tmp_path) if path.stem == "selections"]

    dealt = "dealt by outcome within each centre"
    assert f"The cross-validation has the plan's 10 folds, {dealt}. It took 5 rounds of messages." in text
    assert f"The cross-validation has 4 folds, {dealt}, for the plan's 10: {why}." in text
    assert text.count("rounds of messages") == 1
    rows = {row["arm"]: row for row in records_of(path)}
    assert (rows["federated"]["folds"], rows["federated"]["rounds"]) == ("10", "5")
    assert (rows["local-Nanjing"]["folds"], rows["local-Nanjing"]["planned_folds"]) == ("4", "10")
    assert rows["local-Nanjing"]["fold_reason"] == why


def test_of_a_binomial_selection_the_page_says_what_its_numbers_are():
    binomial = SELECTION.model_copy(update={"family": "binomial", "rounds": 352})

    text = render_chapter(with_models(binomial), "selections")

    assert "Coefficients of the LASSO on the log odds of the outcome" in text
    assert "It took 352 rounds of messages" in text
    drawn = decode_picture(Page(text).all("img")[0]["src"])
    assert "binomial deviance" in drawn
    assert "mean squared" not in drawn


def test_results_that_do_not_record_folds_say_nothing_of_them(html):
    text = cut_chapter(html, "selections")

    assert "The cross-validation has" not in text
    assert "rounds of messages" not in text


def test_a_machine_says_in_how_many_folds_it_was_chosen():
    folds = {"folds": 4, "fold_reason": "a class has no more patients"}
    machines = (MACHINES[0].model_copy(update=folds), *MACHINES[1:])

    text = Page(render_chapter(with_models(SELECTION, machines=machines), "training")).text

    assert "Fourier features; cross-validated in 4 folds (a class has no more patients)." in text


def test_the_machines_are_told_apart_by_what_travels(html):
    text = Page(cut_chapter(html, "training")).text

    assert "holds patients' rows and never leaves" in text
    assert "log-likelihood \N{MINUS SIGN}0.512" in text
    assert "AUC 0.871" in text
    assert "no exact one exists" in text
    assert "0.021" in text
    assert "the model stayed at its centre" in text


def test_the_files_hold_every_number_in_full(files):
    selected = records_of(files["selections"])
    assert [(row["arm"], row["feature"]) for row in selected] == [
        ("federated", SPHERICITY),
        ("federated", ENERGY),
        ("local-Chongqing", ""),
        ("local-Nanjing", SPHERICITY),
    ]
    assert float(selected[0]["coefficient_per_unit"]) == -0.02 / 0.1
    assert selected[2]["status"] == f"suppressed: {SMALL.reason}"
    path = [row for row in records_of(files["lasso_path"]) if row["arm"] == "federated"]
    assert [row["chosen"] for row in path] == ["0", "0", "1", "0", "0"]
    assert [int(row["features"]) for row in path] == [0, 1, 2, 3, 4]
    profiles = records_of(files["lasso_coefficients"])
    assert len(profiles) == 3 * len(PATH)
    assert float(profiles[7]["coefficient_per_sd"]) == 0.05
    machines = records_of(files["machines"])
    assert [row["deviation"] for row in machines] == ["", "0.0214", ""]
    assert machines[0]["covariates"] == f"ivh + {SPHERICITY} + {ENERGY}"
    assert machines[2]["c"] == ""


def test_a_selection_of_nothing_says_so(tmp_path):
    nothing = SELECTION.model_copy(update={"features": ()})
    results = with_models(nothing, machines=())

    text = Page(render_chapter(results, "selections")).text
    (path,) = [path for path in write_tables(results, tmp_path) if path.stem == "table_s3"]

    assert "0 were selected at" in text
    assert rows_of(path)[2][0] == "No feature"


def test_models_that_lack_their_radiomics_are_named():
    reason = f"without radiomics: withheld because {SMALL.reason}"
    unfitted = MACHINES[2].model_copy(update={"standing": Status("suppressed", reason)})

    html = render_chapters(with_models(HIDDEN, machines=(*MACHINES[:2], unfitted)), "selections", "training")

    text = Page(cut_chapter(html, "selections")).text
    assert "Without them this arm has no Combined-SVM." in text
    assert reason in Page(cut_chapter(html, "training")).text


def test_without_radiomics_and_machines_there_is_neither_chapter_nor_file(tmp_path):
    results = make_study(Make(models=("net",), pooled=False, rounds=2))

    written = {path.stem for path in write_tables(results, tmp_path)}

    page = render_words(results)
    assert '<section id="selections">' not in page
    assert "Support vector machines" not in page
    assert not written & {"table_s3", "selections", "lasso_path", "lasso_coefficients", "machines"}


def test_results_with_selections_are_saved_and_loaded(results, tmp_path):
    save_results(results, tmp_path / "results.json")

    assert load_results(tmp_path / "results.json") == results
