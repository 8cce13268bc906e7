"""Hospitals that have no images: a site.toml and a table with the volumes of both scans."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openpyxl

from common.cohort.schema import VARIABLES

EXPANDED = 0.35
"""Share of patients whose hematoma grows, as in the paper."""


@dataclass(frozen=True)
class Habits:
    """What may differ between hospitals.

    Attributes
    ----------
    synthetic : bool
        Whether the folder declares and marks its patients as simulated.
    workbook : bool
        XLSX instead of CSV.
    blank : float
        Share of cells of clinical and radiologic variables that are not known.
    split : tuple of str
        Parts given in the column `split`, in turn to patients with and without expansion; empty: no column.
    strength : float
        How far the first score tells the outcomes apart, in standard deviations; each further score less.
    """

    synthetic: bool = True
    workbook: bool = False
    blank: float = 0.0
    split: tuple[str, ...] = ()
    strength: float = 1.2


def table_only_hospital(
    folder: Path,
    name: str,
    patients: int = 60,
    seed: int = 0,
    scores: tuple[str, ...] = ("score_a",),
    *,
    habits: Habits = Habits(),
) -> Path:
    """A site folder of a settings file and a table alone, the same one for the same arguments.

    About 35 % of the patients expand. Scores lie in [0, 1] with four decimals and rise with the risk.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng([seed, *name.encode()])
    rows = [_patient(f"{name}-{number:03d}", random) for number in range(patients)]
    outcomes = _expanding(patients, random)
    for row, grows in zip(rows, outcomes, strict=True):
        row.update(_followup(row, random, grows=grows))
        for rank, score in enumerate(scores):
            logit = random.normal(habits.strength * 0.7**rank * (grows - 0.5))
            row[score] = round(float(1 / (1 + np.exp(-logit))), 4)
    _divide(rows, outcomes, habits.split)
    _forget(rows, habits.blank, random)
    _write_settings(folder, name, habits)
    write_cohort(folder, rows, workbook=habits.workbook)
    return folder


def read_cohort(folder: Path) -> list[dict[str, object]]:
    """The rows of a CSV, to be changed and written again."""
    with (folder / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def write_cohort(folder: Path, rows: list[dict[str, object]], *, workbook: bool = False) -> None:
    """The table anew; a missing value is a blank cell."""
    headings = list(rows[0])
    if workbook:
        book = openpyxl.Workbook()
        book.active.append(headings)
        for row in rows:
            book.active.append([row.get(heading) for heading in headings])
        book.save(folder / "cohort.xlsx")
        return
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, headings)
        writer.writeheader()
        writer.writerows(rows)


def _expanding(patients: int, random: np.random.Generator) -> np.ndarray:
    outcomes = np.zeros(patients, dtype=bool)
    outcomes[: round(EXPANDED * patients)] = True
    return random.permutation(outcomes)


def _patient(identifier: str, random: np.random.Generator) -> dict[str, object]:
    ivh = random.random() < 0.35
    systolic = int(np.clip(random.normal(168, 26), 95, 260))
    warfarin = random.random() < 0.06
    numbers: dict[str, object] = {
        "sex": "male" if random.random() < 0.65 else "female",
        "age": int(np.clip(random.normal(62, 12), 19, 95)),
        "onset_to_ct_h": round(float(np.clip(random.gamma(1.8, 2.2), 0.3, 23.5)), 2),
        "sbp_mmhg": systolic,
        "dbp_mmhg": int(np.clip(random.normal(0.57 * systolic, 10), 45, systolic - 20)),
        "inr": round(float(random.uniform(2.0, 3.5) if warfarin else random.normal(1.02, 0.06)), 2),
        "ich_volume_ml": round(float(np.clip(random.lognormal(2.6, 0.8), 1, 120)), 2),
        "ivh_volume_ml": round(float(random.lognormal(1.2, 0.7)), 2) if ivh else 0.0,
        "location": str(random.choice(["lobar", "deep", "infratentorial"], p=[0.25, 0.62, 0.13])),
        "ivh": int(ivh),
        "warfarin": int(warfarin),
        "anticoagulation": int(warfarin or random.random() < 0.02),
        "ct_to_followup_h": round(float(random.uniform(6, 48)), 1),
        "primary_ivh": 0,
        "prior_surgery": 0,
        "artefacts": 0,
    }
    row: dict[str, object] = {"patient": identifier}
    for variable in VARIABLES:
        if variable.name in numbers:
            row[variable.name] = numbers[variable.name]
        elif variable.kind == "binary" and variable.group != "repeated readings":
            row[variable.name] = int(random.random() < 0.25)
    return row


def _followup(row: dict[str, object], random: np.random.Generator, *, grows: bool) -> dict[str, object]:
    """Growth by more than 6 mL, or by less than a tenth and 2 mL."""
    before = float(str(row["ich_volume_ml"]))
    growth = random.uniform(6.5, 25) if grows else min(2.0, before * random.uniform(0, 0.1))
    return {
        "followup_ich_volume_ml": round(before + growth, 2),
        "followup_ivh_volume_ml": row["ivh_volume_ml"],
    }


def _divide(rows: list[dict[str, object]], outcomes: np.ndarray, parts: tuple[str, ...]) -> None:
    if not parts:
        return
    for outcome in (True, False):
        members = [row for row, grows in zip(rows, outcomes, strict=True) if grows == outcome]
        for number, row in enumerate(members):
            row["split"] = parts[number % len(parts)]


def _forget(rows: list[dict[str, object]], share: float, random: np.random.Generator) -> None:
    """Blank cells, but none that eligibility or the outcome needs."""
    volumes, eligibility = {"ich_volume_ml", "ivh_volume_ml", "ivh"}, {"age", "onset_to_ct_h"}
    names = [
        variable.name
        for variable in VARIABLES
        if variable.group in {"clinical", "radiologic"} and variable.name not in volumes | eligibility
    ]
    for row in rows:
        for name in names:
            if random.random() < share:
                row[name] = None


def _write_settings(folder: Path, name: str, habits: Habits) -> None:
    profiles = '["simulation"]' if habits.synthetic else '["standard", "replication"]'
    table = "cohort.xlsx" if habits.workbook else "cohort.csv"
    (folder / "site.toml").write_text(
        f'name = "{name}"\ntable = "{table}"\nsynthetic = {str(habits.synthetic).lower()}\ndevice = "cpu"\n'
        f"[policy]\nprofiles = {profiles}\n",
        encoding="utf-8",
    )
    if habits.synthetic:
        (folder / "SYNTHETIC.json").write_text(json.dumps({"made_by": "tests"}), encoding="utf-8")
