"""Rounds over Flower on this machine, beside Flower alone and NVFlare; and what an idle site costs.

The coordinator's process is this one; SuperLink, engines and links are those of a study, with TLS, node keys
and signatures. Set RHE_BENCH_NVFLARE to an interpreter that has NVFlare to measure it in the same run.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measurement import Effort, Measurement

if TYPE_CHECKING:
    import psutil

    from server.exchange import Exchange
    from server.run import StudyRun

ROUND_BOUND_S = 0.5
IDLE_BOUND_MIB, LINK_BOUND_MIB = 300.0, 120.0
LINK_BOUND_CPU = 0.01
ROUNDS, SMOKE_ROUNDS = 40, 2
PEER_ROUNDS = 8
QUIET_S, SMOKE_QUIET_S = 60.0, 1.0
"""How long the sites are left alone; after 20 seconds a link asks once in two."""
NVFLARE = "RHE_BENCH_NVFLARE"
MIB = 2**20
PLAN = """\
name = "Loopback"
seed = 10
threads = 1
profile = "simulation"
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
input_size = 16
"""


@dataclass(frozen=True)
class Loopback:
    """Two hospitals that have enrolled.

    Attributes
    ----------
    exchange : Exchange
        Asks them.
    run : StudyRun
        The study that they approved.
    parties : mapping of str to psutil.Process
        Every process of the hospitals by its site and its part, such as "a/engine".
    """

    exchange: Exchange
    run: StudyRun
    parties: dict[str, psutil.Process]

    def ask_once(self) -> tuple[float, int]:
        """Seconds of a round in which each site says who it is, and the bytes of a message."""
        from common.messages.catalogue import Operation

        traffic = self.exchange.traffic
        bytes_before = traffic.bytes_received
        begun = time.perf_counter()
        self.exchange.ask(Operation.DESCRIBE, ["a", "b"])
        return time.perf_counter() - begun, (traffic.bytes_received - bytes_before) // 2


def run(effort: Effort) -> list[Measurement]:
    """A round against its bound, Flower alone and NVFlare; the memory and the processor of an idle site."""
    begin = effort.choose(open_loopback, open_here)
    with tempfile.TemporaryDirectory() as name, begin(Path(name)) as loopback:
        loopback.exchange.enrol(patience_s=120)
        idle = measure_idle_site(loopback, effort)
        rounds = [loopback.ask_once() for _ in range(effort.choose(ROUNDS, SMOKE_ROUNDS))]
    times, size = [seconds for seconds, _ in rounds], rounds[0][1]
    ours_s = statistics.median(times)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    detail = f"median of {len(times)}: {ours_s:.3f} s, fastest {min(times):.3f} s, {load}"
    name = "a message round over Flower, TLS, two sites / .5 s"
    measured = [Measurement(name, ours_s / ROUND_BOUND_S, 1.0, "at most", detail), *idle]
    if effort is Effort.FULL:
        measured += _compare_with_peers(ours_s, size)
    return measured


def _compare_with_peers(ours_s: float, size: int) -> list[Measurement]:
    from tests.bench.peers.plain_flower import time_plain_rounds

    with tempfile.TemporaryDirectory() as name:
        measured = [_compare("Flower alone", ours_s, time_plain_rounds(Path(name), PEER_ROUNDS, size))]
    nvflare = os.environ.get(NVFLARE)
    if nvflare is None:
        print(f"not measured: NVFlare ({NVFLARE} names no interpreter that has it)", file=sys.stderr)
        return measured
    return [*measured, _compare("NVFlare's simulator", ours_s, time_nvflare_rounds(nvflare, size))]


def _compare(peer: str, ours_s: float, theirs: list[float]) -> Measurement:
    theirs_s = statistics.median(theirs)
    load = f"load {os.getloadavg()[0]:.1f}"
    detail = f"{ours_s:.3f} s against {theirs_s:.2f} s (median of {len(theirs)}), {load}"
    return Measurement(
        f"the same round / that of {peer}, same bytes", ours_s / theirs_s, 1.0, "at most", detail
    )


def time_nvflare_rounds(interpreter: str, size: int) -> list[float]:
    """Seconds of each round of NVFlare's simulator: a process for each site, neither TLS nor signatures."""
    import json

    script = Path(__file__).parent / "peers" / "nvflare_rounds.py"
    with tempfile.TemporaryDirectory() as name:
        command = [interpreter, str(script), name, str(PEER_ROUNDS), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=name)
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def measure_idle_site(loopback: Loopback, effort: Effort) -> list[Measurement]:
    """What a site's processes take while nobody asks: their memory together, and the link's processor."""
    site = {part: process for part, process in loopback.parties.items() if part.startswith("a/")}
    link = site["a/link"]
    quiet_s = effort.choose(QUIET_S, SMOKE_QUIET_S)
    time.sleep(quiet_s / 2)
    spent, begun = _read_cpu_s(link), time.perf_counter()
    time.sleep(quiet_s / 2)
    share = (_read_cpu_s(link) - spent) / (time.perf_counter() - begun)
    memory = {part.partition("/")[2]: read_pss_mib(process) for part, process in sorted(site.items())}
    parts = ", ".join(f"{part} {size:.0f}" for part, size in memory.items())
    total = sum(memory.values())
    return [
        Measurement(
            f"PSS of an idle site / {IDLE_BOUND_MIB:.0f} MiB",
            total / IDLE_BOUND_MIB,
            1.0,
            "at most",
            f"{total:.0f} MiB: {parts}",
        ),
        Measurement(
            f"PSS of its link / {LINK_BOUND_MIB:.0f} MiB",
            memory["link"] / LINK_BOUND_MIB,
            1.0,
            "at most",
            f"{memory['link']:.0f} MiB",
        ),
        Measurement(
            "processor of its link / 1 %",
            max(share, 1e-6) / LINK_BOUND_CPU,
            1.0,
            "at most",
            f"{100 * share:.2f} % over {quiet_s / 2:.0f} s",
        ),
    ]


def read_pss_mib(process: psutil.Process) -> float:
    """Memory of a process, its shared pages divided among those who share them."""
    return float(process.memory_full_info().pss) / MIB


def _read_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def open_loopback(folder: Path, text: str = PLAN, patients: int = 6) -> Iterator[Loopback]:
    """A context in which two hospitals of hand-made patients answer over Flower.

    Parameters
    ----------
    folder : Path
        For everybody's files.
    text : str
        The plan, of sites a and b.
    patients : int
        Of each site.
    """
    from server.exchange import Exchange
    from server.process.flower_run import open_run
    from server.provision.office import open_office
    from server.provision.rosters import load_roster
    from simulations.backends.flower import LocalFederation
    from simulations.study_request import StudyRequest

    file, run, sites = _prepare(folder, text, patients)
    federation = LocalFederation(run, StudyRequest(file, sites, run.out, "flower"))
    with ExitStack() as stack:
        federation.provision()
        federation.open_parties(stack)
        office = open_office(federation.office)
        grid = stack.enter_context(open_run(office))
        roster = load_roster(office) if run.plan.hides_sums else None
        run = replace(run, key=office.load_key(), roster=roster, patience_s=120.0)
        yield Loopback(Exchange(grid, run.plan, run.key), run, find_parties(run.out))


@contextmanager
def open_here(folder: Path, text: str = PLAN, patients: int = 6) -> Iterator[Loopback]:
    """As `open_loopback`, with hospitals that answer in this process, which stands for theirs."""
    import psutil
    from rich.progress import Progress

    from server.exchange import Exchange
    from simulations.backends.in_process import open_engines
    from simulations.backends.local_grid import LocalGrid
    from simulations.backends.parties import derive_simulated_roster

    _, run, sites = _prepare(folder, text, patients)
    run = replace(run, roster=derive_simulated_roster(run.plan))
    engines = open_engines(run, sites, Progress(disable=True))
    grid = LocalGrid({site: engine.handle for site, engine in engines.items()})
    here = psutil.Process()
    yield Loopback(Exchange(grid, run.plan, run.key), run, {"a/engine": here, "a/link": here})


def _prepare(folder: Path, text: str, patients: int) -> tuple[Path, StudyRun, dict[str, Path]]:
    """The plan's file, its run, and the folder of each site."""
    from common.plan.study import load_plan
    from server.run import StudyRun
    from simulations.backends.parties import derive_simulated_key
    from tests.sites.handmade import make_site

    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    plan = load_plan(file)
    run = StudyRun(plan, folder / "out", derive_simulated_key(plan), backend="flower")
    run.out.mkdir()
    return file, run, {name: make_site(folder / name, name, patients) for name in plan.site_names}


def find_parties(out: Path) -> dict[str, psutil.Process]:
    """The hospitals' processes by site and part; they are this process' descendants."""
    import psutil

    found: dict[str, psutil.Process] = {}
    for process in psutil.Process().children(recursive=True):
        command = " ".join(process.cmdline())
        site = re.search(rf"{re.escape(str(out))}/sites/(\w+?)(-link)?[/ ]", command)
        part = re.search(r"rhe-client (\w+)|(log)", command)
        if site and part:
            name = f"{site[1]}/{part[1] or part[2]}"
            while name in found:
                name += "'"
            found[name] = process
    return found
