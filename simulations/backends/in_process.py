"""A whole study over site folders on this machine, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from client.engine import SiteEngine, open_engine
from common.errors import SiteError
from common.runtime.storage import lock_folder
from server.conduct import conduct
from server.results.file import Results
from server.run import StudyRun
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_parties, derive_simulated_roster
from simulations.backends.pooled import train_pooled
from simulations.study_request import check_site_folders


def run_in_process(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> Results:
    """Run the study by direct calls of every site's engine and return its results.

    Parameters
    ----------
    run : StudyRun
        Plan and output folder.
    sites : mapping of str to Path
        Each site's folder by the site's name.
    progress : Progress
        Shows the steps that take long.

    Raises
    ------
    RheError
        If the plan, a folder, a site or the training fails.
    """
    check_site_folders(run.plan, sites)
    with lock_folder(run.out):
        run.claim()
        engines = open_engines(run, sites, progress)
        train_pooled(run, engines, progress)
        grid = LocalGrid({name: engine.handle for name, engine in engines.items()})
        return conduct(grid, replace(run, roster=run.roster or derive_simulated_roster(run.plan)), progress)


def open_engines(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> dict[str, SiteEngine]:
    """Every site's engine by the site's name; its state lies in the run's folder.

    Raises
    ------
    SiteError
        If a folder is unusable or its settings give another name; with the faults of every site.
    """
    engines, faults = {}, []
    states = {name: run.out / "sites" / name for name in sites}
    parties = derive_simulated_parties(run.plan, states)
    for name, folder in sorted(sites.items()):
        try:
            engine = open_engine(folder, run.plan, run.key.public_key(), states[name], progress)
            _insist_on_name(engine, name)
        except SiteError as failure:
            faults.append(str(failure))
            continue
        engine.party = parties.get(name)
        engines[name] = engine
    if faults:
        raise SiteError("\n".join(faults))
    return engines


def _insist_on_name(engine: SiteEngine, name: str) -> None:
    """Refuse a folder whose settings give another name.

    Raises
    ------
    SiteError
        If they do.
    """
    if engine.settings.name != name:
        raise SiteError(
            f"{engine.folder}/site.toml says name = {engine.settings.name!r}, --site says {name!r} "
            "-> use one name"
        )
