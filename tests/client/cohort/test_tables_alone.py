"""Sites without images, in studies without networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sites.tables import EXPANDED, Habits, read_cohort, table_only_hospital, write_cohort

from client.cohort.cases import PreparedSite
from client.cohort.given_scores import find_raw_scores, find_scaled_scores
from client.cohort.intake import inspect_site
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.cohort.outcome import Volumes
from common.errors import CohortError
from common.plan.study import StudyPlan

SCORE = {"kind": "scores", "name": "A", "column": "score_a"}


def plan(*models: dict[str, object], **changes: object) -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "Scores alone",
            "seed": 5,
            "profile": "simulation",
            "two_site_ack": True,
            "phases": ["cohort", "evaluation"],
            "sites": [{"name": "north", "role": "external"}, {"name": "south", "role": "train"}],
            "models": list(models) or [SCORE],
            **changes,
        }
    )


NETWORK = {"name": "small", "family": "resnet10-narrow", "input_size": 16}


@pytest.fixture
def folder(tmp_path) -> Path:
    return table_only_hospital(tmp_path / "north", "north", 24)


@pytest.fixture
def prepared(folder, tmp_path, progress):
    return lambda *models: prepare_site(folder, plan(*models), tmp_path / "cache", progress)


def change(folder: Path, row: int, **cells: object) -> None:
    """New values in a row as a spreadsheet numbers it; a new heading is a new column."""
    rows = read_cohort(folder)
    for number, values in enumerate(rows, start=2):
        values.update(cells if number == row else {name: values.get(name, "") for name in cells})
    write_cohort(folder, rows)


def drop(folder: Path, *columns: str) -> None:
    write_cohort(folder, [{k: v for k, v in row.items() if k not in columns} for row in read_cohort(folder)])


def refused(folder: Path, study: StudyPlan | None) -> list[str]:
    with pytest.raises(CohortError) as caught:
        inspect_site(folder, study)
    return [str(finding) for finding in caught.value.findings]


# The maker


@pytest.mark.parametrize("habits", [Habits(), Habits(workbook=True), Habits(blank=0.2)])
def test_made_hospitals_are_in_order(tmp_path, progress, habits):
    folder = table_only_hospital(tmp_path / "north", "north", 60, 3, ("score_a", "score_b"), habits=habits)
    site = prepare_site(folder, plan(), tmp_path / "cache", progress)

    assert (site.findings, site.notes, len(site.cases)) == ((), (), 60)
    assert sum(case.positive for case in site.cases) == round(EXPANDED * 60)
    positive = np.array([case.positive for case in site.cases])
    scores = find_raw_scores(site.cases, plan().scores[0])
    assert scores[positive].mean() > scores[~positive].mean() + 0.1


def test_a_hospital_is_made_the_same_twice_and_another_by_another_seed(tmp_path):
    texts = [
        (table_only_hospital(tmp_path / f"{i}", "north", 9, seed) / "cohort.csv").read_text()
        for i, seed in enumerate((1, 1, 2))
    ]
    assert texts[0] == texts[1] != texts[2]


# Without images


def test_a_table_alone_is_prepared_and_no_scan_is_read(prepared, monkeypatch):
    monkeypatch.setattr("client.cohort.scans.read_scan", lambda path, _: pytest.fail(f"{path} was read"))

    site = prepared()

    assert len(site.cases) == 24
    assert {(case.entry, len(case.inputs), case.read_overview()) for case in site.cases} == {(None, 0, None)}
    assert {case.part for case in site.cases} == {"test"}


def test_neither_torch_nor_itk_is_loaded(folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from rich.progress import Progress;"
        "from client.cohort.prepare import prepare_site;"
        "from client.cohort.quality import write_quality_page;"
        "from client.answers.samples import SiteSamples;"
        "from client.cohort.given_scores import find_scaled_scores;"
        "from common.plan.study import StudyPlan; study = StudyPlan.model_validate_json(sys.argv[1]);"
        "site = prepare_site(Path(sys.argv[2]), study, Path(sys.argv[3]) / 'cache', Progress(disable=True));"
        "write_quality_page(site, Path(sys.argv[3]) / 'page.html');"
        "assert len(SiteSamples(site).cases_of_part('test')) == 24;"
        "assert not {'torch', 'monai', 'SimpleITK', 'pydicom', 'nibabel'} & set(sys.modules)"
    )
    arguments = [plan().model_dump_json(), str(folder), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("column", ["ivh_volume_ml", "ich_volume_ml"])
def test_a_missing_baseline_volume_refuses_that_patient_alone(folder, prepared, column):
    change(folder, 4, **{column: ""})

    site = prepared()

    (refusal,) = site.refusals
    assert refusal.finding.where == "cohort.csv, row 4, patient 'north-002'"
    assert refusal.finding.what == (
        "no baseline volumes, and 'baseline_ct' and 'baseline_mask' blank: the outcome cannot be determined"
    )
    assert refusal.finding.remedy == "give baseline CT and mask, or both baseline volumes"
    assert len(site.cases) == 23


def test_missing_followup_volumes_refuse_that_patient_alone(folder, prepared):
    change(folder, 4, followup_ich_volume_ml="", followup_ivh_volume_ml="")

    (refusal,) = prepared().refusals
    assert refusal.finding.what.startswith(
        "no follow-up volumes, and 'followup_ct' and 'followup_mask' blank"
    )


def test_missing_volumes_are_measured_where_there_are_images(scans_folder, tmp_path, progress, monkeypatch):
    """4 slices of 6 x 8 voxels of 0.125 ml; the other patients' scans are not read."""
    scans_folder.rows[0] |= {"ich_volume_ml": "", "ivh_volume_ml": ""}
    volume = {"kind": "scores", "name": "volume", "column": "ich_volume_ml", "high": 400.0}
    study, read = plan(volume), []
    from client.cohort import scans

    original = scans.read_scan
    monkeypatch.setattr(
        scans, "read_scan", lambda path, options: read.append(path.parent.name) or original(path, options)
    )

    site = prepare_site(scans_folder.finish(), study, tmp_path / "cache", progress)

    assert read == ["P0"]
    assert site.cases[0].baseline == Volumes(24.0, 0.0)
    assert [case.entry is None for case in site.cases] == [False, *[True] * 7]
    assert find_raw_scores(site.cases, study.scores[0]).tolist() == [24.0, *[30.0] * 7]
    write_quality_page(site, tmp_path / "page.html")
    assert "Median HU" not in (tmp_path / "page.html").read_text()


def test_images_that_nobody_needs_are_not_looked_for(scans_folder, tmp_path, progress):
    for row in scans_folder.rows:
        row["baseline_ct"] = row["baseline_mask"] = "nowhere.nii.gz"
    scans_folder.rows[3] |= {"ich_volume_ml": "", "ivh_volume_ml": ""}

    study = plan({"kind": "scores", "name": "age", "column": "age", "high": 120.0})
    site = prepare_site(scans_folder.finish(), study, tmp_path / "cache", progress)

    assert len(site.cases) == 7
    assert {refusal.patient.identifier for refusal in site.refusals} == {"P3"}
    assert "does not exist" in str(site.refusals[0].finding)


def test_networks_need_images_and_say_so_once(folder):
    (finding,) = refused(folder, plan(NETWORK, phases=["cohort"]))

    assert finding == (
        "cohort.csv, row 1: columns 'baseline_ct' and 'baseline_mask' are missing: the study's networks look "
        "at CTs -> add both columns; a site without images can take part in a study without networks"
    )


def test_networks_need_the_mask_too(folder):
    change(folder, 2, baseline_ct="")
    (finding,) = refused(folder, plan(NETWORK, phases=["cohort"]))
    assert "column 'baseline_mask' is missing" in finding


def test_the_page_of_a_site_without_images_has_none_and_shows_the_table(folder, prepared, tmp_path):
    change(folder, 3, inr="", score_a="0.9999")
    change(folder, 4, score_a="")
    write_quality_page(prepared(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()

    assert text.count("<img") == 0
    assert text.count("<svg") == 1
    assert "Baseline against follow-up volume" in text
    for absent in ("Slices with", "Median HU", "shows their scans", "Intensities"):
        assert absent not in text
    cells = {
        line.split("</td>")[0]
        for line in text.split("<h2>The table")[1].split("<tr><td>")
        if 'class="number">23</td>' in line
    }
    assert cells == {"inr", "score_a"}
    assert "to 0.9999, median" in text
    assert "<td>north-000</td>" in text


# Score columns


def test_a_missing_score_column_is_named_with_a_hint(folder):
    study = plan({"kind": "scores", "name": "B", "column": "score_b"})

    (finding,) = refused(folder, study)

    assert finding == (
        "cohort.csv, row 1: column 'score_b' is missing (is 'score_a' meant?): A score of the study plan; "
        "blank where a patient has none; 0 to 1 -> add the column; leave cells blank where the value is "
        "unknown"
    )


@pytest.mark.parametrize("workbook", [False, True])
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (1.01, "1.01 is impossible (possible: 0 to 1) -> check value and unit"),
        (-0.5, "-0.5 is impossible (possible: 0 to 1)"),
        ("0,7", "'0,7' has a decimal comma -> write 0.7"),
        ("n/a", "'n/a' is no value -> leave the cell blank"),
        ("high", "'high' is not a number"),
    ],
)
def test_a_score_is_read_as_strictly_as_any_column(tmp_path, workbook, cell, said):
    folder = table_only_hospital(tmp_path / "north", "north", 5, habits=Habits(workbook=workbook))
    rows = table_only_hospital(tmp_path / "csv", "north", 5)
    changed = [row | ({"score_a": cell} if i == 1 else {}) for i, row in enumerate(_typed(rows))]
    write_cohort(folder, changed, workbook=workbook)

    (finding,) = inspect_site(folder, plan()).rejected

    table = f"cohort.{'xlsx' if workbook else 'csv'}"
    assert str(finding).startswith(f"{table}, row 3, column 'score_a' (AJ): {said}")


def _typed(folder: Path) -> list[dict[str, object]]:
    """The rows with numbers as numbers, as a workbook has them."""

    def typed(cell: object) -> object:
        try:
            return float(str(cell))
        except ValueError:
            return cell

    return [{name: typed(cell) for name, cell in row.items()} for row in read_cohort(folder)]


def test_a_patient_without_score_is_kept_without_it(folder, prepared):
    change(folder, 4, score_a="")
    change(folder, 5, score_a="0.25")

    site = prepared()

    scores = find_raw_scores(site.cases, plan().scores[0])
    assert np.isnan(scores).tolist() == [index == 2 for index in range(24)]
    assert scores[3] == 0.25
    assert site.findings == ()


def test_scores_are_scaled_to_rise_with_the_risk(folder, prepared):
    change(folder, 2, points="12")
    change(folder, 3, points="15")
    down = {"kind": "scores", "name": "down", "column": "points", "low": 3.0, "high": 15.0, "risk": "falls"}
    up = {**down, "name": "up", "risk": "rises"}

    site = prepared(down, up)

    study = plan(down, up)
    assert find_scaled_scores(site.cases[:3], study.scores[0]).tolist()[:2] == [0.25, 0.0]
    assert find_scaled_scores(site.cases[:3], study.scores[1]).tolist()[:2] == [0.75, 1.0]
    assert np.isnan(find_scaled_scores(site.cases, study.scores[0])[2:]).all()


def test_a_variable_of_the_schema_is_a_score_and_keeps_its_own_range_in_the_table(folder, prepared):
    """A patient beyond the plan's range may be excluded; only those who are studied must lie in it."""
    hours = {"kind": "scores", "name": "early", "column": "onset_to_ct_h", "high": 24.0, "risk": "falls"}
    change(folder, 2, onset_to_ct_h="30")
    change(folder, 3, onset_to_ct_h="6")

    site = prepared(hours)

    assert site.flow.excluded[1] == 1
    assert find_scaled_scores(site.cases, plan(hours).scores[0])[0] == 0.75


def test_a_studied_value_beyond_the_plans_range_stops_the_site(folder, prepared):
    volume = {"kind": "scores", "name": "volume", "column": "ich_volume_ml", "high": 130.0}
    change(folder, 6, ich_volume_ml="140", followup_ich_volume_ml="140")

    with pytest.raises(CohortError) as caught:
        prepared(volume)

    assert str(caught.value) == (
        "cohort.csv, row 6, column 'ich_volume_ml': 140 lies outside 0 to 130, the plan's range of the score "
        "'volume' -> correct the value; if it is right, the plan needs a wider range"
    )


def test_a_measured_value_beyond_the_plans_range_stops_the_site(scans_folder, tmp_path, progress):
    for row in scans_folder.rows[:2]:
        row |= {"ich_volume_ml": "", "ivh_volume_ml": ""}
    for row in scans_folder.rows[2:]:
        row["ich_volume_ml"] = 15
    study = plan({"kind": "scores", "name": "volume", "column": "ich_volume_ml", "high": 20.0})

    with pytest.raises(CohortError, match="24 lies outside 0 to 20") as caught:
        prepare_site(scans_folder.finish(), study, tmp_path / "cache", progress)
    assert [finding.where for finding in caught.value.findings] == [
        "cohort.csv, row 2, column 'ich_volume_ml'",
        "cohort.csv, row 3, column 'ich_volume_ml'",
    ]


def test_two_models_may_share_a_column(folder, prepared):
    site: PreparedSite = prepared(SCORE, {**SCORE, "name": "B", "risk": "falls"})
    first, second = plan(SCORE, {**SCORE, "name": "B", "risk": "falls"}).scores

    np.testing.assert_array_equal(find_raw_scores(site.cases, first), find_raw_scores(site.cases, second))
    np.testing.assert_allclose(
        find_scaled_scores(site.cases, first), 1 - find_scaled_scores(site.cases, second)
    )
