"""Freezes PyRadiomics' own baselines and the lesions they were computed from.

    python tests/reference/radiomics/pyradiomics.py FOLDER

FOLDER is the unpacked source distribution of pyradiomics 3.0.1, which has both in `data` (BSD licence,
Copyright 2017 Harvard Medical School). Its baselines were made by its authors with earlier releases and
numpy 1.14. Of the images only the lesions' voxels are kept: no feature of the original image depends on any
other.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

CASES = ("brain1", "brain2", "breast1", "lung1", "lung2")
CLASSES = ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")


def main(data: Path, target: Path) -> None:
    arrays = {}
    for case in CASES:
        image, mask = (sitk.ReadImage(str(data / f"{case}_{kind}.nrrd")) for kind in ("image", "label"))
        voxels, lesion = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask) == 1
        found = np.argwhere(lesion)
        part = tuple(slice(a, b + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))
        arrays[f"{case}_voxels"] = np.where(lesion, voxels, 0)[part]
        arrays[f"{case}_lesion"] = lesion[part]
        arrays[f"{case}_spacing_mm"] = np.array(image.GetSpacing())
    np.savez_compressed(target / "lesions.npz", **arrays)
    rows = [row for kind in CLASSES for row in baselines(data / "baseline" / f"baseline_{kind}.csv")]
    with (target / "baselines.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("feature", *CASES), *rows])


def baselines(path: Path) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (row["featureName"], *(row[case] for case in CASES))
        for row in rows
        if row["featureName"].startswith("original_")
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "data", Path(__file__).parent)
