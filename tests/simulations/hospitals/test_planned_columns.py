"""Simulated centres fit a plan, by their names and columns; each example plan can begin with them."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from rich.progress import Progress

from client.cohort.intake import inspect_site
from client.membership.policy import check_plan
from client.membership.site import load_site
from common.errors import SiteError
from common.plan.study import StudyPlan, load_plan
from simulations.hospitals.centres import CentresRequest, make_centres
from simulations.hospitals.patients import CohortRequest, draw_cohort
from simulations.hospitals.planned_columns import draw_planned_columns, list_planned_columns
from simulations.local_study import parse_sites
from simulations.study_request import ImageFormat, Signal, write_run_command

PLANS = sorted((Path(__file__).parents[3] / "deploy" / "plans").glob("*.toml"))
OWN = {
    "name": "Own variables",
    "seed": 1,
    "sites": [{"name": "Klinikum Köln", "role": "train"}],
    "cohort": {"outcome": {"endpoint": "column", "column": "poor", "label": "Poor", "meaning": "mRS 3 to 6"}},
    "variables": [
        {"name": "gcs", "kind": "count", "range": [3, 15]},
        {"name": "glucose", "kind": "continuous", "range": [2.0, 30.0], "resolution": 0.1},
        {"name": "spot_sign", "kind": "binary"},
        {"name": "side", "kind": "categorical", "levels": ["left", "right", "both"]},
    ],
    "models": [
        {"kind": "scores", "name": "Points", "column": "points", "high": 24, "step": 2, "risk": "falls"},
        {"kind": "logistic", "name": "GCS", "covariates": ["gcs", "glucose"]},
    ],
}


@pytest.fixture(scope="module")
def patients():
    return draw_cohort(CohortRequest(1, 40, 3, Signal.DEMO))


def test_each_column_of_a_plan_gets_possible_values(patients):
    plan = StudyPlan.model_validate(OWN)
    rows = [draw_planned_columns(plan, patient, seed) for seed, patient in enumerate(patients)]
    assert (
        list(rows[0])
        == list(list_planned_columns(plan))
        == ["points", "gcs", "glucose", "spot_sign", "side", "poor"]
    )
    assert {row["points"] % 2 for row in rows} == {0}
    assert all(isinstance(row["gcs"], int) and 3 <= row["gcs"] <= 15 for row in rows)
    assert all(2 <= row["glucose"] <= 30 and round(row["glucose"], 1) == row["glucose"] for row in rows)
    assert {row["spot_sign"] for row in rows} == {0, 1}
    assert {row["side"] for row in rows} == {"left", "right", "both"}
    assert [row["poor"] for row in rows] == [int(patient.positive) for patient in patients]


def test_values_go_with_the_outcome(patients):
    plan = StudyPlan.model_validate(OWN)
    rows = [
        (patient.positive, draw_planned_columns(plan, patient, seed)) for seed, patient in enumerate(patients)
    ]

    def mean(name, positive):
        values = [row[name] for grows, row in rows if grows is positive]
        return sum(values) / len(values)

    assert mean("gcs", True) > mean("gcs", False)
    assert mean("points", True) < mean("points", False)


def test_a_variable_that_is_a_score_goes_the_way_that_its_risk_goes(patients):
    falling = {"kind": "scores", "name": "GCS alone", "column": "gcs", "risk": "falls"}
    plan = StudyPlan.model_validate(OWN | {"models": [*OWN["models"], falling]})
    rows = [
        (patient.positive, draw_planned_columns(plan, patient, seed)["gcs"])
        for seed, patient in enumerate(patients)
    ]

    with_outcome = [value for grows, value in rows if grows]
    without = [value for grows, value in rows if not grows]
    assert sum(with_outcome) / len(with_outcome) < sum(without) / len(without)
    assert {type(value) for _, value in rows} == {int}


@pytest.fixture(scope="module")
def make_centre(tmp_path_factory):
    """The first simulated centre that fits a plan; plans that want no further column share one."""
    made = {}

    def make(plan):
        wanted = list_planned_columns(plan)
        if wanted not in made:
            one = plan.model_copy(update={"sites": plan.sites[:1]})
            request = CentresRequest((2,), 1, Signal.DEMO, ImageFormat.NIFTI, one)
            made[wanted] = make_centres(tmp_path_factory.mktemp("centres"), request, Progress(disable=True))[
                0
            ]
        return made[wanted]

    return make


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_study_from_simulated_centres_can_begin_with_each_example_plan(path, make_centre):
    plan = load_plan(path)
    assert [site.name for site in plan.sites] == [f"center{n}" for n in range(1, len(plan.sites) + 1)]
    centre = make_centre(plan)
    settings = load_site(centre)
    check_plan(settings, centre, plan)
    heading = (centre / settings.table).read_text(encoding="utf-8").splitlines()[0].split(",")
    assert set(list_planned_columns(plan)) <= set(heading)
    assert len(inspect_site(centre).usable) == 2


def test_the_command_that_follows_runs_the_plan_over_the_folders():
    command = write_run_command(Path("my plan.toml"), [Path("data dir/Klinikum-Koeln"), Path("d/b")])

    words = shlex.split(command)
    assert words[:4] == ["rhe-simulate", "run", "--plan", "my plan.toml"]
    sites = [word for before, word in pairwise(words) if before == "--site"]
    assert parse_sites(sites) == {"Klinikum-Koeln": Path("data dir/Klinikum-Koeln"), "b": Path("d/b")}


def test_a_number_of_patients_for_each_site_or_for_none():
    with pytest.raises(SiteError, match="given for 2 sites, the plan has 1 -> --patients once for each site"):
        CentresRequest((6, 6), 1, Signal.DEMO, plan=StudyPlan.model_validate(OWN))
