"""What `rhe-client series` shows of a folder, and that the paths it gives are right in the table."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from sites.commands import run_command

from client.cohort.series_listing import SeriesListing, list_series
from common.errors import SiteError
from common.imaging.dicom.series import choose_series, sort_by_series
from tests.common.imaging.head_series import Acquisition, write_planes

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"


def write(folder: Path, uid: str, description: str, slices: int = 6, **tags: Any) -> Path:
    def change(index, dataset):
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, description
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{index}"
        for keyword, value in {"Manufacturer": "SIEMENS", "SliceThickness": 5, **tags}.items():
            setattr(dataset, keyword, value)

    heights = [8.0 * index for index in range(slices)]
    acquisition = Acquisition(heights, [5.0] * slices, rows=8, columns=8, spacing_mm=(25.0, 25.0))
    return write_planes(folder, acquisition, change)


@pytest.fixture
def site(tmp_path) -> Path:
    """Two patients: one series a folder, and all series in one."""
    site = tmp_path / "a"
    write(site / "dicom/p1/study/1", "1.2.1", "Topogram", 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(site / "dicom/p1/study/2", "1.2.2", "Head [5 mm]")
    write(site / "dicom/p1/study/3", "1.2.3", "Bone", SliceThickness=1, ConvolutionKernel="H60s")
    write(site / "dicom/p1/study/4", "1.2.4", "T2", Modality="MR", SOPClassUID=MR_IMAGE_STORAGE)
    write(site / "dicom/p1/study/5", "1.2.5", "Dose", 1, Modality="SR", SOPClassUID=DOSE_REPORT)
    write(site / "dicom/p1/study/6", "1.2.6", "Key", 1, SOPClassUID=SECONDARY_CAPTURE)
    write(site / "dicom/p1/study/7", "1.2.7", "Bolus", 2)
    flat = site / "dicom/p2"
    for number in (8, 9):
        series = write(
            flat / f"{number}", f"1.2.{number}", f"Head {number}", ContrastBolusAgent="x" * (number - 8)
        )
        for path in series.iterdir():
            path.rename(flat / f"{number}-{path.name}")
        series.rmdir()
    (site / "site.toml").write_text('name = "a"\ntable = "tables/cohort.csv"\n')
    (flat / "note.txt").write_text("no image")
    (flat / "broken.dcm").write_bytes((flat / "8-000.dcm").read_bytes()[:300])
    return site


def listing_of(folder: Path) -> SeriesListing:
    return list_series(folder, Progress(disable=True))


def test_every_series_is_listed_with_what_it_is(site):
    series = {one.description: one for one in listing_of(site).series}
    assert len(series) == 9
    bone = series["Bone"]
    assert (bone.kind, bone.kernel, bone.thickness_mm, bone.slices) == ("CT Image", "H60s", 1.0, 6)
    assert (bone.plane, bone.uid, f"{bone.taken}") == ("axial", "1.2.3", "2024-03-05 10:17:42.500000")
    assert bone.objections == ("kernel H60s is sharp",)
    assert series["Head [5 mm]"].objections == ()
    assert series["Head 9"].contrast == "x"
    assert {one.description: one.unusable for one in series.values() if one.unusable} == {
        "Topogram": "localizer",
        "T2": "modality MR, not CT",
        "Dose": "modality SR, not CT",
        "Key": "not a CT image but Secondary Capture Image Storage",
        "Bolus": "2 slice(s) only",
    }
    assert series["Dose"].kind == "X-Ray Radiation Dose SR"


def test_files_that_are_no_series_are_counted(site):
    assert listing_of(site).left_out == {"DICOM of no series (damaged?)": 1, "not DICOM": 2}


def test_what_is_no_file_is_never_opened_and_counted(site):
    """Reading a pipe that nobody writes into waits for ever, and a device may have no end."""
    before = listing_of(site).series
    os.mkfifo(site / "dicom/p1/study/2/pipe")
    os.mkfifo(site / "dicom/p2/ct.nii")
    (site / "dicom/p2/device.dcm").symlink_to("/dev/zero")
    (site / "dicom/p2/gone.dcm").symlink_to("nowhere")
    listing = listing_of(site)
    assert listing.series == before
    assert listing.left_out["no file (a pipe, a socket or a device)"] == 3
    assert listing.left_out["damaged or unreadable"] == 1
    assert len(sort_by_series(site / "dicom/p2").series) == 2


@pytest.mark.parametrize("part", ["", "dicom", "dicom/p2"])
def test_each_path_stands_for_its_series_in_the_table_of_the_site(site, part):
    """Paths of the table start from the table's folder."""
    (site / "dicom/p2/broken.dcm").unlink()
    (site / "tables").mkdir()
    usable = [one for one in listing_of(site / part).series if not one.unusable]
    assert usable
    for one in usable:
        cell = (site / "tables" / one.path).resolve()
        chosen = choose_series(cell, sort_by_series(cell))
        assert chosen.instances[0].text("SeriesInstanceUID") == one.uid
        assert len(chosen.instances) == one.slices
    assert {Path(one.path).suffix for one in usable if one.description in {"Head 8", "Head 9"}} == {".dcm"}
    assert {one.path for one in usable if one.description == "Bone"} <= {"../dicom/p1/study/3"}


def test_outside_of_a_site_paths_start_from_the_folder(site):
    (site / "site.toml").unlink()
    assert "p1/study/3" in {one.path for one in listing_of(site / "dicom").series}


def test_pixels_are_not_read(site, monkeypatch):
    import pydicom

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(lambda _: pytest.fail("decoded")))
    assert listing_of(site).series


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SiteError, match="no such folder"):
        listing_of(tmp_path / "nowhere")


def test_a_path_can_be_copied_from_a_narrow_terminal(site, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    listing = listing_of(site)

    lines = run_command("rhe-client", "series", site).stdout.splitlines()

    usable = [one.path for one in listing.series if not one.unusable]
    assert len(usable) > 3
    for path in usable:
        assert sum(bool(re.fullmatch(rf" *\d+  {re.escape(path)}", line)) for line in lines) == 1


def test_people_see_a_table_and_programs_json(site, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = run_command("rhe-client", "series", site)
    assert shown.returncode == 0, shown.stderr
    assert "Head [5 mm]" in shown.stdout
    assert "cannot be used: localizer" in shown.stdout
    assert "1 file(s) left out: DICOM of no series (damaged?)" in shown.stdout
    printed = run_command("rhe-client", "series", site, "--json")
    assert SeriesListing.model_validate(json.loads(printed.stdout)) == listing_of(site)
