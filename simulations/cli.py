"""The researcher's commands: simulated centres, and whole studies on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from common.runtime.terminal import Terminal, make_progress_bar
from simulations.study_request import ImageFormat, Signal, StudyRequest

app = Terminal(
    "rhe-simulate",
    "Simulate centres, and run a whole study over site folders on this machine.",
    "what is finished is kept; run the same command with --resume to go on",
)


_WIDTH = 130
"""Width of the paper's tables, in characters."""


class Backend(StrEnum):
    """How the coordinator reaches the sites."""

    IN_PROCESS = "in-process"
    FLOWER = "flower"


@app.command()
def centres(
    out: Annotated[Path, typer.Option(help="Folder that gets one site folder a centre.")],
    patients: Annotated[
        list[int] | None,
        typer.Option(
            min=6,
            help="Patients of a centre who are included, a few excluded ones come on top; once for each "
            "centre. By default 60 at each of two, or of the plan.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    signal: Annotated[
        Signal, typer.Option(help="paper: the printed tables; demo: also a signal that centres share.")
    ] = Signal.DEMO,
    image_format: Annotated[
        ImageFormat, typer.Option("--format", help="mixed: DICOM at odd centres, NIfTI at even ones.")
    ] = ImageFormat.MIXED,
    plan: Annotated[
        Path | None, typer.Option(help="A study plan that the centres fit: their names, and further columns.")
    ] = None,
) -> None:
    """Write simulated hospitals: CT scans, masks and a cohort table each."""
    from common.plan.study import load_plan
    from simulations.hospitals.centres import CentresRequest, make_centres
    from simulations.hospitals.patients import count_excluded
    from simulations.study_request import write_run_command

    study = None if plan is None else load_plan(plan)
    numbers = patients or [60] * (2 if study is None else len(study.sites))
    request = CentresRequest(tuple(numbers), seed, signal, image_format, study)
    with make_progress_bar() as progress:
        folders = make_centres(out, request, progress)
    for folder, included in zip(folders, numbers, strict=True):
        excluded = count_excluded(included)
        print(f"{folder}: {included + excluded} rows, of them {excluded} whom the study's criteria exclude")
    if plan is not None:
        print(f"then: {write_run_command(plan, folders)}")


@app.command("run")
def run_over_folders(
    plan: Annotated[Path, typer.Option(help="The study plan (TOML).")],
    site: Annotated[list[str], typer.Option(help="NAME=FOLDER, once for each site of the plan.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, results.json and report.html.")],
    backend: Annotated[
        Backend, typer.Option(help="in-process, or real Flower processes on this machine.")
    ] = Backend.IN_PROCESS,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted study.")] = False,
    pretrained: Annotated[
        Path | None, typer.Option(help="Torchvision's ImageNet file or its folder, if the plan uses them.")
    ] = None,
    cards: Annotated[
        Path | None, typer.Option(help="Folder with the files of earlier models, if the plan names any.")
    ] = None,
) -> None:
    """Run a study over site folders."""
    from simulations.local_study import parse_sites, simulate_study
    from simulations.study_view import show_simulation

    request = StudyRequest(plan, parse_sites(site), out, backend.value, resume, pretrained, cards)
    with _show_findings(out), show_simulation(out) as progress:
        simulate_study(request, progress)
    _print_results(out)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for centres, results.json and report.html.")],
    backend: Annotated[Backend, typer.Option(help="As for `run`.")] = Backend.IN_PROCESS,
) -> None:
    """Simulate two centres and run the whole study over them; goes on where an interrupted one stopped."""
    from simulations.demo import run_demo
    from simulations.study_view import show_simulation

    with _show_findings(out), show_simulation(out) as progress:
        run_demo(out, backend.value, progress)
    _print_results(out)


@app.command()
def paper_tables(
    out: Annotated[
        Path, typer.Option(help="Folder for the sites, results.json and comparison.csv; an earlier run goes.")
    ] = Path("runs/paper-tables"),
) -> None:
    """Compute the paper's Tables 1 to 3 over sites that share only sums, and compare every printed number."""
    from rich.console import Console

    from simulations.paper.against_print import failures_of
    from simulations.paper.paper_study import reproduce_paper
    from simulations.paper.table_files import build_tables, write_remarks
    from simulations.paper.tally import summarize_cells

    with make_progress_bar() as progress:
        tables = reproduce_paper(out, progress)
    # At least as wide as the tables: a narrow terminal then wraps whole lines instead of cutting numbers.
    console = Console(width=max(Console().width, _WIDTH))
    for table in build_tables(tables.cells):
        console.print(table)
    for line in (*write_remarks(tables.cells), "", *summarize_cells(tables.cells)):
        print(line)
    _print_results(out)
    print(tables.table)
    if failures_of(tables.cells):
        raise typer.Exit(1)


@contextmanager
def _show_findings(out: Path) -> Iterator[None]:
    """Print what every site found in its own data once the study has ended, however it ended."""
    from client.cohort.finding_report import list_lines
    from simulations.site_reports import load_site_reports, remove_site_reports

    remove_site_reports(out)
    try:
        yield
    finally:
        for report, page in load_site_reports(out):
            for line in (*list_lines(report), report.summary, page):
                print(line)


def _print_results(out: Path) -> None:
    from server.report.closing_words import describe_ending
    from server.results.file import load_results

    results = load_results(out / "results.json")
    for line in (*describe_ending(results, out), "", results.provenance.describe_rounds()):
        print(line)
    print(out / "results.json")
    print(out / "report.html")


if __name__ == "__main__":
    app()
