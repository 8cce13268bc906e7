"""One study of a given size in a process of its own, so that its memory is its own.

`python -m tests.bench.growth_case KIND SIZE` prints what it took, as JSON, in its last line.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flwr.app import Message

    from common.plan.study import StudyPlan
    from simulations.backends.local_grid import LocalGrid

MIB = 2**20
PAGES_MIB = resource.getpagesize() / MIB


@dataclass(frozen=True)
class Taken:
    """What one study took.

    Attributes
    ----------
    seconds : float
        Of the processor, without loading libraries and making patients.
    peak_mib : float
        Most memory beyond that before the study.
    rounds : int
        Rounds of messages.
    moved_bytes : int
        Bodies of the coordinator's messages and of their answers.
    course_mib : tuple of float
        Memory after each round of messages.
    """

    seconds: float
    peak_mib: float
    rounds: int
    moved_bytes: int
    course_mib: tuple[float, ...]


def run_case(kind: str, size: int) -> Taken:
    """A study of two sites unless sites grow; every kind varies one thing.

    Parameters
    ----------
    kind : {"patients", "sites", "models", "parameters", "rounds", "few"}
        What grows: patients of each site, sites, models of the table, weights of the network, its rounds;
        "few": patients of a study that only describes them.
    size : int
        How many; for "parameters" the network's dimensions, 2 or 3: ResNet-18 inflated to 3D has three times
        the weights; for "rounds", of a small network at ten sites.
    """
    from tests.sites.handmade import make_site
    from tests.sites.tables import table_only_hospital

    sites = {"sites": size, "rounds": 10}.get(kind, 2)
    patients = size if kind in {"patients", "few"} else 100
    plan = make_plan(kind, size, [f"s{number:02d}" for number in range(sites)])
    with tempfile.TemporaryDirectory() as name:
        folders = {}
        for number, site in enumerate(plan.site_names):
            folder = Path(name) / site
            if plan.networks:
                folders[site] = make_site(folder, site, 12, seed=number)
            else:
                folders[site] = table_only_hospital(folder, site, patients, number, ("score",))
        return run_study(plan, folders, Path(name) / "out")


def make_plan(kind: str, size: int, sites: list[str]) -> StudyPlan:
    """The plan of one case; sums are masked."""
    from common.plan.study import StudyPlan

    tables = kind not in {"parameters", "rounds"}
    models = [
        {"kind": "logistic", "name": f"m{number}", "covariates": ["age", "ich_volume_ml"]}
        for number in range(size if kind == "models" else 1)
    ]
    small = kind == "rounds"
    network = {
        "name": "net",
        "family": "resnet10-narrow" if small else "resnet18",
        "dimensions": 2 if small else size,
        "input_size": 16 if small else 32,
        "training": {"batch_size": 8},
    }
    settings = {
        "name": "Growth",
        "seed": 1,
        "threads": 1,
        "profile": "simulation",
        "sites": [{"name": name, "role": "train"} for name in sites],
        "models": models if tables else [network],
        "arms": {"local_models": False},
        "federation": {"rounds": size if small else 3},
        "phases": _list_phases(kind),
    }
    if len(sites) == 2:
        settings["two_site_ack"] = True
    return StudyPlan.model_validate(settings)


def _list_phases(kind: str) -> list[str]:
    if kind == "few":
        return ["cohort"]
    before = [] if kind in {"parameters", "rounds"} else ["cohort", "regression"]
    return [*before, "training", "evaluation"]


def run_study(plan: StudyPlan, folders: dict[str, Path], out: Path) -> Taken:
    """The whole study in this process."""
    from rich.progress import Progress

    from server.conduct import conduct
    from server.run import StudyRun
    from simulations.backends.in_process import open_engines
    from simulations.backends.local_grid import LocalGrid
    from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

    key, roster = derive_simulated_key(plan), derive_simulated_roster(plan)
    out.mkdir()
    run = StudyRun(plan, out, key, roster=roster)
    engines = open_engines(run, folders, Progress(disable=True))
    grid = LocalGrid({name: engine.handle for name, engine in engines.items()})
    course = watch_memory(grid)
    before, begun = read_rss_mib(), time.process_time()
    with patch("server.conduct.write_report"):  # its pictures take longer than all else
        results = conduct(grid, run, Progress(disable=True))
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    moved = results.provenance.bytes_sent + results.provenance.bytes_received
    return Taken(seconds, peak - before, len(course), moved, tuple(course))


def watch_memory(grid: LocalGrid) -> list[float]:
    """What grows by this process' memory before each round of messages."""
    course: list[float] = []
    push = grid.push_messages

    def note(messages: Iterable[Message]) -> Iterable[str]:
        course.append(read_rss_mib())
        return push(messages)

    grid.push_messages = note  # type: ignore[method-assign]
    return course


def read_rss_mib() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGES_MIB


if __name__ == "__main__":
    print(json.dumps(asdict(run_case(sys.argv[1], int(sys.argv[2])))))
