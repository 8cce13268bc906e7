"""A whole study over site folders on this machine, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from client.engine import SiteEngine, open_engine
from common.errors import PlanError, SiteError
from common.storage import exclusive
from common.study import StudyPlan
from server.conduct import conduct
from server.results import Results
from server.run import StudyRun
from simulations.local_grid import LocalGrid
from simulations.parties import simulated_parties, simulated_roster
from simulations.pooled import train_pooled


def run_in_process(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> Results:
    """The study's results; every site's engine is called directly.

    Parameters
    ----------
    run : StudyRun
        Plan and output folder.
    sites : mapping of str to Path
        Site folder by name.
    progress : Progress
        Shows what takes long.

    Raises
    ------
    RheError
        Whatever is wrong with plan, folders or training.
    """
    check_sites(run.plan, sites)
    with exclusive(run.out):
        run.claim()
        engines = open_engines(run, sites, progress)
        train_pooled(run, engines, progress)
        grid = LocalGrid({name: engine.handle for name, engine in engines.items()})
        return conduct(grid, replace(run, roster=run.roster or simulated_roster(run.plan)), progress)


def open_engines(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> dict[str, SiteEngine]:
    """Every site's engine, its state under the run's folder.

    Raises
    ------
    SiteError
        If a folder is unusable or calls itself by another name.
    """
    engines = {}
    states = {name: run.out / "sites" / name for name in sites}
    parties = simulated_parties(run.plan, states)
    for name, folder in sorted(sites.items()):
        engine = open_engine(folder, run.plan, run.key.public_key(), states[name], progress)
        engine.party = parties.get(name)
        if engine.settings.name != name:
            raise SiteError(
                f"{folder}/site.toml says name = {engine.settings.name!r}, --site says {name!r} "
                "-> use one name"
            )
        engines[name] = engine
    return engines


def check_sites(plan: StudyPlan, sites: Mapping[str, Path]) -> None:
    """Refuses folders that do not match the plan's sites.

    Raises
    ------
    PlanError
        If a site of the plan has no folder, or a folder no site.
    """
    missing = sorted(set(plan.site_names) - sites.keys())
    unknown = sorted(sites.keys() - set(plan.site_names))
    if missing or unknown:
        found = [f"no --site for {name}" for name in missing] + [
            f"--site {name} is not in the plan" for name in unknown
        ]
        raise PlanError(
            f"{'; '.join(found)} -> the plan's sites are {', '.join(plan.site_names)}: "
            "give --site NAME=FOLDER for each"
        )
