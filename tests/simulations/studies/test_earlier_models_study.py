"""Models of an earlier study at hospitals that train nothing: judged as their pooled patients are by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.progress import Progress
from sites.earlier import an_effect, first_plan, section_of, write_logistic
from sites.tables import Habits, table_only_hospital
from sklearn.metrics import roc_auc_score

from client.predict.request import PredictRequest, predict_patients
from common.errors import ExchangeError, ModelError
from common.plan.study import StudyPlan
from server.planning.message_rounds import expect_rounds
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

SITES = ("old1", "new1", "new2")
OTHER = (an_effect("ich_volume_ml", 0.03), an_effect("location", 0.4, "deep"))


def write_files(folder):
    """Two models, each with its file."""
    folder.mkdir()
    first = write_logistic(folder, first_plan()).rename(folder / "first.json")
    return first, write_logistic(folder, first_plan(), OTHER).rename(folder / "other.json")


def a_plan(*sections):
    sites = [{"name": name, "role": "external"} for name in SITES]
    settings = {"name": "New", "seed": 3, "profile": "simulation", "phases": ["evaluation"]}
    evaluation = {"bins": 20_000, "reference_model": "Clinical"}
    return StudyPlan.model_validate(
        settings | {"sites": sites, "models": sections, "evaluation": evaluation}
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    folders = {
        name: table_only_hospital(root / name, name, 90, seed, habits=Habits(blank=0.02))
        for seed, name in enumerate(SITES)
    }
    first, other = write_files(root / "cards")
    plan = a_plan(section_of(first), section_of(other, name="Other"))
    run = StudyRun(plan, root / "out", derive_simulated_key(plan), cards=root / "cards")
    return run_in_process(run, folders, Progress(disable=True)), folders, run, {"Clinical": first, "Other": other}


def predict(path, folder, run):
    """Risks of the study's patients by `rhe-client predict`; NaN where it gives none; and their outcomes."""
    with np.load(next((run.out / "sites" / folder.name / "scores").glob("*/*/earlier.npz"))) as _:
        pass
    told = predict_patients(PredictRequest(path, folder=folder), Progress(disable=True)).outcomes
    return {one.identifier: getattr(one, "risk", np.nan) for one in told}


def find_cells(results, model):
    return {cell.cohort_sites: cell for cell in results.evaluation if cell.model == model}


def test_the_auc_over_hospitals_is_that_of_their_pooled_patients(study):
    pass
