from __future__ import annotations

import csv
from pathlib import Path

import openpyxl
import pytest

from common.cohort.schema import VARIABLES

HEADINGS = [variable.name for variable in VARIABLES if variable.group not in {"study", "repeated readings"}]
"""Of a hospital that leaves the split to the plan and has no repeated readings."""

ORDINARY = {
    "patient": "p1",
    "baseline_ct": "ct/p1",
    "baseline_mask": "masks/p1.nii.gz",
    "followup_ct": "ct/p1-later.nii.gz",
    "followup_mask": "masks/p1-later.nii.gz",
    "sex": "female",
    "age": 63.5,
    "alcohol": 0,
    "smoking": 1,
    "diabetes": 0,
    "hypertension": 1,
    "onset_to_ct_h": 3.25,
    "sbp_mmhg": 166,
    "dbp_mmhg": 98,
    "inr": 1.01,
    "antithrombotic": 0,
    "anticoagulation": 1,
    "ich_volume_ml": 12.45,
    "ivh_volume_ml": 1.5,
    "location": "deep",
    "ivh": 1,
    "sah": 0,
    "irregular_shape": 0,
    "satellite_sign": 0,
    "island_sign": 0,
    "black_hole_sign": 0,
    "blend_sign": 0,
    "fluid_level": 0,
    "swirl_sign": 0,
    "hypodensity": 1,
    "heterogeneous_density": 0,
    "recurrent_ich": 0,
    "warfarin": 1,
    "ct_to_followup_h": 24,
    "primary_ivh": 0,
    "prior_surgery": 0,
    "artefacts": 0,
    "followup_ich_volume_ml": 13,
    "followup_ivh_volume_ml": 1.5,
}


class Tables:
    """Writes tables as a hospital would, and wrongly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def row(self, **changes) -> dict[str, object]:
        return ORDINARY | changes

    def csv(self, *rows, headings=HEADINGS, name="cohort.csv", encoding="utf-8", delimiter=",") -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding=encoding) as stream:
            writer = csv.writer(stream, delimiter=delimiter)
            writer.writerow(headings)
            for row in rows:
                writer.writerow(["" if row.get(h) is None else row[h] for h in headings])
        return path

    def xlsx(self, *rows, headings=HEADINGS, sheets=("Sheet1",), name="cohort.xlsx") -> Path:
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title in sheets:
            sheet = workbook.create_sheet(title)
            sheet.append(list(headings))
            for row in rows:
                sheet.append([row.get(h) for h in headings])
        path = self.folder / name
        workbook.save(path)
        return path


@pytest.fixture
def tables(tmp_path) -> Tables:
    return Tables(tmp_path)
