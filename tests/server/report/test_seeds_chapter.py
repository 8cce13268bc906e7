"""The page's chapter of seeds: which training stands where, and what the spread says of differences."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from studies.page import decode_picture
from studies.repeats import add_spreads
from studies.results import Make, make_study
from studies.svg_styles import list_styled

from server.report.page import render_page
from server.report.seeds_chapter import build_seeds
from server.report.subject import subject_of
from server.report.tables import write_tables

STUDY = Make(training=("A", "B"), external=("C",), models=("first", "second"), rounds=3)
SHIFTS = {"first": (0.04, -0.03), "second": (0.01, -0.06)}


@pytest.fixture(scope="module")
def results():
    return add_spreads(make_study(STUDY), SHIFTS)


@pytest.fixture(scope="module")
def chapter(results):
    found = build_seeds(subject_of(results))
    assert found is not None
    return found


def find_group(chapter, title):
    (group,) = [group for group in chapter.groups if group.title == title]
    return group


def test_each_arm_has_its_internal_and_its_external_patients(chapter):
    titles = [group.title for group in chapter.groups]

    assert titles[:2] == [
        "Federated \N{RIGHTWARDS ARROW} A + B, internal test",
        "Federated \N{RIGHTWARDS ARROW} C, all patients (external)",
    ]
    assert [group.leading for group in chapter.groups] == [True, True] + [False] * (len(titles) - 2)
    # What a centre's own model meets at the other training centre is external to it, too
    assert "A alone \N{RIGHTWARDS ARROW} A, internal test" in titles


def test_the_table_has_each_training_and_numpys_summary(chapter):
    group = find_group(chapter, "Federated \N{RIGHTWARDS ARROW} C, all patients (external)")
    place = [line.label for line in chapter.table.lines].index(group.title)

    for line, one in zip(chapter.table.lines[place + 1 :], group.networks, strict=False):
        first, others, *summary = (entry.text for entry in line.entries)
        values = np.array([training.auc.value for training in one.spread.trainings])
        assert first.startswith(f"{one.cell.auc.value:.3f} (")
        assert others == "; ".join(f"{value:.3f}" for value in values[1:])
        expected = (values.min(), np.median(values), values.max(), values.std(ddof=1))
        assert summary == [f"{value:.3f}" for value in expected]


def test_a_difference_is_told_beside_what_seeds_move(results):
    """Once the second's AUC lies .02 below the first's, which seeds move by .07; once .3 below."""
    for below, words in (
        (0.02, "is smaller than what seeds alone move"),
        (0.3, "is not smaller than what seeds alone move either"),
    ):
        leads = {
            (cell.arm, cell.cohort_sites, cell.part): cell.auc.value
            for cell in results.evaluation
            if cell.model == "first"
        }
        moved = tuple(
            cell
            if cell.model == "first"
            else cell.model_copy(
                update={
                    "auc": cell.auc.__class__(
                        leads[cell.arm, cell.cohort_sites, cell.part] - below, method="delong"
                    )
                }
            )
            for cell in results.evaluation
        )
        study = add_spreads(
            results.model_copy(update={"evaluation": moved}), {"first": (0.04, -0.03), "second": (0.0, 0.0)}
        )

        found = build_seeds(subject_of(study))

        assert found is not None
        for group in found.groups:
            said = group.sentences[-1]
            assert said.startswith(f"The difference of first from second ({below:.3f} against 0.070) {words}")
            assert ("another seed could turn their order" in said) is (below < 0.07)


def test_a_training_without_a_network_is_told_and_left_out_of_the_summary():
    study = add_spreads(make_study(STUDY), {"first": (None, 0.02)})

    found = build_seeds(subject_of(study))

    line = found.table.lines[1]
    assert line.entries[1].text.startswith("not defined; ")
    assert ("a", "first-seed-2: not trained: diverged.") in [
        (letter, text) for letter, text in found.table.footnotes if letter == line.entries[1].mark
    ]
    assert find_group(found, found.groups[0].title).sentences[0].endswith("(first, 2 seeds).")


def test_the_figure_has_a_diamond_and_rings_at_the_aucs(chapter):
    svg = ET.fromstring(decode_picture(chapter.figure.source))  # noqa: S314 - our own picture
    group = chapter.groups[0]
    style = subject_of_colours(chapter)[group.networks[0].cell.model]

    marks = [
        (float(use.get("x")), float(use.get("y")))
        for use in svg.iter("{http://www.w3.org/2000/svg}use")
        if style in ET.tostring(use).decode().lower() or use in list_styled(svg, f"stroke: {style}")
    ]

    top = sorted(marks, key=lambda mark: mark[1])[:3]
    values = sorted(training.auc.value for training in group.networks[0].spread.trainings)
    places = sorted(x for x, _ in top)
    share = (places[1] - places[0]) / (places[2] - places[0])
    assert share == pytest.approx((values[1] - values[0]) / (values[2] - values[0]), abs=2e-3)


def subject_of_colours(chapter):
    spreads = [one.spread for group in chapter.groups for one in group.networks]
    results = make_study(STUDY).model_copy(update={"seed_spreads": tuple(spreads)})
    return {name: style.colour.lower() for name, style in subject_of(results).model_styles.items()}


def test_the_page_says_that_the_first_stands_everywhere(results):
    page = render_page(results)

    assert 'href="#seeds"' in page
    assert "<b>The first training is the model of every other table, comparison and verdict.</b>" in page
    assert "every number here is of the first" in page.split('<section id="patients">')[0]


def test_a_study_of_one_seed_has_neither_chapter_nor_file(tmp_path):
    study = make_study(STUDY)

    assert build_seeds(subject_of(study)) is None
    assert 'id="seeds"' not in render_page(study)
    assert "seeds.csv" not in {path.name for path in write_tables(study, tmp_path)}


def test_the_file_has_a_row_for_each_training(results, tmp_path):
    write_tables(results, tmp_path)

    with (tmp_path / "seeds.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(results.seed_spreads)
    assert [row["training"] for row in rows[:3]] == ["1", "2", "3"]
    first = results.seed_spreads[0]
    assert [float(row["auc"]) for row in rows[:3]] == [one.auc.value for one in first.trainings]
    assert [row["trained_as"] for row in rows[:3]] == ["first", "first-seed-2", "first-seed-3"]
    described = (tmp_path / "columns.csv").read_text(encoding="utf-8")
    assert len(re.findall("^seeds,", described, flags=re.MULTILINE)) == 1 + len(rows[0])
