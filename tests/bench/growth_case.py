"""One study of a given size in a process of its own, so that its memory is its own.

`python -m tests.bench.growth_case KIND SIZE [SITES]` prints what it took, as JSON, in its last line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.bench.sites_apart import SitesApart, open_sites_apart, start_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flwr.app import Message

    from common.plan.study import StudyPlan
    from simulations.backends.local_grid import LocalGrid

MIB = 2**20
PAGES_MIB = resource.getpagesize() / MIB
_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it


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
        Memory before each round of messages; of the coordinator alone where the sites are in another process.
    sites_course_mib : tuple of float
        Memory of all sites together before each round of messages, where they are in another process.
    """

    seconds: float
    peak_mib: float
    rounds: int
    moved_bytes: int
    course_mib: tuple[float, ...]
    sites_course_mib: tuple[float, ...] = ()


@dataclass(frozen=True)
class Case:
    """A study of which one thing varies.

    Attributes
    ----------
    kind : {"patients", "sites", "models", "parameters", "rounds", "few"}
        What grows: patients of each site, sites, models of the table, weights of the network, its rounds;
        "few": patients of a study that only describes them.
    size : int
        How many; for "parameters" the network's dimensions, 2 or 3: ResNet-18 inflated to 3D has three times
        the weights; for "rounds", of a small network.
    sites : int
        How many sites the study of rounds has; the others have two, unless sites grow.
    """

    kind: str
    size: int
    sites: int = 2

    @property
    def names(self) -> list[str]:
        """The sites."""
        number = {"sites": self.size, "rounds": self.sites}.get(self.kind, 2)
        return [f"s{site:02d}" for site in range(number)]

    def make_plan(self) -> StudyPlan:
        """The plan; sums are masked."""
        from common.plan.study import StudyPlan

        small, names = self.kind == "rounds", self.names
        settings = {
            "name": "Growth",
            "seed": 1,
            "threads": 1,
            "profile": "simulation",
            "sites": [{"name": name, "role": "train"} for name in names],
            "models": [self._network] if self.kind in {"parameters", "rounds"} else self._tables,
            "arms": {"local_models": False},
            "federation": {"rounds": self.size if small else 3},
            "phases": self._phases,
        }
        if len(names) == 2:
            settings["two_site_ack"] = True
        return StudyPlan.model_validate(settings)

    @property
    def _network(self) -> dict[str, object]:
        small = self.kind == "rounds"
        return {
            "name": "net",
            "family": "resnet10-narrow" if small else "resnet18",
            "dimensions": 2 if small else self.size,
            "input_size": 16 if small else 32,
            "training": {"batch_size": 8},
        }

    @property
    def _tables(self) -> list[dict[str, object]]:
        number = self.size if self.kind == "models" else 1
        covariates = ["age", "ich_volume_ml"]
        return [{"kind": "logistic", "name": f"m{one}", "covariates": covariates} for one in range(number)]

    @property
    def _phases(self) -> list[str]:
        before = {"parameters": [], "rounds": ["cohort"]}.get(self.kind, ["cohort", "regression"])
        return ["cohort"] if self.kind == "few" else [*before, "training", "evaluation"]


def run_case(case: Case, start: Callable[..., Callable[[], None]] = start_process) -> Taken:
    """A study that varies one thing, in this process; `start` starts the sites of one of many rounds."""
    plan = case.make_plan()
    # A simulated site waits for the disk as a real one, all of them for the same: that is no processor's time
    with tempfile.TemporaryDirectory(dir=find_memory()) as name:
        folders, out = make_folders(case, Path(name), tables=not plan.networks), Path(name) / "out"
        if case.kind != "rounds":
            return run_study(plan, folders, out)
        with open_sites_apart(case, folders, out, start) as sites:
            return run_study(plan, folders, out, sites)


def find_memory() -> str | None:
    """Where files lie in memory, if this system has such a place."""
    return str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None


def make_folders(case: Case, root: Path, *, tables: bool) -> dict[str, Path]:
    """Each site's folder: a table alone, or twelve patients with scans."""
    from tests.sites.handmade import make_site
    from tests.sites.tables import table_only_hospital

    patients = case.size if case.kind in {"patients", "few"} else 100
    return {
        site: table_only_hospital(root / site, site, patients, number, ("score",))
        if tables
        else make_site(root / site, site, 12, seed=number)
        for number, site in enumerate(case.names)
    }


def run_study(plan: StudyPlan, folders: dict[str, Path], out: Path, sites: SitesApart | None = None) -> Taken:
    """The whole study, with the sites in this process or in theirs."""
    from rich.progress import Progress

    from server.conduct import conduct
    from server.run import StudyRun
    from simulations.backends.in_process import open_engines
    from simulations.backends.local_grid import LocalGrid
    from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

    out.mkdir(exist_ok=True)
    run = StudyRun(plan, out, derive_simulated_key(plan), roster=derive_simulated_roster(plan))
    if sites is None:
        engines = open_engines(run, folders, Progress(disable=True))
        grid = LocalGrid({name: engine.handle for name, engine in engines.items()})
    else:
        grid = LocalGrid(sites.engines)
    theirs: list[float] = []
    course = watch_memory(grid, lambda: theirs.extend([] if sites is None else [sites.read_rss_mib()]))
    before, begun = read_rss_mib(), time.process_time()
    with patch("server.conduct.write_report"):  # its pictures take longer than all else
        results = conduct(grid, run, Progress(disable=True))
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    moved = results.provenance.bytes_sent + results.provenance.bytes_received
    return Taken(seconds, peak - before, len(course), moved, tuple(course), tuple(theirs))


def watch_memory(grid: LocalGrid, look: Callable[[], None]) -> list[float]:
    """What grows by this process' memory before each round of messages; `look` is called then, too."""
    course: list[float] = []
    push = grid.push_messages

    def note(messages: Iterable[Message]) -> Iterable[str]:
        course.append(read_rss_mib())
        look()
        return push(messages)

    grid.push_messages = note  # type: ignore[method-assign]
    return course


def read_rss_mib() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGES_MIB


if __name__ == "__main__":
    from tests.bench import growth_case  # what is pickled for the sites' process has its module's name

    kind, *numbers = sys.argv[1:]
    print(json.dumps(asdict(growth_case.run_case(growth_case.Case(kind, *map(int, numbers))))))
