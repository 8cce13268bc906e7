"""The two-centre demonstration: simulated hospitals and a whole study over them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from common.plan.study import load_plan
from simulations.hospitals.centres import CentresRequest, make_centres
from simulations.local_study import simulate_study
from simulations.study_request import Signal, StudyRequest

if TYPE_CHECKING:
    from rich.progress import Progress

DEMO_PLAN = Path(__file__).with_name("demo.toml")
PATIENTS = (60, 60)
"""Included patients of each of the two centres."""


def run_demo(out: Path, backend: str, progress: Progress) -> None:
    """Make the centres unless they exist, then run the study anew, or continue an interrupted one.

    What an older demonstration with another plan left is removed, except for its centres.

    Parameters
    ----------
    out : Path
        Receives `centres/` and everything that a study writes.
    backend : {"in-process", "flower"}
    progress : Progress
    """
    plan = load_plan(DEMO_PLAN)
    centres = out / "centres"
    if not centres.exists():
        make_centres(centres, CentresRequest(PATIENTS, plan.seed, Signal.DEMO), progress)
    mark = out / "study.json"
    of_another_plan = mark.exists() and plan.digest() not in mark.read_text(encoding="utf-8")
    if (out / "results.json").exists() or of_another_plan:
        _clear(out, keep=centres)
    sites = {name: centres / name for name in plan.site_names}
    simulate_study(StudyRequest(DEMO_PLAN, sites, out, backend, resume=True), progress)


def _clear(out: Path, keep: Path) -> None:
    """Remove a finished study, so that the next one computes everything again."""
    for path in out.iterdir():
        if path == keep:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
