"""The paper's tables from four sites that share only sums, compared with what is printed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import SiteError
from common.study import load_plan
from server.results import Results
from server.run import StudyRun
from simulations.paper.cohorts import site_tables
from simulations.paper.comparison import ComparedCell, compare, write_comparison
from simulations.paper.facts import Facts, published_facts
from simulations.paper.sites import write_sites
from simulations.parties import simulated_key
from simulations.two_centres import run_in_process

if TYPE_CHECKING:
    from rich.progress import Progress

PLAN = Path(__file__).with_name("plan.toml")
_SITES = "centres"


@dataclass(frozen=True)
class PaperTables:
    """What the command found.

    Attributes
    ----------
    results : Results
        Of the study.
    cells : tuple of ComparedCell
        Every printed cell.
    table : Path
        The comparison as CSV.
    """

    results: Results
    cells: tuple[ComparedCell, ...]
    table: Path


def reproduce_paper(out: Path, progress: Progress, facts: Facts | None = None) -> PaperTables:
    """Makes the sites, runs the study over them and compares; an earlier run in the folder is replaced.

    Parameters
    ----------
    out : Path
        Gets the sites' folders, everything that a study writes, and `comparison.csv`.
    progress : Progress
    facts : Facts, optional
        What the rows are made from; the paper's by default.

    Raises
    ------
    RheError
        If the folder holds something else, or a phase of the study fails.
    """
    plan = load_plan(PLAN)
    _make_room(out)
    sites = write_sites(site_tables(facts or published_facts(), plan.seed), out / _SITES)
    run = StudyRun(plan, out, simulated_key(plan))
    results = run_in_process(run, sites, progress)
    cells = compare(results)
    table = out / "comparison.csv"
    write_comparison(cells, table)
    return PaperTables(results, cells, table)


def _make_room(out: Path) -> None:
    """Removes an earlier run; never a folder of anything else."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / _SITES / "centre1-a").is_dir():
        raise SiteError(f"{out}: holds something other than paper-tables -> choose another --out")
    shutil.rmtree(out)
