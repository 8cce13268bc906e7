"""Which of several CT series in a folder is read, and why none is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.errors import Level, ScanError
from common.imaging.dicom.kernels import is_soft_tissue_kernel
from common.imaging.dicom.series import choose_series, sort_by_series
from common.imaging.dicom.series_choice import NO_RULE
from common.imaging.options import ReadingOptions, SeriesRule
from common.imaging.reader import read_scan
from tests.common.imaging.head_series import Acquisition, write_frames, write_planes

THINNEST = SeriesRule(thinnest_soft_tissue=True)
CORONAL = [1, 0, 0, 0, 0, -1]


@dataclass
class Archive:
    """A folder of series as a PACS exports them."""

    root: Path
    count: int = 0

    def add(self, description: str, slices: int = 6, **tags: Any) -> Path:
        self.count += 1
        uid = f"1.2.3.{self.count}"
        facts = {
            "SeriesInstanceUID": uid,
            "SeriesDescription": description,
            "SeriesNumber": self.count,
            "SpecificCharacterSet": "ISO_IR 192",
            "Manufacturer": "SIEMENS",
            "SliceThickness": 5,
            **tags,
        }

        def change(index, dataset):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{index}"
            for keyword, value in facts.items():
                setattr(dataset, keyword, value)

        heights = [8.0 * index for index in range(slices)]
        acquisition = Acquisition(heights, [5.0] * slices, rows=8, columns=8, spacing_mm=(25.0, 25.0))
        return write_planes(self.root / f"series{self.count}", acquisition, change)


@pytest.fixture
def archive(tmp_path) -> Archive:
    return Archive(tmp_path)


def choose(path: Path, rule: SeriesRule = NO_RULE):
    chosen = choose_series(path, sort_by_series(path), rule)
    return str(chosen.instances[0].path.parent.name), chosen.notes


def refuse(path: Path, rule: SeriesRule = NO_RULE) -> str:
    with pytest.raises(ScanError) as failure:
        choose(path, rule)
    return str(failure.value)


def test_several_series_without_a_rule_are_refused_with_each_and_what_to_do(archive):
    archive.add("Head 5.0")
    archive.add("Head 1.0", ConvolutionKernel="H60s", SliceThickness=1)
    message = refuse(archive.root)
    assert "holds 2 CT series: 'Head 5.0' (6 slices of 5 mm, kernel H31s, number 1)" in message
    assert "'Head 1.0' (6 slices of 1 mm, kernel H60s, number 2)" in message
    assert "rhe-client series" in message
    assert "[series] of site.toml" in message


def test_the_thinnest_soft_tissue_axial_series_is_read_and_the_choice_noted(archive):
    archive.add("Head 5.0")
    right = archive.add("Head 1.0", SliceThickness=1)
    archive.add("Head 0.6 bone", SliceThickness=0.6, ConvolutionKernel="H60s")
    archive.add("Head 0.6", SliceThickness=0.6, ImageOrientationPatient=CORONAL)
    archive.add("Head CTA", SliceThickness=0.6)
    archive.add("Head 0.6", SliceThickness=0.6, ContrastBolusAgent="Iomeron")
    archive.add("Head", SliceThickness=0.6, ImageType=["DERIVED", "SECONDARY", "MPR"])
    archive.add("Head MIP", SliceThickness=0.6)
    archive.add("Bolus", slices=3, SliceThickness=0.6)
    archive.add("Topogram", SliceThickness=0.6, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    name, [note] = choose(archive.root, THINNEST)
    assert name == right.name
    assert note.level is Level.KNOW
    assert "read 'Head 1.0' (6 slices of 1 mm, kernel H31s, number 2), picked out of 9 CT series" in note.what
    assert "thinnest_soft_tissue" in note.what


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"ConvolutionKernel": "H60s"}, "kernel H60s is sharp"),
        ({"ConvolutionKernel": "X7"}, "kernel X7 is not known"),
        ({"ConvolutionKernel": ""}, "kernel ? is not known"),
        ({"ImageOrientationPatient": CORONAL}, "coronal"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal"),
        ({"ContrastBolusAgent": "Iomeron"}, "a contrast agent is named"),
        ({"SeriesDescription": "CTA Circle of Willis"}, "described as with contrast (cta)"),
        ({"SeriesDescription": "头颅增强"}, "described as with contrast (cta)"),
        ({"SeriesDescription": "Schädel Knochen"}, "described as not of soft tissue (knochen)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MPR"]}, "computed from other images (MPR)"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP THIN"]}, "computed from other images (MIP)"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "computed from other images (DERIVED)"),
        ({"slices": 4}, "4 slice(s) only"),
    ],
)
def test_each_thing_that_forbids_a_series_is_named(archive, tags, why):
    for _ in range(2):
        archive.add(**{"description": "Head", **tags})
    assert f": {why}" in refuse(archive.root, THINNEST)


@pytest.mark.parametrize(
    "tags",
    [
        {"ConvolutionKernel": "X7", "SeriesDescription": "Brain 1.0"},
        {"ConvolutionKernel": "X7", "SeriesDescription": "Schädel Weichteil"},
        {"ConvolutionKernel": "X7", "SeriesDescription": "脑平扫"},
        {"ConvolutionKernel": ["Hr40f", "3"]},
        {"SeriesDescription": "Head without contrast"},
        {"SeriesDescription": "Schädel ohne KM"},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0.9063, -0.4226]},
    ],
)
def test_a_series_that_may_be_picked_is(archive, tags):
    archive.add("Knochen", ConvolutionKernel="H60s")
    right = archive.add(**{"description": "Head", **tags})
    assert choose(archive.root, THINNEST)[0] == right.name


def test_two_series_that_fit_equally_are_refused_with_both(archive):
    archive.add("Head A", SliceThickness=1)
    archive.add("Head B", SliceThickness=1)
    archive.add("Head 5", SliceThickness=5)
    message = refuse(archive.root, THINNEST)
    assert "2 CT series fit the rule of site.toml equally" in message
    assert "'Head A'" in message
    assert "'Head B'" in message
    assert "'Head 5'" not in message
    assert choose(archive.root, SeriesRule(description="*b", thinnest_soft_tissue=True))[0] == "series2"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (SeriesRule(description="*STANDARD*"), "series1"),
        (SeriesRule(kernel="h6?s"), "series2"),
        (SeriesRule(description="head*", kernel="H31s"), "series1"),
    ],
)
def test_patterns_pick_the_one_that_they_fit_capitals_or_not(archive, rule, name):
    archive.add("Head standard")
    archive.add("Head bone", ConvolutionKernel="H60s")
    assert choose(archive.root, rule)[0] == name


def test_a_rule_that_nothing_fits_refuses_and_says_of_each_why(archive):
    archive.add("Head standard")
    archive.add("Head bone", ConvolutionKernel="H60s")
    message = refuse(archive.root, SeriesRule(description="*hirn*", kernel="J*"))
    assert "none of 2 CT series fits" in message
    assert message.count("description is not '*hirn*', kernel is not 'J*'") == 2


def test_baseline_and_follow_up_in_one_folder_are_not_guessed(archive):
    archive.add("Head 1", SliceThickness=1)
    archive.add("Head 5", AcquisitionDate="20240306", StudyInstanceUID="1.2.9")
    message = refuse(archive.root, THINNEST)
    assert "several examinations" in message
    assert "2024-03-05 10:17" in message
    assert "2024-03-06 10:17" in message


def test_studies_without_a_time_are_not_guessed(archive):
    for study in ("1.2.8", "1.2.9"):
        archive.add(
            "Head",
            SliceThickness=float(study[-1]),
            StudyInstanceUID=study,
            **dict.fromkeys(("AcquisitionDate", "AcquisitionTime", "StudyDate", "StudyTime"), ""),
        )
    assert "several examinations" in refuse(archive.root, THINNEST)


def test_what_would_change_a_terminal_is_not_printed(archive):
    for number in range(2):
        archive.add(f"Head \x07{number}", ConvolutionKernel="H\x07")
    message = refuse(archive.root, THINNEST)
    assert message.isprintable()
    assert "kernel H? is not known" in message


def test_two_patients_in_one_folder_are_not_guessed_and_not_named(archive):
    archive.add("Head 1", SliceThickness=1)
    archive.add("Head 5", PatientID="P8")
    message = refuse(archive.root, THINNEST)
    assert "several patients" in message
    assert "P8" not in message


def test_an_only_series_is_read_and_looked_at_if_the_rule_would_not_pick_it(archive):
    archive.add("Head bone", ConvolutionKernel="H60s")
    name, [note] = choose(archive.root, THINNEST)
    assert (name, note.level) == ("series1", Level.LOOK)
    assert "does not fit the rule of site.toml: kernel H60s is sharp" in note.what


@pytest.mark.parametrize("rule", [NO_RULE, SeriesRule(description="head*")])
@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("named", [False, True])
def test_a_sharp_kernel_is_looked_at_if_no_rule_wished_for_it(archive, rule, others, named):
    path = archive.add("Head 1.0", ConvolutionKernel="H60s")
    for _ in range(others):
        archive.add("Thorax")
    if others and rule == NO_RULE:
        path = path if named else archive.root / "series1"
    elif not named:
        path = archive.root
    chosen = choose_series(path / "000.dcm" if named else path, sort_by_series(path), rule)
    [what] = [note.what for note in chosen.notes if note.level is Level.LOOK]
    assert "is not of soft tissue: kernel H60s is sharp" in what


@pytest.mark.parametrize("kernel", ["H31s", "X7", ""])
def test_an_only_series_of_another_kernel_is_not_looked_at(archive, kernel):
    archive.add("Head", ConvolutionKernel=kernel)
    assert choose(archive.root) == ("series1", ())


def test_a_sharp_kernel_that_the_rule_names_is_not_looked_at(archive):
    archive.add("Head", ConvolutionKernel="H60s")
    assert choose(archive.root, SeriesRule(kernel="h60*")) == ("series1", ())


def test_one_file_names_its_series_and_what_the_rule_says_against_it_is_looked_at(archive):
    archive.add("Head 1", SliceThickness=1)
    named = archive.add("Head bone", ConvolutionKernel="H60s")
    flat = archive.root / "flat"
    flat.mkdir()
    for path in sorted(archive.root.glob("series*/*.dcm")):
        path.rename(flat / f"{path.parent.name}-{path.name}")
    chosen = choose_series(flat / f"{named.name}-000.dcm", sort_by_series(flat), THINNEST)
    assert {instance.path.name.split("-")[0] for instance in chosen.instances} == {named.name}
    note, contradiction = chosen.notes
    assert (note.level, contradiction.level) == (Level.KNOW, Level.LOOK)
    assert "of 2 CT series the one of the named file" in note.what
    assert "does not fit the rule of site.toml: kernel H60s is sharp" in contradiction.what


def test_a_multi_frame_series_is_judged_by_its_groups(archive):
    archive.add("Head bone", ConvolutionKernel="H60s")
    frames = Acquisition([8.0 * index for index in range(6)], rows=8, columns=8, spacing_mm=(25.0, 25.0))
    write_frames(archive.root / "frames" / "1.dcm", frames)
    _, [note] = choose(archive.root, SeriesRule(kernel="H31s", thinnest_soft_tissue=False))
    assert "(6 slices of 8 mm, kernel H31s" in note.what


def test_reading_a_scan_writes_the_choice_down(tmp_path):
    head = Acquisition()

    def sharpen(index, dataset):
        dataset.SeriesInstanceUID, dataset.ConvolutionKernel = "1.2.3.9", "H60s"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.9.{index}"

    write_planes(tmp_path / "ct" / "soft", head)
    write_planes(tmp_path / "ct" / "bone", head, sharpen)
    with pytest.raises(ScanError, match="holds 2 CT series"):
        read_scan(tmp_path / "ct")
    scan = read_scan(tmp_path / "ct", ReadingOptions(series=SeriesRule(kernel="h31*")))
    assert [note.what for note in scan.notes if "picked out of 2 CT series" in note.what]


@pytest.mark.parametrize(
    ("manufacturer", "soft", "sharp"),
    [
        (
            "SIEMENS",
            "H10s H31s H48f B20f B40s J30s J45s I31f Hr32 Hr44 Br36d Qr40",
            "H50s H70h B60f J70h Hr64 Bl57",
        ),
        ("Siemens Healthineers", "Hr38f Hv40", "Ur77"),
        ("GE MEDICAL SYSTEMS", "STANDARD SOFT", "BONE BONEPLUS EDGE LUNG DETAIL"),
        ("Philips", "UA UB A B", "D E YA YD"),
        ("TOSHIBA", "FC01 FC21 FC26 FC29", "FC30 FC35 FC51 FC81"),
        ("Canon Medical Systems", "FC22", "FC30"),
        ("", "H31s FC26 STANDARD", "H60s FC30 BONE"),
    ],
)
def test_kernels_of_each_manufacturer(manufacturer, soft, sharp):
    assert all(is_soft_tissue_kernel(name, manufacturer) is True for name in soft.split())
    assert all(is_soft_tissue_kernel(name, manufacturer) is False for name in sharp.split())


@pytest.mark.parametrize(
    ("kernel", "manufacturer"),
    [("UB", ""), ("UB", "SIEMENS"), ("H31s", "Neusoft"), ("FC68", "TOSHIBA"), ("", "")],
)
def test_an_unknown_kernel_is_neither(kernel, manufacturer):
    assert is_soft_tissue_kernel(kernel, manufacturer) is None


@pytest.mark.parametrize("rule", [NO_RULE, THINNEST])
def test_slices_that_an_anonymiser_made_series_of_their_own_are_called_so(archive, rule):
    for _ in range(3):
        archive.add("Head 5.0", slices=1)
    said = refuse(archive.root, rule)
    assert "3 CT series of one slice each" in said
    assert "-> export again with a SeriesInstanceUID that all slices of a series share" in said
    assert "name one file" not in said


@pytest.mark.parametrize("rule", [NO_RULE, THINNEST])
def test_one_of_such_slices_is_not_blamed_for_being_alone(archive, rule):
    (archive.root / "all").mkdir()
    for number in range(6):
        (file,) = archive.add("Head 5.0", slices=1, StudyInstanceUID=f"1.2.{number}").iterdir()
        file.rename(archive.root / f"all/{number}.dcm")
    said = refuse(archive.root / "all/3.dcm", rule)
    assert "is one of 6 CT series of one slice each beside it: the anonymiser gave each slice" in said
    assert "-> export again with a SeriesInstanceUID that all slices of a series share" in said


@pytest.mark.parametrize("word", ["MIP", "MINIP", "SUBTRACTION", "CBF"])
def test_the_only_series_is_named_where_its_values_are_no_densities(archive, word):
    archive.add("Head", ImageType=["DERIVED", "SECONDARY", f"{word} THIN"])
    for rule in (NO_RULE, SeriesRule(description="Head*")):
        [note] = choose(archive.root, rule)[1]
        assert note.level is Level.LOOK
        assert f"holds no densities of tissue: its Image Type (0008,0008) says {word}" in note.what


def test_thick_slices_averaged_from_thin_ones_are_a_ct(archive):
    archive.add("Head", ImageType=["DERIVED", "SECONDARY", "AXIAL", "AVERAGE"])
    assert choose(archive.root)[1] == ()
