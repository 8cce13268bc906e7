"""How time and memory of a study grow with patients, sites, models and weights, and with rounds not at all.

`python -m tests.bench.growth` writes the table and the picture of docs/growth.md anew, with `long` also of a
training that takes half an hour by itself;
`python -m tests.bench.growth_case rounds ROUNDS SITES` runs one study of many rounds alone.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.growth_case import Case, Taken, run_case
from tests.bench.measurement import Effort, Measurement
from tests.bench.sites_apart import start_thread

DOCUMENT = Path(__file__).parents[2] / "docs" / "growth.md"
LINEAR = 1.1
"""Largest exponent of time and memory in size that counts as linear."""
SETTLED = 20
"""Rounds of training after which memory must not grow."""
LEAK_BOUND_MIB = 1.0


@dataclass(frozen=True)
class Growth:
    """What grows, and how far.

    Attributes
    ----------
    kind : str
        As `growth_case.run_case` takes it.
    title : str
        For the table.
    sizes : tuple of int
        From the smallest to the largest.
    """

    kind: str
    title: str
    sizes: tuple[int, ...]


GROWTHS = (
    Growth("patients", "patients of each of two sites", (100, 1_000, 10_000)),
    Growth("sites", "sites of 100 patients", (2, 10, 50)),
    Growth("models", "models of the table", (1, 3, 10)),
    Growth("parameters", "ResNet-18 in 2D and 3D, of three times the weights (dimensions)", (2, 3)),
)
SMOKE = Growth("few", "few patients", (30, 40))
SMOKE_ROUNDS = Case("rounds", 1, 3)
ROUNDS, LONG_ROUNDS = Case("rounds", 60, 10), Case("rounds", 200, 50)
"""Trainings of many rounds with masks and statistics, whose sites are in another process."""


def run(effort: Effort) -> list[Measurement]:
    """The exponent of each growth, and how much memory a round leaves behind."""
    if effort is Effort.SMOKE:
        few = {size: run_case(Case(SMOKE.kind, size)) for size in SMOKE.sizes}
        return [*judge_growth(SMOKE, few), *judge_rounds(SMOKE_ROUNDS, run_case(SMOKE_ROUNDS, start_thread))]
    measured = []
    for growth in GROWTHS:
        measured += judge_growth(growth, {size: take(Case(growth.kind, size)) for size in growth.sizes})
    return [*measured, *judge_rounds(ROUNDS, take(ROUNDS))]


def take(case: Case) -> Taken:
    """What a study of this size takes, in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails, with the last line of its error.
    """
    numbers = (str(case.size), str(case.sites))
    command = [sys.executable, "-m", "tests.bench.growth_case", case.kind, *numbers]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{case.kind} {case.size}: {done.stderr.strip().splitlines()[-1]}")
    fields = json.loads(done.stdout.splitlines()[-1])
    return Taken(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    )


def judge_growth(growth: Growth, taken: dict[int, Taken]) -> list[Measurement]:
    """Exponents of processor time and of memory between the two largest sizes."""
    smallest, largest = sorted(taken)[-2:]
    factor = _factor(growth, smallest, largest)
    measured = []
    for name, first, last in (
        ("processor", taken[smallest].seconds, taken[largest].seconds),
        ("memory", taken[smallest].peak_mib, taken[largest].peak_mib),
    ):
        exponent = math.log(max(last, 1e-9) / max(first, 1e-9)) / math.log(factor)
        unit = "s" if name == "processor" else "MiB"
        measured.append(
            Measurement(
                f"{name} by {growth.title}, exponent",
                # Less than nothing is as good as nothing; a measurement is positive
                max(exponent, 1e-3),
                LINEAR,
                "at most",
                f"{first:.1f} to {last:.1f} {unit} from {smallest} to {largest}",
            )
        )
    return measured


def _factor(growth: Growth, smallest: int, largest: int) -> float:
    """By how much the sizes differ; ResNet-18 has 2.97 times the weights in 3D."""
    return 33.2 / 11.2 if growth.kind == "parameters" else largest / smallest


def judge_rounds(case: Case, taken: Taken) -> list[Measurement]:
    """How much memory one round of training leaves behind once the study is under way."""
    share = len(taken.course_mib) / case.size
    settled = int(SETTLED * share) if case.size > 2 * SETTLED else 0
    measured = []
    for part, course in (
        ("the coordinator", taken.course_mib),
        ("all sites together", taken.sites_course_mib),
    ):
        left_mib = find_slope(course[settled:]) * share
        measured.append(
            Measurement(
                f"memory that a round of {case.sites} sites leaves behind at {part} "
                f"/ {LEAK_BOUND_MIB:.0f} MiB",
                max(left_mib, 1e-3) / LEAK_BOUND_MIB,
                1.0,
                "at most",
                f"{left_mib:.3f} MiB a round, from round {SETTLED if settled else 0} to {case.size}, "
                f"{course[settled]:.0f} to {course[-1]:.0f} MiB",
            )
        )
    return measured


def find_slope(course: tuple[float, ...]) -> float:
    """Theil and Sen's slope: what half of all pairs exceed; a single jump does not count."""
    steps = range(0, len(course), max(1, len(course) // 60))
    pairs = [(course[b] - course[a]) / (b - a) for a in steps for b in steps if b > a]
    return statistics.median(pairs) if pairs else 0.0


def write_document(*, is_long: bool = False) -> None:
    """Measure everything at full size, if wanted also what is long, and write the table and the picture."""
    taken = {
        growth.kind: {size: take(Case(growth.kind, size)) for size in growth.sizes} for growth in GROWTHS
    }
    save_measured(taken, {case: take(case) for case in (ROUNDS, *([LONG_ROUNDS] if is_long else []))})


def save_measured(taken: dict[str, dict[int, Taken]], rounds: dict[Case, Taken]) -> None:
    """Write what was measured as a table, and draw it beside the document.

    Parameters
    ----------
    taken : mapping of str to mapping of int to Taken
        By kind and size.
    rounds : mapping of Case to Taken
        Of the studies of many rounds.
    """
    from common.runtime.machine import name_processor

    lines = [
        "# How a study grows",
        "",
        f"`python -m tests.bench.growth`, one thread, {name_processor()}, {os.cpu_count()} cores.",
        "All sums are masked; times are of the processor, of coordinator and all sites in one process;",
        "memory is what the study adds to it; files lie in memory, where the system has a place for that.",
        "Sums come back to the sites as the masked words of all: a site's work, memory and bytes grow",
        "with the number of sites, and those of all sites in this one process up to its square.",
        "",
        "| what grows | size | processor, s | memory, MiB | rounds of messages | MiB moved |",
        "|---|---|---|---|---|---|",
    ]
    for growth in GROWTHS:
        for size, cost in taken.get(growth.kind, {}).items():
            cells = [f"{cost.seconds:.1f}", f"{cost.peak_mib:.0f}", str(cost.rounds)]
            cells.append(f"{cost.moved_bytes / 2**20:.1f}")
            lines.append(f"| {growth.title} | {size:,} | {' | '.join(cells)} |")
    for growth in GROWTHS:
        if growth.kind in taken:
            found = judge_growth(growth, taken[growth.kind])
            lines += [f"\n{one.name}: {one.ratio:.2f} ({one.detail}; linear is 1)." for one in found]
    for case, cost in rounds.items():
        lines += [f"\n{one.name}: {one.detail}." for one in judge_rounds(case, cost)]
    lines += [
        "",
        "![Growth](growth.svg)",
        "",
    ]
    DOCUMENT.write_text("\n".join(lines), encoding="utf-8")
    draw(taken, rounds, DOCUMENT.with_suffix(".svg"))


def draw(taken: dict[str, dict[int, Taken]], rounds: dict[Case, Taken], path: Path) -> None:
    """Time and memory of each growth on logarithmic axes, and the memory of a long training."""
    from matplotlib.figure import Figure

    kinds = [growth for growth in GROWTHS if growth.kind in taken]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for growth in kinds:
        costs = taken[growth.kind]
        factors = [_factor(growth, min(costs), size) if size > min(costs) else 1.0 for size in costs]
        first = costs[min(costs)]
        axes[0].plot(
            factors, [cost.seconds / first.seconds for cost in costs.values()], "o-", label=growth.kind
        )
        axes[1].plot(factors, [cost.peak_mib / first.peak_mib for cost in costs.values()], "o-")
    for axis, title in ((axes[0], "Processor time"), (axes[1], "Memory")):
        axis.plot([1, 100], [1, 100], "k:", linewidth=1, label="linear")
        axis.set(xscale="log", yscale="log", xlabel="times the size", title=f"{title}, times the smallest")
    axes[0].legend(frameon=False, fontsize=8)
    for case, cost in rounds.items():
        label = f"{case.size} rounds, {case.sites} sites"
        axes[2].plot(cost.course_mib, linewidth=1, label=label)
    axes[2].set(xlabel="round of messages", title="MiB of the coordinator")
    axes[2].legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    write_document(is_long="long" in sys.argv[1:])
