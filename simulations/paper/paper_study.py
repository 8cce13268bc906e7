"""The paper's tables from four sites that share only sums, compared with the printed ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import SiteError
from common.plan.study import load_plan
from server.results.file import Results
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key
from simulations.paper.against_print import ComparedCell, compare_cells, write_comparison
from simulations.paper.facts import Facts, read_facts
from simulations.paper.sampled_cohorts import build_site_tables
from simulations.paper.sites import write_sites

if TYPE_CHECKING:
    from rich.progress import Progress

PAPER_PLAN = Path(__file__).with_name("plan.toml")
_SITES = "centres"


@dataclass(frozen=True)
class PaperTables:
    """The results of the study and their comparison with the paper.

    Attributes
    ----------
    results : Results
        The study's results.
    cells : tuple of ComparedCell
        Every printed cell and the study's number.
    table : Path
        The file that holds the comparison as CSV.
    """

    results: Results
    cells: tuple[ComparedCell, ...]
    table: Path


def reproduce_paper(out: Path, progress: Progress, facts: Facts | None = None) -> PaperTables:
    """Make the sites, run the study over them and compare; an earlier run in the folder is replaced.

    Parameters
    ----------
    out : Path
        Receives the sites' folders, everything that a study writes, and `comparison.csv`.
    progress : Progress
    facts : Facts, optional
        The facts from which the rows are made; the paper's by default.

    Raises
    ------
    RheError
        If the folder holds something else, or a phase of the study fails.
    """
    plan = load_plan(PAPER_PLAN)
    _make_room(out)
    sites = write_sites(build_site_tables(facts or read_facts(), plan.seed), out / _SITES)
    run = StudyRun(plan, out, derive_simulated_key(plan))
    results = run_in_process(run, sites, progress)
    cells = compare_cells(results)
    table = out / "comparison.csv"
    write_comparison(cells, table)
    return PaperTables(results, cells, table)


def _make_room(out: Path) -> None:
    """Remove an earlier run, and refuse a folder of anything else.

    Raises
    ------
    SiteError
        If the folder holds something other than an earlier run.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / _SITES / "centre1-a").is_dir():
        raise SiteError(f"{out}: holds something other than paper-tables -> choose another --out")
    shutil.rmtree(out)
