"""A local model that fails and would not have left its site costs itself: nobody else is asked about it."""

import pytest
from rich.progress import Progress
from sites.plans import plan_of
from sites.tables import Habits, table_only_hospital

from common.errors import SmallNumberError
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

COVARIATES = {"name": "L", "covariates": ["location", "swirl_sign"]}
SMALL = {"c_grid": [1.0], "gamma_grid": [0.1], "folds": 3, "fourier_features": 6}
"""One machine, because none is judged here: the plan's own grid of them takes ten seconds over two sites."""


def refuse(*_):
    raise SmallNumberError("a test")


@pytest.mark.parametrize(
    ("model", "fails"),
    [
        ({"kind": "logistic"}, "client.answers.regressions.SiteRegressions.fit_alone"),
        ({"kind": "svm", **SMALL}, "client.answers.svm.SiteSvms.fit_alone"),
    ],
    ids=["logistic", "svm"],
)
def test_the_study_goes_on_without_it(tmp_path, monkeypatch, model, fails):
    monkeypatch.setattr(fails, refuse)
    plan = plan_of(
        {"east": "train", "west": "train"}, {**model, **COVARIATES}, phases=["training", "evaluation"]
    )
    habits = Habits(split=("train", "train", "test"))
    folders = {
        name: table_only_hospital(tmp_path / name, name, 90, seed, habits=habits)
        for seed, name in enumerate(("east", "west"))
    }

    results = run_in_process(
        StudyRun(plan, tmp_path / "out", derive_simulated_key(plan)), folders, Progress(disable=True)
    )

    judged = [cell for cell in results.evaluation if cell.arm.startswith("local")]
    assert judged
    assert all("E_SMALL_N" in cell.auc.standing.reason for cell in judged)
