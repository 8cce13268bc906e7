"""What a study survives, fault by fault, over real processes: ``python -m tests.chaos`` (half an hour)."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.deaths import DEATHS
from tests.chaos.disturbed import Disturbed
from tests.chaos.far_hospitals import GATEWAYS
from tests.chaos.fault_table import format_head, summarize, write_markdown
from tests.chaos.hurt_trainings import TRAININGS
from tests.chaos.own_mistakes import MISTAKES
from tests.chaos.side_by_side_studies import play_all

STUDIES = (*DEATHS, *GATEWAYS, *TRAININGS, *MISTAKES)


def main() -> int:
    """The exit status of the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    names = ", ".join(study.name for study in STUDIES)
    parser.add_argument("--only", default="", help=f"Some of {names}, with commas between.")
    parser.add_argument("--long", action="store_true", help="Also the cut of ten minutes.")
    parser.add_argument("--beside", type=int, default=2, help="How many studies are played at once.")
    parser.add_argument(
        "--slack",
        type=float,
        default=1.0,
        help="Times the bounds of all waits, where others use the machine.",
    )
    parser.add_argument("--keep", type=Path, help="Folder for logs and results, which otherwise go.")
    parser.add_argument("--table", type=Path, help="File that receives the rows in Markdown.")
    options = parser.parse_args()
    chosen = choose_studies(tuple(filter(None, options.only.split(","))), with_long=options.long)
    chosen = [study.slacken(options.slack) for study in chosen]
    folder = options.keep or Path(tempfile.mkdtemp(prefix="rhe-chaos-"))
    begun = time.monotonic()
    print(format_head(), flush=True)
    try:
        rows = play_all(chosen, folder, options.beside)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    said, status = summarize(rows, sum(len(study.faults) for study in chosen))
    print(f"\n{said} ({time.monotonic() - begun:.0f} s)")
    if options.table is not None:
        options.table.write_text(f"{write_markdown(rows)}\n\n{said}.\n", encoding="utf-8")
    return status


def choose_studies(names: tuple[str, ...], *, with_long: bool) -> list[Disturbed]:
    """The studies of these names; without names all, but the long ones only if they are asked for."""
    if names:
        return [study for study in STUDIES if study.name in names]
    return [study for study in STUDIES if with_long or not study.is_long]


if __name__ == "__main__":
    sys.exit(main())
