"""`make bench`: the modules of this folder that have `run()`, against the specification's ratios.

`python -m tests.bench MODULE ...` runs these alone, `make bench-full` those that take longest. Ratios are of
times taken in one run, where it matters on one thread, so they mean the same on any machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.measurement import Effort, Measurement

_MACHINERY = {"__main__", "growth_case", "measurement", "sites_apart"}
_LONG = {"full_size", "growth", "large_rounds", "demonstration"}
"""Run where they are named: each takes many minutes."""


def find_modules() -> list[str]:
    """The names of the modules that measure something, sorted."""
    names = {path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("test_")}
    return sorted(names - _MACHINERY)


def measure(module: str, effort: Effort) -> Iterator[Measurement]:
    """The measurements of one module, each as soon as it is made if the module gives them so."""
    measurements: Iterable[Measurement] = import_module(f"tests.bench.{module}").run(effort)
    yield from measurements


def main() -> int:
    """Print the table; 1 if a bound was missed."""
    table = Table("module", "measured", "ratio", "required", "times", "")
    missed = 0
    for module in sys.argv[1:] or sorted({*find_modules()} - _LONG):
        print(f"measuring {module}", file=sys.stderr, flush=True)  # it takes minutes
        for measurement in measure(module, Effort.FULL):
            print(
                f"  {measurement.name}: {measurement.ratio:.3f} ({measurement.detail})",
                file=sys.stderr,
                flush=True,
            )
            missed += not measurement.met
            table.add_row(
                module,
                measurement.name,
                f"{measurement.ratio:.3f}",
                f"{measurement.direction} {measurement.bound:.3g}",
                measurement.detail,
                "ok" if measurement.met else "MISSED",
            )
    Console(width=150).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    # Before any library reads it: one thread, as the specification's figures
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
