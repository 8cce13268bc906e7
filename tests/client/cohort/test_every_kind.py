"""Each kind of fault is shown in the terminal, as JSON and on the page, for baseline and follow-up alike."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from sites.commands import Finished, run_command
from sites.handmade import make_site, read_rows, write_table
from sites.hospitals import files_by_height, write_series

PLAN = """
name = "every kind"
seed = 1
two_site_ack = true
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
input_size = 16
"""
SOUND = 6


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = sitk.ReadImage(str(path))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))


def cut_off(site: Path, row: dict[str, Any], time: str) -> None:
    path = site / row[f"{time}_ct"]
    path.write_bytes(path.read_bytes()[:300])


def add_1024(site: Path, row: dict[str, Any], time: str) -> None:
    rewrite(site / row[f"{time}_ct"], lambda voxels: voxels + np.int16(1024))


def lose_spacing(site: Path, row: dict[str, Any], time: str) -> None:
    for part in ("ct", "mask"):
        path = site / row[f"{time}_{part}"]
        image = sitk.GetImageFromArray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
        sitk.WriteImage(image, str(path))


def invert(site: Path, row: dict[str, Any], time: str) -> None:
    rewrite(site / row[f"{time}_mask"], lambda voxels: 1 - voxels)


def move_into_air(site: Path, row: dict[str, Any], time: str) -> None:
    rewrite(site / row[f"{time}_mask"], lambda voxels: np.roll(voxels, -22, axis=2))


def empty(site: Path, row: dict[str, Any], time: str) -> None:
    rewrite(site / row[f"{time}_mask"], np.zeros_like)


def contradict_volume(_: Path, row: dict[str, Any], time: str) -> None:
    prefix = "" if time == "baseline" else "followup_"
    row |= {f"{prefix}ich_volume_ml": 2.5, f"{prefix}ivh_volume_ml": 0}


def leave_speck(site: Path, row: dict[str, Any], time: str) -> None:
    def speck(voxels: np.ndarray) -> np.ndarray:
        voxels[1, 60, 60] = 1
        return voxels

    rewrite(site / row[f"{time}_mask"], speck)


def to_dicom(site: Path, row: dict[str, Any], time: str, **values: object) -> None:
    image = sitk.ReadImage(str(site / row[f"{time}_ct"]))
    series = site / "dicom" / f"{row['patient']}-{time}"
    write_series(series, image, seed=str(series.name))
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        for name, value in values.items():
            setattr(dataset, name, value)
        dataset.save_as(path)
    row[f"{time}_ct"] = str(series.relative_to(site))


def give_contrast(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time, ContrastBolusAgent="Iomeprol")


def name_patient(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time, PatientName="Doe^Jane")


def state_another_sex(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time, PatientSex="F")


def state_another_age(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time, PatientAge="020Y")


def repeat_a_slice(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time)
    first = files_by_height(site / row[f"{time}_ct"])[4]
    first.with_name("copy.dcm").write_bytes(first.read_bytes())


def lose_a_slice(site: Path, row: dict[str, Any], time: str) -> None:
    to_dicom(site, row, time)
    files_by_height(site / row[f"{time}_ct"])[5].unlink()


@dataclass(frozen=True)
class Kind:
    """A fault, how it is said, and its level."""

    spoil: Callable[[Path, dict[str, Any], str], None]
    level: str
    said: str

    @property
    def name(self) -> str:
        return self.spoil.__name__


KINDS = (
    Kind(cut_off, "refused", "truncated or damaged"),
    Kind(add_1024, "refused", "not in Hounsfield units"),
    Kind(lose_spacing, "refused", "identity|geometry"),
    Kind(invert, "refused", r"ml"),
    Kind(move_into_air, "refused", "HU"),
    Kind(empty, "refused", "the mask is empty"),
    Kind(lose_a_slice, "refused", r"1 slice\(s\) are missing"),
    Kind(contradict_volume, "look at this", r"ich_volume_ml is 2\.5 ml in the table, \d+\.\d ml in the mask"),
    Kind(leave_speck, "look at this", "speck|apart|parts|mm from"),
    Kind(give_contrast, "look at this", r"contrast agent.*Iomeprol"),
    Kind(name_patient, "look at this", "headers identify the patient: PatientName"),
    Kind(state_another_sex, "look at this", "'sex' is male, but DICOM says female"),
    Kind(state_another_age, "look at this", "DICOM says 20"),
    Kind(repeat_a_slice, "for information", "dropped|duplicate|copy|twice"),
)
CASES = [(kind, time) for kind in KINDS for time in ("baseline", "followup")]


@dataclass(frozen=True)
class Shown:
    """What the commands said of one site."""

    check: Finished
    check_json: Finished
    prepare: Finished
    prepare_json: Finished
    page: str


def add_followup(site: Path, row: dict[str, Any], seed: int) -> None:
    """Another CT of the same head, with the lesion one voxel further."""
    image, mask = (sitk.ReadImage(str(site / row[f"baseline_{part}"])) for part in ("ct", "mask"))
    labels = np.roll(sitk.GetArrayFromImage(mask), 1, axis=2)
    voxels = sitk.GetArrayFromImage(image)
    brain = (voxels > 0) & (voxels < 100)
    voxels[brain] += np.random.default_rng(seed).integers(-1, 2, int(brain.sum())).astype(voxels.dtype)
    voxels[labels > 0] = 66
    for part, array in (("ct", voxels), ("mask", labels)):
        later = sitk.GetImageFromArray(array)
        later.CopyInformation(image)
        row[f"followup_{part}"] = f"images/{row['patient']}_later_{part}.nii.gz"
        sitk.WriteImage(later, str(site / row[f"followup_{part}"]))
    row |= {
        "ich_volume_ml": "",
        "ivh_volume_ml": "",
        "followup_ich_volume_ml": "",
        "followup_ivh_volume_ml": "",
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The first patients are sound, then each has one fault."""
    site = make_site(tmp_path_factory.mktemp("every") / "a", "a", SOUND + len(CASES), synthetic=False)
    with (site / "site.toml").open("a") as file:
        file.write("min_patients = 1\nmin_per_class = 1\n")
    rows = read_rows(site)
    for number, row in enumerate(rows):
        row["age"], row["sex"] = 60, "male"
        add_followup(site, row, number)
    for row, (kind, time) in zip(rows[SOUND:], CASES, strict=True):
        kind.spoil(site, row, time)
    write_table(site, rows)
    return site


@pytest.fixture(scope="module")
def shown(site, tmp_path_factory) -> Shown:
    plan = tmp_path_factory.mktemp("plan") / "study.toml"
    plan.write_text(PLAN)
    options = ("--plan", plan, "--state", plan.parent / "state")
    return Shown(
        run_command("rhe-client", "check", site, *options),
        run_command("rhe-client", "check", site, *options, "--json"),
        run_command("rhe-client", "prepare", site, *options),
        run_command("rhe-client", "prepare", site, *options, "--json"),
        html.unescape((plan.parent / "state" / "quality.html").read_text(encoding="utf-8")),
    )


def name_columns(what: str, site: Path, row: Mapping[str, str]) -> str:
    for column in ("baseline_ct", "baseline_mask", "followup_ct", "followup_mask"):
        if row.get(column):
            what = re.sub(re.escape(str(site / row[column])) + r"(?![\w.-])", repr(column), what)
    return what


def row_of(case: int) -> int:
    return SOUND + case + 2


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{kind.name}-{time}" for kind, time in CASES])
def test_a_kind_is_shown_in_all_three_places_with_its_level_row_and_patient(site, shown, case):
    kind, _ = CASES[case]
    where = f"cohort.csv, row {row_of(case)}, patient 'a-{SOUND + case:03d}'"

    for finished in (shown.check, shown.prepare):
        lines = [line for line in finished.stdout.splitlines() if where in line]
        assert any(
            line.startswith(f"a: {kind.level}: {where}: ") and re.search(kind.said, line) for line in lines
        ), lines
        assert all(line.startswith(f"a: {kind.level}") for line in lines), lines
    for finished in (shown.check_json, shown.prepare_json):
        found = [one for one in json.loads(finished.stdout)["findings"] if one["row"] == row_of(case)]
        assert {one["level"] for one in found} == {kind.level}, found
        assert {one["patient"] for one in found} == {f"a-{SOUND + case:03d}"}
        assert any(re.search(kind.said, one["what"]) for one in found), found
        assert all(one["remedy"] for one in found)
    said = [one["what"] for one in found]
    assert where in shown.page
    if kind.level == "refused":  # the page names files by their columns
        said = [name_columns(what, site, read_rows(site)[SOUND + case]) for what in said]
    assert all(what in shown.page for what in said)


def test_nothing_is_said_of_the_sound(shown):
    for finished in (shown.check_json, shown.prepare_json):
        rows = {one["row"] for one in json.loads(finished.stdout)["findings"]}
        assert not rows & set(range(2, SOUND + 2)), finished.stdout


def test_json_is_all_that_is_printed_and_counts_what_the_terminal_counts(shown):
    for finished, line in ((shown.check_json, shown.check), (shown.prepare_json, shown.prepare)):
        report = json.loads(finished.stdout)
        assert finished.stderr == ""
        assert (report["site"], report["study"]) == ("a", "every kind")
        assert report["screened"] == SOUND + len(CASES)
        assert report["flow"]["eligible"] == SOUND + len(CASES)
        assert {column["name"] for column in report["columns"]} >= {"age", "inr"}
        for level, number in report["levels"].items():
            assert number == sum(one["level"] == level for one in report["findings"]) > 0
            assert f"{number} {level}" in line.stdout


def test_what_is_to_be_looked_at_comes_first_on_the_page_with_its_slices(shown):
    look, refused = shown.page.index("<h2>Look at this"), shown.page.index("<h2>Refused")
    assert look < refused
    first = SOUND + next(number for number, (kind, _) in enumerate(CASES) if kind.level == "look at this")
    assert f'alt="baseline of patient a-{first:03d}"' in shown.page[look:refused]
    assert f'alt="follow-up of patient a-{first:03d}"' in shown.page[look:refused]


def test_a_refusal_fails_the_check_and_costs_the_preparation_the_patient_alone(shown):
    assert (shown.check.returncode, shown.check_json.returncode) == (11, 11)
    assert (shown.prepare.returncode, shown.prepare_json.returncode) == (0, 0)
    refused = sum(kind.level == "refused" for kind, _ in CASES)
    usable = json.loads(shown.prepare_json.stdout)["usable"]
    assert usable == json.loads(shown.check_json.stdout)["usable"] == SOUND + len(CASES) - refused
