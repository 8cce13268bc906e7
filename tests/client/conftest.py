"""A site folder of small head scans, written as a hospital would hold them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress

from client.membership.site import SITE_FILE
from common.cohort.schema import VARIABLES
from common.plan.study import StudyPlan

SPACING_MM = (5.0, 5.0, 5.0)


def head(lesion: tuple[slice, slice, slice], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and mask of a 12 x 40 x 40 head of 5 mm voxels with a bright box for a lesion."""
    _, y, x = np.mgrid[:12, :40, :40]
    radius = np.hypot((y - 19.5) / 17, (x - 19.5) / 15)
    noise = np.random.default_rng(seed).integers(-3, 4, radius.shape)
    voxels = np.where(radius < 1, 33 + noise, -1000)
    voxels[(radius < 1) & (radius > 0.9)] = 1000
    mask = np.zeros(radius.shape, dtype=np.uint8)
    mask[lesion] = 1
    voxels[mask > 0] = 62
    return voxels.astype(np.int16), mask


def write(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING_MM)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@dataclass
class Folder:
    """A site folder under construction."""

    root: Path
    rows: list[dict[str, object]] = field(default_factory=list)

    def patient(self, name: str, *, grows: bool, **values: object) -> dict[str, object]:
        seed = len(self.rows)
        # No two patients have one lesion: equal masks are refused
        left = 12 + seed // 3
        voxels, mask = head((slice(4, 8), slice(10, 16 + seed % 3), slice(left, left + 8)), seed)
        write(self.root / f"{name}/ct.nii.gz", voxels)
        write(self.root / f"{name}/mask.nii.gz", mask)
        row: dict[str, object] = {
            "patient": name,
            "baseline_ct": f"{name}/ct.nii.gz",
            "baseline_mask": f"{name}/mask.nii.gz",
            "age": 60,
            "onset_to_ct_h": 3,
            "ct_to_followup_h": 20,
            "primary_ivh": 0,
            "prior_surgery": 0,
            "artefacts": 0,
            "ich_volume_ml": 30,
            "ivh_volume_ml": 0,
            "followup_ich_volume_ml": 60 if grows else 30,
            "followup_ivh_volume_ml": 0,
        }
        self.rows.append({**row, **values})
        return self.rows[-1]

    def finish(self) -> Path:
        (self.root / SITE_FILE).write_text(
            'name = "north"\ntable = "cohort.csv"\n[policy]\nmin_patients = 1\nmin_per_class = 1\n'
        )
        names = [variable.name for variable in VARIABLES]
        with (self.root / "cohort.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.root


@pytest.fixture
def scans_folder(tmp_path: Path) -> Folder:
    site = Folder(tmp_path / "north")
    site.root.mkdir()
    for number in range(8):
        site.patient(f"P{number}", grows=number % 2 == 0)
    return site


@pytest.fixture(scope="session")
def small_plan() -> Callable[..., StudyPlan]:
    """A plan with one small network, in which the site's role can be chosen."""
    return _plan


def _plan(role: str = "train", size: int = 16, **changes: object) -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "test",
            "seed": 7,
            "sites": [
                {"name": "north", "role": role},
                {"name": "south", "role": "train"},
                {"name": "east", "role": "external"},
            ],
            "models": [{"name": "small", "family": "resnet10-narrow", "input_size": size}],
            **changes,
        }
    )


@pytest.fixture
def progress() -> Progress:
    return Progress(disable=True)
