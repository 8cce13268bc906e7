"""The demonstration's study over Flower beside the same study in one process: what it takes, and its bits.

Both are `rhe-simulate run`, from the command's start to the report. Over Flower that includes making the
coordinator's and the sites' folders and starting every process: SuperLink, engines and links with TLS.
The centres are made, and their scans prepared, before anything is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measurement import Effort, Measurement, measure_seconds

BOUND = 1.5
BACKENDS = ("in-process", "flower")
SMOKE_PLAN = """\
name = "A small study"
seed = 10
threads = 1
profile = "simulation"
two_site_ack = true
phases = ["cohort"]
[[sites]]
name = "center1"
role = "train"
[[sites]]
name = "center2"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
input_size = 16
"""


@dataclass(frozen=True)
class PreparedStudy:
    """A study whose scans need not be prepared again.

    Attributes
    ----------
    plan : Path
        The plan's file.
    sites : dict of str to Path
        Each site's folder by its name.
    caches : Path
        Of each site a folder with its prepared scans, called as the site is.
    """

    plan: Path
    sites: dict[str, Path]
    caches: Path

    def lay_out(self, out: Path) -> Path:
        """A study's folder in which every site finds its scans prepared."""
        for site in self.sites:
            state = out / "sites" / site
            state.mkdir(parents=True, mode=0o700)
            # Links: what is in a cache is read, or replaced by a new file
            shutil.copytree(self.caches / site, state / "cache", copy_function=os.link)
        return out


def run(effort: Effort) -> list[Measurement]:
    """The two times against their bound, and whether the results have the same bits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = prepare_study(folder, effort)
        conduct = effort.choose(conduct_by_command, conduct_here)
        outs = {backend: study.lay_out(folder / backend) for backend in BACKENDS}
        times = {
            backend: measure_seconds(lambda backend=backend: conduct(study, outs[backend], backend))
            for backend in BACKENDS
        }
        here, there = (read_reproducible_part(outs[backend]) for backend in BACKENDS)
    alone_s, flower_s = (times[backend] for backend in BACKENDS)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    name = "the demonstration's study over Flower / in one process"
    detail = f"{flower_s:.1f} s against {alone_s:.1f} s, {load}"
    return [
        Measurement(name, flower_s / alone_s, BOUND, "at most", detail),
        Measurement(f"{name}: bits of results.json that repeat", float(here == there) or 1e-9, 1.0),
    ]


def prepare_study(folder: Path, effort: Effort) -> PreparedStudy:
    """The demonstration's two centres, or two hand-made ones, with prepared scans."""
    from rich.progress import Progress

    from client.cohort.prepare import prepare_site
    from common.plan.study import load_plan

    progress = Progress(disable=True)
    file, sites = (make_demonstration if effort is Effort.FULL else make_small_study)(folder)
    plan, caches = load_plan(file), folder / "caches"
    for site, site_folder in sites.items():
        prepare_site(site_folder, plan, caches / site, progress)
    return PreparedStudy(file, sites, caches)


def make_demonstration(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The demonstration's plan and centres."""
    from rich.progress import Progress

    from common.plan.study import load_plan
    from simulations.demo import DEMO_PLAN, PATIENTS
    from simulations.hospitals.centres import CentresRequest, make_centres
    from simulations.study_request import Signal

    seed, centres = load_plan(DEMO_PLAN).seed, folder / "centres"
    folders = make_centres(centres, CentresRequest(PATIENTS, seed, Signal.DEMO), Progress(disable=True))
    return DEMO_PLAN, {site.name: site for site in folders}


def make_small_study(folder: Path) -> tuple[Path, dict[str, Path]]:
    """A plan that asks only who the patients are, and nine of them at each of two centres."""
    from tests.sites.handmade import make_site

    plan = folder / "small.toml"
    plan.write_text(SMOKE_PLAN, encoding="utf-8")
    return plan, {name: make_site(folder / name, name, 9) for name in ("center1", "center2")}


def conduct_by_command(study: PreparedStudy, out: Path, backend: str) -> None:
    """Run the study by its command.

    Raises
    ------
    RuntimeError
        If it fails, with the last line of its error.
    """
    program = str(Path(sys.executable).with_name("rhe-simulate"))
    command = [program, "run", "--plan", str(study.plan), "--out", str(out), "--backend", backend]
    for name, folder in study.sites.items():
        command += ["--site", f"{name}={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{backend}: {done.stderr.strip().splitlines()[-1]}")


def conduct_here(study: PreparedStudy, out: Path, backend: str) -> None:
    """Run the study in this process, whatever it should go over: shows that the benchmark runs."""
    from unittest.mock import patch

    from rich.progress import Progress

    from simulations.local_study import simulate_study
    from simulations.study_request import StudyRequest

    del backend
    with patch("server.conduct.write_report"):  # its pictures take longer than all else
        simulate_study(StudyRequest(study.plan, study.sites, out, BACKENDS[0]), Progress(disable=True))


def read_reproducible_part(out: Path) -> dict[str, object]:
    """The results without what tells when and where they were computed."""
    content: dict[str, object] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    del content["provenance"]
    return content
