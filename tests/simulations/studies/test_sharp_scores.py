"""Scores from flat to sharp and from risks near 1e-5: every AUC, limit and P is pROC's on the raw rows."""

import csv
from math import log10
from pathlib import Path

import pytest
from rich.progress import Progress
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from common.plan.study import StudyPlan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[2] / "reference" / "roc"
SITES = ("a", "b", "c")
SCORES = ("flat", "usual", "sharp", "tiny_risks", "other_tiny")
PLAN = StudyPlan.model_validate(
    {
        "name": "Sharp scores",
        "seed": 1,
        "phases": ["evaluation"],
        "sites": [{"name": name, "role": "external"} for name in SITES],
        "models": [
            {"kind": "scores", "name": name.replace("_", "-"), "column": name, "probability": True}
            for name in SCORES
        ],
        "evaluation": {"reference_model": "usual", "interval": "delong"},
    }
)


def read_rows(name):
    with (REFERENCE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def hospital(folder, rows):
    """A hospital whose patients have these outcomes and scores."""
    table_only_hospital(folder, folder.name, len(rows), habits=Habits(synthetic=False))
    cohort = read_cohort(folder)
    for patient, row in zip(cohort, rows, strict=True):
        growth = 10 if row["y"] == "1" else 0
        patient["followup_ich_volume_ml"] = float(patient["ich_volume_ml"]) + growth
        patient["followup_ivh_volume_ml"] = patient["ivh_volume_ml"]
        patient.update({score: row[score] for score in SCORES})
    write_cohort(folder, cohort)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("sharp")
    pooled = read_rows("sharp.csv")
    folders = {site: hospital(root / site, [row for row in pooled if row["site"] == site]) for site in SITES}
    run = StudyRun(PLAN, root / "out", derive_simulated_key(PLAN))
    return run_in_process(run, folders, Progress(disable=True))


@pytest.fixture(scope="module")
def expected():
    """By cohort and score, what pROC computes on the raw rows."""
    return {(row["cohort"], row["score"].replace("_", "-")): row for row in read_rows("sharp_expected.csv")}


def name_of(record):
    return "all" if len(record.cohort_sites) > 1 else record.cohort_sites[0]


def test_every_auc_and_limit_is_that_of_the_raw_rows(results, expected):
    cells = {(name_of(cell), cell.model): cell for cell in results.evaluation}

    assert cells.keys() == expected.keys()
    for key, cell in cells.items():
        printed = (cell.auc.value, cell.auc.low, cell.auc.high)
        assert printed == pytest.approx([float(expected[key][n]) for n in ("auc", "low", "high")], abs=1e-12)
        assert (cell.auc_error_bound, cell.auc_interval_bound) == (0.0, 0.0)


def test_every_difference_and_p_is_that_of_the_raw_rows(results, expected):
    pairs = {
        (name_of(table), pair.second_model): pair for table in results.comparisons for pair in table.pairs
    }

    assert len(pairs) == 4 * 4
    for key, pair in pairs.items():
        assert pair.difference.value == pytest.approx(float(expected[key]["difference"]), abs=1e-12)
        assert log10(pair.p_value) == pytest.approx(log10(float(expected[key]["p"])), abs=1e-9)
        assert (pair.p_least, pair.p_most) == (pair.p_value, pair.p_value)
        assert (pair.used, pair.missing) == (210 if key[0] == "all" else 70, 0)


def test_the_omnibus_test_is_of_the_models_of_its_table(results):
    """Four of the five scores order all patients alike: one contrast has a variance."""
    for table in results.comparisons:
        (other,) = (pair for pair in table.pairs if pair.second_model == "other-tiny")
        assert (table.degrees_of_freedom, table.p_value) == (1, pytest.approx(other.p_value, rel=1e-6))
