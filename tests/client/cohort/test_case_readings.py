"""Repeated readings at a site: measured and extracted; a bad one is a finding and costs itself alone."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress
from sites.handmade import make_site, read_rows, write_table
from sites.patients import a_case

from client.cohort.check import check_site
from client.cohort.completeness import describe_columns
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.cohort.repeated_readings import READINGS
from common.errors import StorageError
from common.plan.study import StudyPlan
from common.radiomics.batch import extract_cases

MASK = {"intra": "baseline_mask_second_session", "inter": "baseline_mask_second_reader"}


def a_plan(**changes):
    settings = {
        "name": "Readings",
        "seed": 1,
        "threads": 1,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [{"name": name, "role": "train"} for name in ("a", "b")],
        "models": [{"kind": "logistic", "name": "Volume", "covariates": ["ich_volume_ml"]}],
        "phases": ["agreement"],
    }
    return StudyPlan.model_validate(settings | changes)


RADIOMICS = {
    "phases": ["training"],
    "models": [{"kind": "logistic", "name": "Combined", "covariates": ["radiomics"]}],
    "radiomics": {"readings": ["inter"]},
}


@pytest.fixture
def folder(tmp_path):
    """Nine patients; a second reader read the first six, wider by a voxel; the first one reread patient 0."""
    root = make_site(tmp_path / "a", "a", 9)
    rows = read_rows(root)
    for number, row in enumerate(rows):
        row.update(dict.fromkeys(MASK.values(), ""))
        if number < 6:
            row[MASK["inter"]] = wider(root, row, "inter", 1)
    rows[0][MASK["intra"]] = wider(root, rows[0], "intra", 2)
    write_table(root, rows)
    return root


def wider(root, row, name, voxels):
    mask = sitk.ReadImage(str(root / row["baseline_mask"]))
    path = f"images/{row['patient']}_{name}.nii.gz"
    sitk.WriteImage(sitk.BinaryDilate(mask, [voxels, voxels, 0]), str(root / path))
    return path


def change(root, number, **cells):
    rows = read_rows(root)
    rows[number] |= cells
    write_table(root, rows)


def prepared(root, tmp_path, **changes):
    return prepare_site(root, a_plan(**changes), tmp_path / "cache", Progress(disable=True))


def volume_ml(root, path):
    image = sitk.ReadImage(str(root / path))
    return np.count_nonzero(sitk.GetArrayFromImage(image)) * np.prod(image.GetSpacing()) / 1000


def test_further_masks_are_measured_beside_the_first(folder, tmp_path):
    site = prepared(folder, tmp_path)

    assert site.findings == ()
    for number, (case, row) in enumerate(zip(site.cases, read_rows(folder), strict=True)):
        read = {"inter": number < 6, "intra": number == 0}
        assert set(case.readings.repeated) == {name for name in READINGS if read[name]}
        for name, found in case.readings.repeated.items():
            assert found.ich_ml == pytest.approx(volume_ml(folder, row[MASK[name]]))
            assert case.readings.first.ich_ml == pytest.approx(volume_ml(folder, row["baseline_mask"]))
            assert found.ich_ml > case.readings.first.ich_ml


def test_markers_are_suggested_for_everybody_and_kept(folder, tmp_path, monkeypatch):
    site = prepared(folder, tmp_path)
    suggested = [case.readings.suggested for case in site.cases]
    monkeypatch.setattr("client.cohort.suggestions.suggest_markers", None)

    again = prepared(folder, tmp_path)

    assert [len(one) for one in suggested] == [9] * 9
    # Growing lesions of the folder have a dark core
    assert [one["hypodensity"] for one in suggested] == [number % 3 == 0 for number in range(9)]
    assert [case.readings.suggested for case in again.cases] == suggested


def test_nothing_is_read_again_unless_the_plan_asks(folder, tmp_path):
    site = prepared(folder, tmp_path, phases=["cohort"])

    assert all(case.readings.repeated == case.readings.suggested == {} for case in site.cases)


def test_features_are_extracted_on_the_readings_that_the_plan_names(folder, tmp_path):
    site = prepared(folder, tmp_path, **RADIOMICS)

    assert [set(case.readings.features) for case in site.cases] == [{"inter"}] * 6 + [set()] * 3
    for case in site.cases[:6]:
        assert case.readings.features["inter"].shape == (851,)
        assert not np.array_equal(case.readings.features["inter"], case.features)


def read_by_a_third(root):
    column = "baseline_mask_third_reader"
    rows = read_rows(root)
    for number, row in enumerate(rows):
        row[column] = wider(root, row, "third", 2) if number < 3 else ""
    write_table(root, rows)
    return column


def test_masks_of_a_third_reader_are_measured_where_the_plan_names_one(folder, tmp_path):
    column = read_by_a_third(folder)

    silent = prepared(folder, tmp_path)
    site = prepared(folder, tmp_path, agreement={"readers": [{"sessions": 2}, {}, {}]})

    assert not any("reader3-session1" in case.readings.repeated for case in silent.cases)
    assert site.findings == ()
    for case, row in zip(site.cases[:3], read_rows(folder), strict=False):
        assert set(case.readings.repeated) >= {"inter", "reader3-session1"}
        measured = case.readings.repeated["reader3-session1"].ich_ml
        assert measured == pytest.approx(volume_ml(folder, row[column]))
    assert all("reader3-session1" not in case.readings.repeated for case in site.cases[3:])


def test_features_of_all_readers_are_extracted_where_they_must_agree(folder, tmp_path, monkeypatch):
    read_by_a_third(folder)
    names = []

    def noted(jobs, extractor, *_):
        names.extend(job.name.partition(":")[0] for job in jobs)
        return extract_cases([], extractor)

    monkeypatch.setattr("client.cohort.radiomics.extract_cases", noted)
    readers = {"agreement": {"readers": [{}, {}, {}]}, "radiomics": {"readings": ["all-readers"]}}
    prepared(folder, tmp_path, **RADIOMICS | readers)

    assert {name: names.count(name) for name in names} == {"first": 9, "inter": 6, "reader3-session1": 3}


def test_a_bad_mask_of_a_third_reader_is_found_even_without_a_plan(folder):
    column = read_by_a_third(folder)
    path = str(folder / read_rows(folder)[1][column])
    sitk.WriteImage(sitk.ReadImage(path) * 0, path)

    (finding,) = check_site(folder, Progress(disable=True), pixels=True).findings

    assert column in finding.what
    assert "the mask is empty" in finding.what


def test_the_plan_s_volume_of_interest_is_that_of_every_reading(folder, tmp_path, monkeypatch):
    seen = []

    def noted(jobs, extractor, *rest):
        seen.append((extractor.settings.voi, len(jobs)))
        return extract_cases([], extractor)

    monkeypatch.setattr("client.cohort.radiomics.extract_cases", noted)
    for voi in ("ICH", "ICH+IVH"):
        prepared(folder, tmp_path, **RADIOMICS | {"radiomics": {"readings": ["inter", "intra"], "voi": voi}})

    assert seen == [("ICH", 16), ("ICH+IVH", 16)]


def spoil_missing(root, row):
    (root / row[MASK["inter"]]).unlink()
    return "does not exist"


def spoil_empty(root, row):
    path = str(root / row[MASK["inter"]])
    sitk.WriteImage(sitk.ReadImage(path) * 0, path)
    return "the mask is empty"


def spoil_label(root, row):
    path = str(root / row[MASK["inter"]])
    sitk.WriteImage(sitk.ReadImage(path) * 7, path)
    return "unknown label(s) 7"


def spoil_truncated(root, row):
    path = root / row[MASK["inter"]]
    path.write_bytes(path.read_bytes()[:80])
    return path.name


def spoil_copy(root, row):
    (root / row[MASK["inter"]]).write_bytes((root / row["baseline_mask"]).read_bytes())
    return "is a copy of the first mask, byte by byte"


def spoil_shared(root, row):
    change(root, 1, **{MASK["inter"]: read_rows(root)[2]["baseline_mask"]})
    return "stands in the table 2 times"


SPOILERS = (spoil_missing, spoil_empty, spoil_label, spoil_truncated, spoil_copy, spoil_shared)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_bad_further_mask_is_a_finding_and_costs_the_reading_alone(folder, tmp_path, spoil):
    what = spoil(folder, read_rows(folder)[1])

    site = prepared(folder, tmp_path)
    checkup = check_site(folder, Progress(disable=True), pixels=True, plan=a_plan())

    assert [case.patient.identifier for case in site.cases] == [f"a-{n:03d}" for n in range(9)]
    assert set(site.cases[1].readings.repeated) == set()
    assert set(site.cases[2].readings.repeated) == {"inter"}
    for findings in (site.findings, checkup.findings):
        (finding,) = findings
        assert "row 3, patient 'a-001'" in finding.where
        assert what in str(finding)
        assert "baseline_mask_second_reader" in finding.what
        assert finding.remedy or " -> " in finding.what
    assert checkup.usable == 9


def test_a_further_mask_of_a_study_that_does_not_read_it_is_not_looked_at(folder):
    spoil_empty(folder, read_rows(folder)[1])
    plan = a_plan(phases=["cohort"])

    assert check_site(folder, Progress(disable=True), pixels=True, plan=plan).findings == ()
    (finding,) = check_site(folder, Progress(disable=True), pixels=True).findings
    assert "the mask is empty" in finding.what


def test_a_further_mask_needs_a_first(folder, tmp_path):
    given = {"ich_volume_ml": "9", "ivh_volume_ml": "0"}
    write_table(folder, [row | given for row in read_rows(folder)])
    change(folder, 1, baseline_mask="")

    (finding,) = prepared(folder, tmp_path).findings

    assert "there is nothing to compare it with" in finding.what


def test_a_further_mask_without_the_volume_of_interest_costs_the_reading_alone(folder, tmp_path):
    path = str(folder / read_rows(folder)[1][MASK["inter"]])
    sitk.WriteImage(sitk.ReadImage(path) * 2, path)

    site = prepared(folder, tmp_path, **RADIOMICS)

    (finding,) = site.findings
    assert "no voxel of ICH" in str(finding)
    assert site.cases[1].features is not None
    assert site.cases[1].readings.features == {}


def test_the_quality_page_names_lost_readings(folder, tmp_path):
    spoil_empty(folder, read_rows(folder)[1])
    out = tmp_path / "quality.html"

    write_quality_page(prepared(folder, tmp_path), out)

    assert "Repeated readings that cannot be used" in out.read_text()
    assert "a-001_inter.nii.gz: the mask is empty" in out.read_text()


def test_what_a_killed_process_left_half_written_is_removed_before_features_are_extracted(
    folder, tmp_path, monkeypatch
):
    partial = tmp_path / "cache" / "ab" / ".left.npy.1.partial"

    def left(*_):
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(b"half")
        raise StorageError("killed")

    monkeypatch.setattr("client.cohort.radiomics.extract_cases", left)
    with pytest.raises(StorageError):
        prepared(folder, tmp_path, **RADIOMICS)
    assert partial.exists()
    monkeypatch.undo()

    prepared(folder, tmp_path, **RADIOMICS)

    assert not partial.exists()


def test_the_hospital_sees_how_full_the_columns_of_further_readers_are():
    cases = [a_case(f"P{n}", hypodensity_third_reader=float(n > 0)) for n in range(3)]

    (line,) = [
        one
        for one in describe_columns([case.patient for case in (*cases, a_case("P3"))])
        if "third" in one.name
    ]

    assert (line.name, line.filled, line.blank, line.values) == ("hypodensity_third_reader", 3, 1, "2 yes")
