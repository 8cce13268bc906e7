"""A site whose study predicts a column of its table: no scan is needed, a blank cell refuses."""

import csv
import json

import pytest

from client.cohort.check import check_site
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.plan.study import StudyPlan

HEADING = ("patient", "age", "gcs", "cause", "poor")
POOR = {"endpoint": "column", "column": "poor", "label": "Poor outcome", "meaning": "mRS 3 to 6"}


def a_plan(**changes):
    return StudyPlan.model_validate(
        {
            "name": "Another question",
            "seed": 5,
            "profile": "simulation",
            "phases": ["cohort", "regression", "evaluation"],
            "sites": [{"name": "north", "role": "train"}],
            "cohort": {"described": ["age", "gcs", "cause"], "outcome": POOR, "validation_fraction": 0},
            "eligibility": {
                "paper": [],
                "rules": [{"variable": "cause", "label": "Secondary hemorrhage", "values": ["other"]}],
            },
            "variables": [
                {"name": "gcs", "kind": "count", "range": [3, 15]},
                {"name": "cause", "kind": "categorical", "levels": ["CAA", "other"]},
            ],
            "models": [{"kind": "scores", "name": "GCS", "column": "gcs", "risk": "falls"}],
            **changes,
        }
    )


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "north"
    path.mkdir()
    (path / "site.toml").write_text(
        'name = "north"\ntable = "cohort.csv"\nsynthetic = true\n[policy]\nprofiles = ["simulation"]\n'
    )
    (path / "SYNTHETIC.json").write_text(json.dumps({"made_by": "tests"}))
    rows = [(f"P{n:02d}", 50 + n, 3 + n % 13, "other" if n % 8 == 0 else "CAA", n % 2) for n in range(24)]
    write_rows(path, [*rows, ("P90", 60, 9, "CAA", ""), ("P91", 60, 16, "CAA", 1), ("P92", 60, 9, "", 1)])
    return path


def write_rows(folder, rows):
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADING, *rows])


def test_patients_have_the_outcome_of_their_cells(folder, tmp_path, progress):
    site = prepare_site(folder, a_plan(), tmp_path / "cache", progress)

    assert len(site.cases) == 21
    assert all(case.positive == bool(int(case.patient.identifier[1:]) % 2) for case in site.cases)
    assert {(case.expansion, case.baseline, case.followup) for case in site.cases} == {(None, None, None)}
    assert [(one.criterion.label, len(one.patients)) for one in site.flow.exclusions] == [
        ("Secondary hemorrhage", 3)
    ]
    said = "\n".join(map(str, site.findings))
    assert "P90" in said
    assert "'poor' is blank: whether there was 'Poor outcome' is unknown" in said
    assert "write 1 for yes (mRS 3 to 6), 0 for no" in said
    assert "16 is impossible (possible: a whole number, 3 to 15)" in said
    assert "'cause' blank: the patient's eligibility is unknown" in said
    assert "volumes" not in said


def test_the_quality_page_names_the_outcome(folder, tmp_path, progress):
    site = prepare_site(folder, a_plan(), tmp_path / "cache", progress)

    write_quality_page(site, tmp_path / "quality.html")

    page = (tmp_path / "quality.html").read_text()
    assert "<th>Poor outcome</th>" in page
    assert "Expansion" not in page
    assert "<td>gcs</td>" in page.replace("<td><code>gcs</code></td>", "<td>gcs</td>")


def test_one_outcome_is_said_in_the_plan_s_words(folder, progress):
    write_rows(folder, [(f"P{n:02d}", 50, 9, "CAA", 0) for n in range(20)])

    checked = check_site(folder, progress, pixels=False, plan=a_plan())

    said = "\n".join(map(str, checked.notes))
    assert "none is with Poor outcome" in said
    assert "expansion" not in said


def test_volumes_of_the_table_are_used_where_the_plan_names_them(folder, tmp_path, progress):
    rows = [(f"P{n:02d}", 50, 9, "CAA", n % 2, 10 + n, 0) for n in range(20)]
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [(*HEADING, "ich_volume_ml", "ivh_volume_ml"), *rows, ("P20", 50, 9, "CAA", 1)]
        )
    settings = {"described": ["ich_volume_ml", "gcs"], "outcome": POOR, "validation_fraction": 0}
    (folder / "cohort.csv").write_text((folder / "cohort.csv").read_text().rstrip() + ",,\n")

    site = prepare_site(folder, a_plan(cohort=settings), tmp_path / "cache", progress)

    known = [case.baseline and case.baseline.ich_ml for case in site.cases]
    assert known == [*range(10, 30), None]
