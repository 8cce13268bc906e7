"""Means of attention maps on the page and in their table: the same numbers, and why one is missing."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from studies.page import Page, decode_picture, render_chapter
from studies.results import Make, make_study

from common.stats.estimate import suppressed
from server.report import write_tables
from server.report.mean_maps import build_attention
from server.report.subject import subject_of
from server.results.file import load_results, save_results
from server.results.mean_attention import MeanAttention

TOGETHER = ("Chongqing", "Nanjing")
LESION = ((0.1, 0.6, 0.1), (0.6, 1.0, 0.6), (0.1, 0.6, 0.0), (0.0, 0.0, 0.0))


def map_of(sites=TOGETHER, *, positive=True, model="net", peak=0.44, **changes):
    """Three columns of four cells; in the first column's last nobody has enough."""
    attention = ((0.01, 0.02, 0.03), (0.05, 0.3, 0.2), (0.1, 0.2, peak), (None, 0.02, 0.01))
    fields = {
        "model": model,
        "arm": "federated",
        "cohort_sites": sites,
        "part": "test",
        "positive": positive,
        "patients": 1200,
        "sites": len(sites),
        "left_mm": -7.5,
        "front_mm": -12.5,
        "attention": attention,
        "lesion": LESION,
    }
    return MeanAttention.model_validate(fields | changes)


def withhold(sites, *, positive):
    return map_of(
        sites,
        positive=positive,
        patients=None,
        attention=(),
        lesion=(),
        standing=suppressed("fewer than 20 patients"),
    )


@pytest.fixture(scope="module")
def study():
    study = make_study(Make(models=("net",), rounds=1))
    maps = (
        *(map_of(positive=positive) for positive in (False, True)),
        *(map_of((TOGETHER[0],), positive=positive, patients=None) for positive in (False, True)),
        *(withhold((TOGETHER[1],), positive=positive) for positive in (False, True)),
    )
    return study.model_copy(update={"mean_attention": maps})


def test_both_outcomes_stand_side_by_side_on_the_largest_cohort(study):
    chapter = build_attention(subject_of(study))

    (large,) = chapter.pictures
    (part,) = chapter.others
    assert large.label == "Federated: Chongqing + Nanjing, internal test"
    assert large.caption == "rHE (1,200 patients) and non-rHE (1,200 patients)"
    assert part.caption == "rHE (number withheld) and non-rHE (number withheld)"
    assert chapter.absent == ("net, Federated: Nanjing, internal test: withheld: fewer than 20 patients",)


def test_the_picture_has_sides_millimetres_and_a_bar(study):
    (picture, *_) = build_attention(subject_of(study)).pictures
    code = decode_picture(picture.picture.source)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", code)

    assert texts.count("R") == texts.count("L") == 2
    assert {"rHE", "non-rHE", "Mean attention", "Front to back (mm)", "20"} <= set(texts)
    assert texts.count("Right to left (mm)") == 2
    assert {"0", "0.25", "0.5"} <= {text.rstrip("0") if "." in text else text for text in texts}
    assert picture.picture.alt.startswith("Mean attention of net about the lesion's centre")
    assert len(code) < 20_000


def test_one_outcome_may_be_missing():
    study = make_study(Make(models=("net",), rounds=1))
    maps = (map_of(), withhold(TOGETHER, positive=False))

    chapter = build_attention(subject_of(study.model_copy(update={"mean_attention": maps})))

    (large,) = chapter.pictures
    assert large.caption == "rHE (1,200 patients) and non-rHE (withheld: fewer than 20 patients)"
    assert chapter.absent == ()


def test_the_chapter_says_what_it_shows(study):
    text = Page(render_chapter(study, "attention")).text
    without = Page(render_chapter(study.model_copy(update={"mean_attention": ()}), "attention")).text

    assert "Mean of the tested patients' maps about the centre of the lesion" in text
    assert "Not shown: net, Federated: Nanjing, internal test: withheld: fewer than 20 patients." in text
    assert "in no patient of a centre anything there spoke" in text
    assert "On average over patients" not in without


def test_the_table_has_every_cell_at_its_place(study, tmp_path):
    write_tables(study, tmp_path)

    with (tmp_path / "mean_attention.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    first = [row for row in rows if row["group"] == "positive" and row["patients"] == "1200"]
    assert len(first) == 12
    found = {(float(row["left_mm"]), float(row["back_mm"])): row["attention"] for row in first}
    assert found[2.5, -2.5] == "0.44"
    assert found[-7.5, 2.5] == ""
    assert sum(row["status"] == "suppressed: fewer than 20 patients" for row in rows) == 2
    assert {row["cohort"] for row in rows} == {"Chongqing + Nanjing", "Chongqing", "Nanjing"}


def test_the_file_gives_the_same_maps_back(study, tmp_path):
    save_results(study, tmp_path / "results.json")

    assert load_results(tmp_path / "results.json").mean_attention == study.mean_attention


def test_a_map_of_a_network_that_was_not_trained_is_refused(study):
    wrong = study.model_copy(update={"mean_attention": (map_of(model="other"),)})

    with pytest.raises(ValueError, match="models that were not trained"):
        type(study).model_validate(wrong.model_dump())


def test_an_empty_map_is_drawn_without_an_outline():
    study = make_study(Make(models=("net",), rounds=1))
    empty = map_of(attention=((0.0, 0.0),), lesion=((0.0, None),))

    chapter = build_attention(subject_of(study.model_copy(update={"mean_attention": (empty,)})))

    assert np.size(chapter.pictures) == 1
