"""A study whose products of matrices are large enough to be cut among threads; also a program by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.progress import Progress
from sites.tables import Habits, table_only_hospital
from studies.page import leave_pictures_empty

from common.plan.study import StudyPlan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

_MACHINE = {
    "kind": "svm",
    "name": "machine",
    "covariates": ["age", "onset_to_ct_h", "ich_volume_ml", "sbp_mmhg", "inr", "ivh", "location"],
    "c_grid": [1.0],
    "gamma_grid": [0.05],
    "folds": 2,
    "fourier_features": 256,
}


def run_study(folder: Path, threads: int) -> str:
    """The results of a plan with so many threads, as text without their provenance."""
    sites = {name: folder / name for name in ("east", "west")}
    for seed, (name, home) in enumerate(sites.items()):
        if not home.exists():
            table_only_hospital(home, name, 80, seed, (), habits=Habits(split=("train", "test")))
    plan = StudyPlan.model_validate(
        {
            "name": "Bits",
            "seed": 5,
            "threads": threads,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [{"name": name, "role": "train"} for name in sites],
            "models": [_MACHINE],
            "arms": {"local_models": False},
            "phases": ["training", "evaluation"],
        }
    )
    run = StudyRun(plan=plan, out=folder / f"threads-{threads}", key=derive_simulated_key(plan))
    with leave_pictures_empty():
        run_in_process(run, sites, Progress(disable=True))
    results = json.loads(run.results.read_text(encoding="utf-8"))
    del results["provenance"]
    return json.dumps(results)


if __name__ == "__main__":
    print(json.dumps([run_study(Path(sys.argv[1]), int(threads)) for threads in sys.argv[2:]]))
