"""A whole study over site folders on this machine, with sites that compute side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from common.runtime.storage import lock_folder
from server.conduct import conduct
from server.results.file import Results
from server.run import StudyRun
from simulations.backends.engine_host import EngineRecipe, host_engines
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import ConcurrentGrid
from simulations.backends.parties import derive_simulated_roster
from simulations.study_request import check_site_folders


def run_beside(run: StudyRun, sites: Mapping[str, Path], progress: Progress, processes: int) -> Results:
    """Run the study with the sites' engines in so many processes; its results have the bits of one process.

    Parameters
    ----------
    run : StudyRun
        Plan and output folder; its key derives from the plan.
    sites : mapping of str to Path
        Each site's folder by the site's name.
    progress : Progress
        Shows the steps that take long.
    processes : int
        At most the number of sites.

    Raises
    ------
    RheError
        If the plan, a folder, a site or the training fails, or a process is ended.
    """
    check_site_folders(run.plan, sites)
    with lock_folder(run.out):
        run.claim()
        # Faults of all folders are told at once, before any process begins
        devices = {
            name: engine.settings.device for name, engine in open_engines(run, sites, progress).items()
        }
        with host_engines(EngineRecipe(run.plan, run.out, sites), processes, progress) as hosted:
            hosted.train_pooled(run, devices)
            grid = ConcurrentGrid(hosted.list_links())
            return conduct(
                grid, replace(run, roster=run.roster or derive_simulated_roster(run.plan)), progress
            )
