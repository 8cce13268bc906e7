"""The two-centre demonstration: simulated hospitals and a whole study over them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from common.study import load_plan
from simulations.centres import CentresRequest, make_centres
from simulations.study import StudyRequest, run_study

if TYPE_CHECKING:
    from rich.progress import Progress

PLAN = Path(__file__).with_name("demo.toml")
PATIENTS = (60, 60)


def run_demo(out: Path, backend: str, progress: Progress) -> None:
    """Makes the centres unless they are there, then runs the study anew, or goes on with an interrupted one.

    What an older demonstration with another plan left is removed, but for its centres.

    Parameters
    ----------
    out : Path
        Gets `centres/` and everything that a study writes.
    backend : {"in-process", "flower"}
    progress : Progress
    """
    plan = load_plan(PLAN)
    centres = out / "centres"
    if not centres.exists():
        make_centres(centres, CentresRequest(PATIENTS, plan.seed, "demo"), progress)
    mark = out / "study.json"
    of_another_plan = mark.exists() and plan.digest() not in mark.read_text(encoding="utf-8")
    if (out / "results.json").exists() or of_another_plan:
        _clear(out, keep=centres)
    sites = {name: centres / name for name in plan.site_names}
    run_study(StudyRequest(PLAN, sites, out, backend, resume=True), progress)


def _clear(out: Path, keep: Path) -> None:
    """Removes a finished study, so that the next one computes everything again."""
    for path in out.iterdir():
        if path == keep:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
