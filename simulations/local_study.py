"""One study over site folders of this machine: by calls, in one process or several, or over Flower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import PlanError
from common.plan.study import load_plan
from common.runtime.name_patterns import read_name

if TYPE_CHECKING:
    from rich.progress import Progress

    from simulations.study_request import StudyRequest


def simulate_study(request: StudyRequest, progress: Progress) -> None:
    """Run the study and write results and report into its folder.

    Raises
    ------
    RheError
        If the plan, a folder, a site or the training fails.
    """
    plan = load_plan(request.plan)  # a fault of the plan is told before slow libraries are loaded
    if request.backend == "flower":
        from simulations.backends.flower import run_over_flower

        run_over_flower(request, progress)
        return
    from server.run import StudyRun
    from simulations.backends.engine_host import count_processes
    from simulations.backends.in_process import run_in_process
    from simulations.backends.many_processes import run_beside
    from simulations.backends.parties import derive_simulated_key

    run = StudyRun(
        plan=plan,
        out=request.out,
        key=derive_simulated_key(plan),
        backend=request.backend,
        pretrained=request.pretrained,
        resume=request.resume,
        cards=request.cards,
    )
    processes = count_processes(plan)
    if processes > 1:
        run_beside(run, request.sites, progress, processes)
    else:
        run_in_process(run, request.sites, progress)


def parse_sites(pairs: Sequence[str]) -> dict[str, Path]:
    """Each site's folder by its name, from ``NAME=FOLDER`` arguments.

    Raises
    ------
    PlanError
        If a pair has no "=" or a name occurs twice.
    """
    sites: dict[str, Path] = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        if not (name and separator and folder):
            raise PlanError(f"--site {pair!r} -> write NAME=FOLDER, e.g. --site center1=data/center1")
        name = read_name("--site", name, PlanError)
        if name in sites:
            raise PlanError(f"--site {name} is given twice: {sites[name]} and {folder} -> give it once")
        sites[name] = Path(folder)
    return sites
