from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from rich.progress import Progress
from sites.commands import run_command

from client.cohort.cases import PreparedSite
from client.cohort.intake import inspect_site
from client.cohort.prepare import prepare_site
from client.membership.site import is_marked_synthetic, load_site
from common.cohort.outcome import OutcomeDefinition
from common.errors import SiteError, StorageError
from common.plan.study import StudyPlan
from simulations.hospitals import centres
from simulations.hospitals.centres import CentresRequest, make_centres
from simulations.hospitals.patients import CohortRequest, draw_cohort
from simulations.study_request import ImageFormat, Signal

SILENT = Progress(disable=True)
REQUEST = CentresRequest((5, 6), seed=11, signal=Signal.DEMO)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return make_centres(tmp_path_factory.mktemp("centres"), REQUEST, SILENT)


@pytest.fixture(scope="module")
def prepared(made: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedSite, ...]:
    plan = StudyPlan.model_validate(
        {
            "name": "simulated",
            "seed": 1,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [{"name": "center1", "role": "external"}, {"name": "center2", "role": "train"}],
            "models": [{"name": "small", "family": "resnet10-narrow", "input_size": 32}],
        }
    )
    return tuple(prepare_site(folder, plan, tmp_path_factory.mktemp("cache"), SILENT) for folder in made)


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_folders_are_sites_that_say_they_are_synthetic(made: tuple[Path, ...]) -> None:
    assert [folder.name for folder in made] == ["center1", "center2"]
    for folder, table in zip(made, ("cohort.csv", "cohort.xlsx"), strict=True):
        settings = load_site(folder)
        assert (settings.name, settings.table) == (folder.name, table)
        assert settings.synthetic
        assert settings.policy.profiles == ("standard", "replication", "simulation")
        assert settings.policy.model_release
        assert is_marked_synthetic(folder)
        assert json.loads((folder / "SYNTHETIC.json").read_text())["seed"] == 11


def test_intake_finds_nothing_wrong_and_counts_the_excluded(made: tuple[Path, ...]) -> None:
    for folder, patients in zip(made, REQUEST.patients, strict=True):
        intake = inspect_site(folder)
        assert intake.findings == ()
        assert len(intake.flow.included) == len(intake.usable) == patients
        assert intake.flow.excluded == (1, 1, 1, 0, 0, 0)
        assert intake.flow.undecided == ()


def test_the_first_centre_has_dicom_series_and_the_second_nifti(made: tuple[Path, ...]) -> None:
    for folder, is_folder in zip(made, (True, False), strict=True):
        for patient in inspect_site(folder).table.patients:
            for scan in (patient.baseline_ct, patient.followup_ct):
                assert scan is not None
                assert scan.is_dir() == is_folder
                assert is_folder or scan.name.endswith(".nii.gz")


def test_preparation_refuses_nobody_and_measures_the_planned_outcomes(
    prepared: tuple[PreparedSite, ...],
) -> None:
    for centre, site in enumerate(prepared, start=1):
        assert site.refusals == ()
        request = CohortRequest(centre, REQUEST.patients[centre - 1], REQUEST.seed, REQUEST.signal)
        planned = {patient.identifier: patient for patient in draw_cohort(request)}
        for case in site.cases:
            drawn = planned[case.patient.identifier]
            assert case.positive == drawn.positive
            assert case.baseline.ich_ml == pytest.approx(drawn.baseline.ich_ml, abs=0.01)
            assert case.followup.ich_ml == pytest.approx(drawn.followup.ich_ml, abs=0.01)
            assert case.followup.ivh_ml == pytest.approx(drawn.followup.ivh_ml, abs=0.01)


def test_the_odd_centres_table_gives_the_masks_volumes(made: tuple[Path, ...]) -> None:
    for patient in inspect_site(made[0]).table.patients:
        mask = sitk.ReadImage(str(patient.baseline_mask))
        # A tilted scan's slices are nearer to each other than the table travels
        ich_ml = np.count_nonzero(sitk.GetArrayViewFromImage(mask) == 1) * np.prod(mask.GetSpacing()) / 1000
        given = patient.number("ich_volume_ml")
        assert given is not None
        assert np.isclose(given, ich_ml, atol=0.002) or np.isclose(
            given, ich_ml * np.cos(np.radians(12)), atol=0.002
        )
    assert all(patient.number("ich_volume_ml") is None for patient in inspect_site(made[1]).table.patients)


def test_every_finding_of_preparation_is_about_tilt(prepared: tuple[PreparedSite, ...]) -> None:
    tilted, upright = prepared
    assert [note.what for note in tilted.notes if "tilt" not in note.what] == []
    assert upright.notes == ()


def test_the_same_seed_gives_the_same_bytes_also_side_by_side(
    made: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centres, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(centres, "count_places", lambda _: 2)
    for first, again in zip(made, make_centres(tmp_path, REQUEST, SILENT), strict=True):
        assert contents(first) == contents(again)


def test_another_seed_gives_other_patients(made: tuple[Path, ...], tmp_path: Path) -> None:
    folder, _ = make_centres(tmp_path, CentresRequest((2, 2), 12, Signal.DEMO), SILENT)
    assert (folder / "cohort.csv").read_bytes() != (made[0] / "cohort.csv").read_bytes()


@pytest.mark.parametrize(("image_format", "folders"), [(ImageFormat.DICOM, True), (ImageFormat.NIFTI, False)])
def test_three_centres_in_one_format(tmp_path: Path, image_format: ImageFormat, *, folders: bool) -> None:
    request = CentresRequest((2, 2, 2), 1, Signal.PAPER, image_format)
    made = make_centres(tmp_path, request, SILENT)
    assert len(made) == 3
    for folder in made:
        intake = inspect_site(folder)
        assert intake.findings == ()
        assert all(
            patient.baseline_ct.is_dir() == folders for patient in intake.usable if patient.baseline_ct
        )


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "center2" / "cohort.xlsx"
    kept.parent.mkdir()
    kept.write_text("a hospital's")
    with pytest.raises(SiteError, match=r"center2: exists already -> remove it, or choose another --out"):
        make_centres(tmp_path, REQUEST, SILENT)
    assert [path.name for path in tmp_path.iterdir()] == ["center2"]
    assert kept.read_text() == "a hospital's"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "center1").mkdir()
    (folder,) = make_centres(tmp_path, CentresRequest((2,), 1, Signal.DEMO), SILENT)
    assert inspect_site(folder).findings == ()


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space left"), StorageError)],
)
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, raised: type[BaseException]
) -> None:
    written = []

    def fail_at_third(path: Path, *_: object) -> None:
        if len(written) == 2:
            raise failure
        written.append(path)

    monkeypatch.setattr(centres, "write_series", fail_at_third)
    with pytest.raises(raised):
        make_centres(tmp_path, REQUEST, SILENT)
    assert len(written) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("patients", [(), (1,), (20, 0)])
def test_a_centre_needs_patients(patients: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 patients"):
        CentresRequest(patients, 1, Signal.DEMO)


@pytest.mark.parametrize("name", ["cohort", "site", "images"])
def test_nothing_in_the_folder_is_hidden_or_left_over(made: tuple[Path, ...], name: str) -> None:
    for folder in made:
        assert any(path.name.startswith(name) for path in folder.iterdir())
        assert not [path for path in folder.parent.rglob("*") if path.name.startswith(".")]


def test_the_outcome_is_the_papers(prepared: tuple[PreparedSite, ...]) -> None:
    for site in prepared:
        assert all(case.positive == case.expansion.positive(OutcomeDefinition()) for case in site.cases)


def test_the_command_says_how_many_rows_the_tables_have(tmp_path: Path) -> None:
    """`--patients 40` wrote 46 rows, and nobody said why."""
    done = run_command("rhe-simulate", "centres", "--out", tmp_path / "made", "--patients", "6")

    (table,) = (tmp_path / "made" / "center1").glob("*.csv")
    rows = len(table.read_text(encoding="utf-8").splitlines()) - 1
    assert done.stdout == (
        f"{tmp_path / 'made' / 'center1'}: {rows} rows, of them 3 whom the study's criteria exclude\n"
    )
