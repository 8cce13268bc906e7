"""Simulated hospitals: one site folder a centre, as a hospital would hold it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import Progress

from client.membership.site import MARKER, SITE_FILE
from common.cohort.repeated_readings import MARKERS, MASK_COLUMN, column_of_reading
from common.cohort.schema import VARIABLES
from common.errors import SiteError, StorageError
from common.plan.study import StudyPlan
from common.seeds import derive_seed, generator
from simulations.backends.side_process import count_places, start_beside
from simulations.hospitals.dicom_files import SeriesOrigin, write_series
from simulations.hospitals.nifti_files import write_nifti
from simulations.hospitals.patients import CohortRequest, SimulatedPatient, TableValue, draw_cohort
from simulations.hospitals.planned_columns import draw_planned_columns
from simulations.hospitals.second_readings import (
    HABITS,
    choose_patients_read_again,
    read_again,
    read_markers_again,
)
from simulations.phantom.anatomy import build_head
from simulations.phantom.images import Image, scan_patient
from simulations.phantom.lesion import Lesion
from simulations.phantom.scanners import Scanner, scanner_of
from simulations.study_request import ImageFormat, Signal

_log = logging.getLogger(__name__)


_BUILDS = 2
"""Heads of different size and gyri at a centre, each at three ages."""
_AGES = (45, 68)
"""Bounds in years between narrow, middling and wide ventricles."""
_STAGES = ("baseline", "followup")
_WORTH_PROCESSES = 60
"""From so many patients on, centres are written side by side: to begin a process takes as long as a few."""
_SITE = """# Written by rhe-simulate centres: no patient of this folder exists.
name = "{name}"
table = "{table}"
synthetic = true

[mask]
ich = [1]
ivh = [2]

[policy]
profiles = ["standard", "replication", "simulation"]
model_release = true
"""


@dataclass(frozen=True)
class CentresRequest:
    """Which centres to simulate.

    Attributes
    ----------
    patients : tuple of int
        Included patients of each centre; a few excluded ones come on top.
    seed : int
        The same seed gives the same files.
    signal : Signal
        What the patients carry that predicts growth.
    image_format : ImageFormat
        The file format of the scans.
    plan : StudyPlan, optional
        Names the centres, and which further columns their tables have; without one they are center1, center2
        and so on.
    """

    patients: tuple[int, ...]
    seed: int
    signal: Signal
    image_format: ImageFormat = ImageFormat.MIXED
    plan: StudyPlan | None = None

    def __post_init__(self) -> None:
        if not self.patients or min(self.patients) < 2:
            raise ValueError(f"each centre needs at least 2 patients, not {self.patients}")
        if self.plan is not None and len(self.plan.sites) != len(self.patients):
            raise SiteError(
                f"patients are given for {len(self.patients)} sites, the plan has {len(self.plan.sites)} -> "
                "--patients once for each site, or never"
            )

    def name_centre(self, centre: int) -> str:
        """A centre's name, by its number from 1."""
        return f"center{centre}" if self.plan is None else self.plan.sites[centre - 1].name

    def writes_dicom(self, centre: int) -> bool:
        """Whether a centre's scans are DICOM series."""
        if self.image_format is ImageFormat.MIXED:
            return centre % 2 == 1
        return self.image_format is ImageFormat.DICOM


def make_centres(out: Path, request: CentresRequest, progress: Progress) -> tuple[Path, ...]:
    """Write one folder for each centre (out/center1, out/center2, ..., or the plan's names) and return them.

    Each folder is written under a hidden name and renamed when it is complete, so an interrupted simulation
    leaves no folder that looks complete.

    Raises
    ------
    SiteError
        If a centre's folder exists already and is not empty.
    StorageError
        If the disk is full or cannot be written.
    """
    folders = tuple(out / request.name_centre(centre) for centre in range(1, len(request.patients) + 1))
    for folder in folders:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SiteError(f"{folder}: exists already -> remove it, or choose another --out")
    processes = min(len(folders), count_places(1)) if sum(request.patients) >= _WORTH_PROCESSES else 1
    if processes == 1:
        writer = CentreWriter(request, progress)
        for centre, folder in enumerate(folders, start=1):
            writer.write(centre, folder)
        return folders
    names = [f"simulated centres {number + 1}" for number in range(processes)]
    with start_beside(dict.fromkeys(names, partial(CentreWriter, request)), progress) as writers:
        begun = [
            writers[place % processes].begin("write", place + 1, folder)
            for place, folder in enumerate(folders)
        ]
        for written in begun:
            written.result()
    return folders


@dataclass(frozen=True)
class CentreWriter:
    """Writes the centres of a request, in this process.

    Attributes
    ----------
    request : CentresRequest
        Which centres.
    progress : Progress
        Shows the patients that are written.
    """

    request: CentresRequest
    progress: Progress

    def write(self, centre: int, folder: Path) -> None:
        """Write a centre, by its number from 1; raises as `make_centres`."""
        with _move_when_complete(folder) as hidden:
            _Centre(centre, self.request, hidden).write(self.progress)


@contextmanager
def _move_when_complete(folder: Path) -> Iterator[Path]:
    """Give a hidden folder that is renamed to `folder` at the end, or removed after an error.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        yield hidden
        hidden.replace(folder)
    except OSError as failure:
        raise StorageError(
            f"{folder}: cannot be written ({failure.strerror or failure}) -> free some space, or choose "
            "another --out"
        ) from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@dataclass(frozen=True)
class _Centre:
    """One centre while its folder is written."""

    number: int
    request: CentresRequest
    folder: Path

    @property
    def name(self) -> str:
        return self.request.name_centre(self.number)

    def write(self, progress: Progress) -> None:
        """Write the images, the cohort table, the marker of simulated data and the site's settings."""
        patients = draw_cohort(
            CohortRequest(
                self.number, self.request.patients[self.number - 1], self.request.seed, self.request.signal
            )
        )
        task = progress.add_task(f"{self.name}: simulating patients", total=len(patients))
        again = choose_patients_read_again(patients)
        shares = {
            name: sum(int(patient.shows(name)) for patient in patients) / len(patients) for name in MARKERS
        }
        rows = []
        for patient in patients:
            rows.append(self._write_patient(patient, shares if patient.identifier in again else None))
            progress.advance(task)
        progress.remove_task(task)
        table = "cohort.csv" if self.number % 2 else "cohort.xlsx"
        (_write_csv if self.number % 2 else _write_xlsx)(self.folder / table, rows)
        marker = {
            "made_by": "rhe-simulate centres",
            "centre": self.number,
            "seed": self.request.seed,
            "signal": self.request.signal.value,
        }
        (self.folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        (self.folder / SITE_FILE).write_text(_SITE.format(name=self.name, table=table), encoding="utf-8")
        _log.info("simulated site=%s patients=%d", self.name, len(patients))

    def _write_patient(
        self, patient: SimulatedPatient, shares: Mapping[str, float] | None
    ) -> dict[str, TableValue]:
        """Write the patient's images and return the table's row, with further readings if given `shares`."""
        seed = derive_seed(self.request.seed, self.name, patient.identifier)
        scanner = scanner_of(self.number)
        dicom = self.request.writes_dicom(self.number)
        if patient.excluded:
            scanner = scanner.coarsen()
        tilted = dicom and (seed % 1000) / 1000 < scanner.tilted_share
        atrophy = sum(float(patient.values["age"]) > age for age in _AGES)
        anatomy = build_head(scanner, seed % _BUILDS, tilted=tilted, atrophy=atrophy)
        images = scan_patient(anatomy, lesion_of(patient), scanner, seed)
        row: dict[str, TableValue] = {"patient": patient.identifier, **patient.values}
        if self.request.plan is not None:
            row |= draw_planned_columns(self.request.plan, patient, seed)
        for stage, image in enumerate(images):
            paths = self._write_scan(patient, stage, image, scanner)
            row[f"{_STAGES[stage]}_ct"], row[f"{_STAGES[stage]}_mask"] = paths
        if self.number % 2:
            volumes = images[0].volumes
            row |= {"ich_volume_ml": round(volumes.ich_ml, 3), "ivh_volume_ml": round(volumes.ivh_ml, 3)}
        if shares is not None:
            row |= read_markers_again(patient, shares, seed) | self._write_masks_read_again(
                patient, images[0], seed
            )
        return row

    def _write_masks_read_again(
        self, patient: SimulatedPatient, image: Image, seed: int
    ) -> dict[str, TableValue]:
        """Write the segmentations of the further readings and return their paths by column."""
        paths: dict[str, TableValue] = {}
        for reading, habit in HABITS.items():
            labels = read_again(image.labels, image.geometry, habit, generator(seed, "mask", reading))
            mask = Path(
                "images", patient.identifier, _STAGES[0], f"{column_of_reading('mask', reading)}.nii.gz"
            )
            write_nifti(self.folder / mask, labels, image.geometry)
            paths[column_of_reading(MASK_COLUMN, reading)] = mask.as_posix()
        return paths

    def _write_scan(
        self, patient: SimulatedPatient, stage: int, image: Image, scanner: Scanner
    ) -> tuple[str, str]:
        """Write scan and mask and return their paths, relative to the centre's folder."""
        place = Path("images", patient.identifier, _STAGES[stage])
        (self.folder / place).mkdir(parents=True)
        mask = place / "mask.nii.gz"
        write_nifti(self.folder / mask, image.labels, image.geometry)
        if self.request.writes_dicom(self.number):
            scan = place / "ct"
            origin = SeriesOrigin(patient.identifier, stage, self.request.seed)
            write_series(self.folder / scan, image, scanner, origin)
        else:
            scan = place / "ct.nii.gz"
            write_nifti(self.folder / scan, image.hu, image.geometry)
        return scan.as_posix(), mask.as_posix()


def lesion_of(patient: SimulatedPatient) -> Lesion:
    """The lesion that the patient's images must show."""
    signs = frozenset(sign for sign in (*MARKERS, "sah") if patient.shows(sign))
    location = str(patient.values["location"])
    return Lesion(location, patient.baseline, patient.followup, signs, patient.roughness)


def _columns_of(rows: list[dict[str, TableValue]]) -> list[str]:
    filled = {name for row in rows for name in row}
    known = [variable.name for variable in VARIABLES if variable.name in filled]
    return known + [name for name in dict.fromkeys(name for row in rows for name in row) if name not in known]


def _write_csv(path: Path, rows: list[dict[str, TableValue]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns_of(rows))
        writer.writeheader()
        writer.writerows(rows)


def _write_xlsx(path: Path, rows: list[dict[str, TableValue]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.properties.creator = "rhe-simulate"
    book.properties.created = dt.datetime(2025, 1, 1)  # noqa: DTZ001 - openpyxl knows no time zones
    columns = _columns_of(rows)
    sheet = book.active
    sheet.title = "cohort"
    sheet.append(columns)
    for row in rows:
        sheet.append([row.get(name) for name in columns])
    written = io.BytesIO()
    book.save(written)
    # An Excel file is a zip archive that holds the time twice; without it the same cohort gives equal bytes
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            timeless = re.sub(
                rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2025-01-01T00:00:00Z", source.read(name)
            )
            target.writestr(zipfile.ZipInfo(name), timeless, zipfile.ZIP_DEFLATED)
