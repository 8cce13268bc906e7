"""What a study survives, fault by fault, over real processes: ``python -m tests.chaos`` (a quarter hour)."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.progress import Progress

from server.run import StudyRun
from simulations.backends.parties import derive_simulated_key
from tests.chaos.deaths import DEATHS
from tests.chaos.disturbed import Disturbed
from tests.chaos.fault_table import Row, format_head, format_row, summarize, write_markdown
from tests.chaos.own_mistakes import MISTAKES, small_disks
from tests.chaos.small_study import make_sites, read_numbers, write_plan

STUDIES = (*DEATHS, *MISTAKES)


def main() -> int:
    """The exit status of the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", default="", help=f"One of {', '.join(study.name for study in STUDIES)}.")
    parser.add_argument("--keep", type=Path, help="Folder for logs and results, which otherwise go.")
    parser.add_argument("--table", type=Path, help="File that receives the rows in Markdown.")
    options = parser.parse_args()
    chosen = [study for study in STUDIES if options.only in ("", study.name)]
    folder = options.keep or Path(tempfile.mkdtemp(prefix="rhe-chaos-"))
    begun = time.monotonic()
    print(format_head(), flush=True)
    try:
        rows = _play_all(chosen, folder)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    said, status = summarize(rows, sum(len(study.faults) for study in chosen))
    print(f"\n{said} ({time.monotonic() - begun:.0f} s)")
    if options.table is not None:
        options.table.write_text(f"{write_markdown(rows)}\n\n{said}.\n", encoding="utf-8")
    return status


def _play_all(chosen: list[Disturbed], folder: Path) -> list[Row]:
    rows: list[Row] = []
    undisturbed: dict[tuple[str, ...], dict[str, object]] = {}
    for study in chosen:
        if study.names not in undisturbed:
            undisturbed[study.names] = _run_undisturbed(
                folder / f"undisturbed-{len(study.names)}", study.names
            )
        with small_disks(folder / study.name, study.disks):
            played = study.play(folder / study.name, undisturbed[study.names])
        for row in played:
            print(format_row(row), flush=True)
        rows += played
    return rows


def _run_undisturbed(folder: Path, names: tuple[str, ...]) -> dict[str, object]:
    """The numbers of the same study in one process, whose bits are those of one over Flower."""
    # torch, which a list of the faults does without
    from simulations.backends.in_process import run_in_process

    folder.mkdir(parents=True)
    plan, sites = write_plan(folder / "study.toml", names), make_sites(folder / "sites", names)
    run = StudyRun(plan, folder / "out", derive_simulated_key(plan))
    run_in_process(run, sites, Progress(disable=True))
    return read_numbers(run.results)


if __name__ == "__main__":
    sys.exit(main())
