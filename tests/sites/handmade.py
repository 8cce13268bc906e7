"""Small site folders made by hand for tests: heads as ellipsoids, lesions as blobs, NIfTI and a CSV table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

SHAPE = (12, 64, 64)
SPACING_MM = (3.0, 3.0, 5.0)

_TABLE_DEFAULTS = {
    "sex": "male",
    "age": 60,
    "alcohol": 0,
    "smoking": 0,
    "diabetes": 0,
    "hypertension": 1,
    "onset_to_ct_h": 4,
    "sbp_mmhg": 160,
    "dbp_mmhg": 90,
    "inr": 1.0,
    "antithrombotic": 0,
    "anticoagulation": 0,
    "location": "deep",
    "ivh": 0,
    "sah": 0,
    "irregular_shape": 0,
    "satellite_sign": 0,
    "island_sign": 0,
    "black_hole_sign": 0,
    "blend_sign": 0,
    "fluid_level": 0,
    "swirl_sign": 0,
    "hypodensity": 0,
    "heterogeneous_density": 0,
    "ct_to_followup_h": 24,
    "primary_ivh": 0,
    "prior_surgery": 0,
    "artefacts": 0,
}


def make_site(
    folder: Path,
    name: str,
    patients: int = 24,
    *,
    synthetic: bool = True,
    release: bool = True,
    seed: int = 0,
) -> Path:
    """A site folder of this many patients, every third with expansion; growing lesions have dark cores."""
    folder.mkdir(parents=True)
    profiles = '["simulation"]' if synthetic else '["standard", "replication"]'
    (folder / "site.toml").write_text(
        f'name = "{name}"\ntable = "cohort.csv"\nsynthetic = {str(synthetic).lower()}\ndevice = "cpu"\n'
        f"[policy]\nprofiles = {profiles}\nmodel_release = {str(release).lower()}\n",
        encoding="utf-8",
    )
    if synthetic:
        (folder / "SYNTHETIC.json").write_text(json.dumps({"made_by": "tests"}), encoding="utf-8")
    random = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        identifier = f"{name}-{number:03d}"
        grows = number % 3 == 0
        _write_case(folder / "images", identifier, random, grows=grows)
        rows.append(
            {
                "patient": identifier,
                "baseline_ct": f"images/{identifier}_ct.nii.gz",
                "baseline_mask": f"images/{identifier}_mask.nii.gz",
                **_TABLE_DEFAULTS,
                "age": 50 + number % 30,
                "followup_ich_volume_ml": 60 if grows else 8,
                "followup_ivh_volume_ml": 0,
            }
        )
    write_table(folder, rows)
    return folder


def write_table(folder: Path, rows: list[dict[str, object]]) -> None:
    """The cohort table anew."""
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(folder: Path) -> list[dict[str, object]]:
    """The cohort table's rows, to be changed and written again."""
    with (folder / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_case(folder: Path, identifier: str, random: np.random.Generator, *, grows: bool) -> None:
    folder.mkdir(exist_ok=True)
    z, y, x = np.indices(SHAPE)
    depth, height, width = ((axis - size / 2) / size for axis, size in zip((z, y, x), SHAPE, strict=True))
    radius = np.sqrt((width / 0.40) ** 2 + (height / 0.46) ** 2 + (depth / 0.55) ** 2)
    voxels = np.full(SHAPE, -1000.0)
    voxels[radius < 1.0] = 900.0
    voxels[radius < 0.88] = 32.0
    centre = np.array([6.0, 30.0, 24.0]) + random.uniform(-1, 1, 3)
    distance = np.sqrt(((z - centre[0]) * 5) ** 2 + ((y - centre[1]) * 3) ** 2 + ((x - centre[2]) * 3) ** 2)
    lesion = distance < random.uniform(11, 16)
    voxels[lesion] = 65.0
    if grows:
        voxels[distance < 6] = 38.0
    voxels[radius < 0.88] += random.normal(0, 2, int((radius < 0.88).sum()))
    _write(folder / f"{identifier}_ct.nii.gz", np.rint(voxels).astype(np.int16))
    _write(folder / f"{identifier}_mask.nii.gz", lesion.astype(np.uint8))


def _write(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING_MM)
    sitk.WriteImage(image, str(path))
