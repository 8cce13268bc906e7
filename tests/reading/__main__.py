"""What can be read in whole standard studies: ``python -m tests.reading`` prints the table of findings.

Three kinds of patients are studied: without gaps; with one patient whose INR is not known; and with five
patients who alone have two traits, one at the first hospital and four at the second. It takes some minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HEAD = (
    "hospitals",
    "patients",
    "reader",
    "numbers",
    "counts of 1-4",
    "values of 1-4",
    "pairs 1-4 apart",
    "singled out",
    "rows solved",
    "regressions of",
    "scores of",
)


def main() -> None:
    """Print a line for each study and reader."""
    # Tests find their sites as pytest does
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    for row in _list_rows():
        print("| " + " | ".join(row) + " |", flush=True)


def _list_rows() -> Iterator[tuple[str, ...]]:
    from tests.reading.findings import COORDINATOR, find_out
    from tests.reading.received import PatientParts
    from tests.reading.studies import Habit, fit_all, judge_all, open_study

    habits = {
        "no gaps": Habit(),
        "one INR unknown": Habit(unknown=1, unscored=1),
        "five with two traits": Habit(both=(1, 4)),
    }
    for sites in (2, 3, 5):
        for name, habit in habits.items():
            with tempfile.TemporaryDirectory() as folder:
                line = open_study(sites, habit, Path(folder))
                fit_all(line)
                judge_all(line)
                parts = PatientParts(line)
                arrays = list(parts.read())
                for reader in (COORDINATOR, "a", "b"):
                    found = find_out(line, parts.homes, arrays, reader)
                    yield (
                        str(sites),
                        name,
                        f"hospital {reader}" if reader else "coordinator",
                        str(found.numbers),
                        str(found.counts_of_few),
                        str(found.values_of_few),
                        str(found.values_apart),
                        str(len(found.singled_out)),
                        str(len(found.rows)),
                        ", ".join(found.fits_of) or "-",
                        ", ".join(found.judgements_of) or "-",
                    )


if __name__ == "__main__":
    main()
