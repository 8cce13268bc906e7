"""The whole study over hosts, two users at each hospital, the gateway between: the simulation's results."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.deployment.federation import COORDINATOR, HOME, OFFICE, Federation
from tests.deployment.table import Seen

PLAN = """\
name = "Two hand-made centres on hosts of their own"
seed = 10
threads = 1
profile = "simulation"
two_site_ack = true
phases = ["cohort", "training", "evaluation"]
[[sites]]
name = "a"
role = "train"
model_release = true
[[sites]]
name = "b"
role = "external"
[[models]]
name = "flat"
family = "resnet10-narrow"
input_size = 16
[models.training]
batch_size = 8
learning_rate = 0.003
[federation]
rounds = 1
timeout_s = 120
"""

_OUT = HOME / "results"
_STUDY_S = 150.0


def make_data(folder: Path) -> dict[str, Path]:
    """The folder of each site."""
    from tests.sites.handmade import make_site

    return {"a": make_site(folder / "a", "a", 15), "b": make_site(folder / "b", "b", 12, seed=1)}


def derive_identities(plan: Path) -> dict[str, bytes]:
    """Each site's key in the protocol of hidden sums, as the simulation in one process has it."""
    from common.plan.study import load_plan
    from simulations.backends.parties import as_pem, derive_simulated_key

    study = load_plan(plan)
    return {name: as_pem(derive_simulated_key(study, f"site {name}")) for name in study.site_names}


def start_simulation(
    program: str, plan: Path, data: Mapping[str, Path], out: Path
) -> subprocess.Popen[bytes]:
    """The simulation of the same study in one process."""
    command = [program, "run", "--plan", str(plan), "--out", str(out)]
    for name, folder in data.items():
        command += ["--site", f"{name}={folder}"]
    with out.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def run_study(federation: Federation) -> None:
    """Run the study over the hosts.

    Raises
    ------
    WorkError
        If it fails.
    """
    program = federation.find_program("rhe-server")
    federation.coordinator.run(COORDINATOR, program, "run", OFFICE, "--out", _OUT, timeout_s=_STUDY_S)


def compare_results(federation: Federation, simulated: Path) -> Seen:
    """Success, which is a failure here, if anything but where it ran differs from one process."""
    names = [path.relative_to(simulated) for path in sorted(simulated.glob("models/**/*.safetensors"))]
    different = [
        str(name)
        for name in names
        if federation.coordinator.read(_OUT / name) != (simulated / name).read_bytes()
    ]
    here = json.loads((simulated / "results.json").read_bytes())
    there = json.loads(federation.coordinator.read(_OUT / "results.json"))
    provenance = there.pop("provenance")
    del here["provenance"]
    different += [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
    users = {site["name"]: site["users"] for site in provenance["sites"]}
    different += [f"{name} ran as {who}" for name, who in users.items() if who != "two users"]
    if different or not names:
        return Seen(True, f"differs: {', '.join(different) or 'no model'}")
    return Seen(
        False,
        f"{len(names)} models and {len(here)} parts of the results have the bits of one process; {users}",
    )
