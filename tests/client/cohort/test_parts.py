"""Which part of the cohort each patient is in."""

from __future__ import annotations

import logging
import re

import pytest
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from client.cohort.intake import inspect_site
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.errors import CohortError
from common.plan.study import StudyPlan

THREE = ("train", "train", "train", "validation", "test")


def plan(role: str = "train", validation: float = 0.2) -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "Scores alone",
            "seed": 5,
            "profile": "simulation",
            "two_site_ack": True,
            "phases": ["cohort"],
            "sites": [{"name": "north", "role": role}, {"name": "south", "role": "train"}],
            "models": [{"kind": "scores", "name": "A", "column": "score_a"}],
            "cohort": {"validation_fraction": validation},
        }
    )


@pytest.fixture
def made(tmp_path):
    return lambda split=THREE, **habits: table_only_hospital(
        tmp_path / "north", "north", 40, habits=Habits(split=split, **habits)
    )


@pytest.fixture
def prepared(tmp_path, progress):
    return lambda folder, study: prepare_site(folder, study, tmp_path / "cache", progress)


def given(folder) -> dict[str, str]:
    return {row["patient"]: row["split"] for row in read_cohort(folder)}


def change(folder, *rows: int, split: str) -> None:
    table = read_cohort(folder)
    for number in rows:
        table[number - 2]["split"] = split
    write_cohort(folder, table)


def parts(site) -> dict[str, str]:
    return {case.patient.identifier: case.part for case in site.cases}


def stopped(folder, study) -> list[str]:
    return [str(finding) for finding in inspect_site(folder, study).site_findings]


def test_a_filled_column_is_the_split_and_says_so(made, prepared, caplog, tmp_path):
    folder = made()
    with caplog.at_level(logging.INFO):
        site = prepared(folder, plan())

    assert parts(site) == given(folder)
    assert set(parts(site).values()) == set(THREE)
    assert "split site=north by=table patients=40" in caplog.text
    (note,) = site.notes
    assert str(note) == (
        "cohort.csv, column 'split': divides the patients (25 train, 8 validation, 7 test); the plan's "
        "random split is not used"
    )
    write_quality_page(site, tmp_path / "page.html")
    assert "random split is not used" in (tmp_path / "page.html").read_text()


def test_the_column_of_a_workbook_serves_as_well(made, prepared, tmp_path):
    folder = made(workbook=True)
    twin = table_only_hospital(tmp_path / "csv", "north", 40, habits=Habits(split=THREE))
    assert parts(prepared(folder, plan())) == given(twin)


def test_without_the_column_the_plan_draws(made, prepared, caplog):
    with caplog.at_level(logging.INFO):
        site = prepared(made(split=()), plan())

    assert "split site=north by=plan" in caplog.text
    assert sorted(parts(site).values()).count("test") == 12
    assert site.notes == ()


def test_a_blank_column_is_none(made, prepared):
    folder = made()
    drawn = parts(prepared(folder, plan()))
    change(folder, *range(2, 42), split="")

    site = prepared(folder, plan())

    assert parts(site) != drawn
    assert site.notes == ()


def test_a_column_filled_for_some_stops_a_training_site(made, prepared):
    folder = made()
    change(folder, 7, 9, split="")

    expected = (
        "cohort.csv, row 7, column 'split': blank here and in 1 more rows, but filled for 38 patients -> "
        "write the part of every patient, or of none: then the plan divides them"
    )
    assert stopped(folder, plan()) == [expected]
    with pytest.raises(CohortError, match="row 7, column 'split'"):
        prepared(folder, plan())


def test_a_patient_who_is_not_studied_needs_no_part(made, prepared):
    folder = made()
    rows = read_cohort(folder)
    rows[5] |= {"split": "", "age": "12"}
    rows[6] |= {"split": "", "ich_volume_ml": ""}
    write_cohort(folder, rows)

    site = prepared(folder, plan())

    assert len(site.cases) == 38
    assert parts(site) == {name: part for name, part in given(folder).items() if part}


def test_an_unknown_part_refuses_its_row(made):
    folder = made()
    change(folder, 5, split="training")

    (finding,) = inspect_site(folder, plan()).rejected

    assert re.match(
        r"cohort\.csv, row 5, column 'split' .*'training' is none of: .* -> did you mean", str(finding)
    )


def test_an_external_site_tests_everybody_and_is_told(made, prepared):
    folder = made()
    change(folder, 7, split="")

    site = prepared(folder, plan("external"))

    assert set(parts(site).values()) == {"test"}
    assert [note.what for note in site.notes] == ["is not used: at an external site every patient is tested"]


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("outcome", "name"), [(True, "with"), (False, "without")])
def test_a_class_that_a_part_lacks_is_noted(made, prepared, part, outcome, name):
    folder = made()
    other = "test" if part == "train" else "train"
    lacking = [
        case.patient.row
        for case in prepared(folder, plan()).cases
        if case.part == part and case.positive == outcome
    ]
    change(folder, *lacking, split=other)

    site = prepared(folder, plan())

    assert f"the part {part} has no patient {name} expansion" in [note.what for note in site.notes]


def test_no_validation_is_enough_if_the_plan_wants_none_and_noted_if_it_does(made, prepared):
    folder = made(split=("train", "test"))

    assert len(prepared(folder, plan(validation=0)).notes) == 1
    notes = [note.what for note in prepared(folder, plan()).notes]
    assert [note.split(" (")[0].split(":")[0] for note in notes] == [
        "divides the patients",
        "has no validation patients",
    ]


def test_validation_patients_are_refused_if_the_plan_has_no_validation(made):
    (finding,) = stopped(made(), plan(validation=0))

    assert finding.endswith(
        "column 'split': 8 patients are in the part validation, which the plan does not have "
        "(validation_fraction = 0) -> write train or test"
    )
