"""`make bench`: every module of this folder that has `run()`, against the specification's ratios.

Ratios are of times taken in one run on one thread, so they mean the same on any machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.measurement import Measurement

_MACHINERY = {"__main__", "measurement"}


def measure() -> Iterator[tuple[str, Measurement]]:
    """Every measurement with its module's name."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in _MACHINERY:
            for measurement in import_module(f"tests.bench.{path.stem}").run():
                yield path.stem, measurement


def main() -> int:
    """Prints the table; 1 if a bound was missed."""
    table = Table("module", "measured", "ratio", "required", "times", "")
    missed = 0
    for module, one in measure():
        missed += not one.met
        bound = f"{one.direction} {one.bound:g}"
        table.add_row(module, one.name, f"{one.ratio:.2f}", bound, one.detail, "ok" if one.met else "MISSED")
    Console(width=150).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    # Before any library reads it: one thread, as the specification's figures
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
