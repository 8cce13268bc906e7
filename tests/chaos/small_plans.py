"""The plans of small studies that are disturbed, and the hospitals that fit them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.plan.study import StudyPlan, load_plan
from common.runtime.processes import start_child
from tests.sites.handmade import make_site
from tests.sites.tables import Habits, table_only_hospital

_TABLE_PATIENTS, _SCANNED_PATIENTS = 60, 15
_HEAD = """\
name = "{name}"
seed = 4
threads = 1
profile = "simulation"
two_site_ack = true
sites = [{sites}]
"""
_TABLES = """\
phases = ["cohort", "regression", "training", "evaluation"]
[[models]]
kind = "logistic"
name = "L"
covariates = ["age", "ich_volume_ml"]
[[models]]
kind = "scores"
name = "S"
column = "alpha"
probability = true
[regression]
candidates = ["age", "sbp_mmhg", "ivh"]
[federation]
rounds = 1
timeout_s = 120
"""
_NETWORK = """\
[[models]]
name = "{name}"
family = "resnet10-narrow"
input_size = 16
[models.training]
batch_size = 8
learning_rate = 0.003
"""
_TRAINED = """\
phases = ["cohort", "training", "evaluation"]
{networks}[federation]
rounds = {rounds}
local_epochs = 8
timeout_s = 120
"""


def _make_tables(folder: Path, name: str, seed: int) -> Path:
    habits = Habits(split=("train", "test"))
    return table_only_hospital(folder, name, _TABLE_PATIENTS, seed, ("alpha",), habits=habits)


def _make_scans(folder: Path, name: str, seed: int) -> Path:
    return make_site(folder, name, _SCANNED_PATIENTS, seed=seed)


def _train(rounds: int, *names: str, end: str = "") -> str:
    networks = "".join(_NETWORK.format(name=name) for name in names)
    return _TRAINED.format(networks=networks, rounds=rounds) + end


@dataclass(frozen=True)
class SmallPlan:
    """What a small study asks, and of whom.

    Attributes
    ----------
    name : str
        Of the plan.
    text : str
        The plan but for its head.
    make : callable
        Makes a hospital's folder of a name and a number; the same patients for the same two.
    """

    name: str
    text: str
    make: Callable[[Path, str, int], Path]

    def write(self, path: Path, names: tuple[str, ...]) -> StudyPlan:
        """The plan's file for these hospitals, and what it says."""
        sites = ", ".join(f'{{ name = "{name}", role = "train" }}' for name in names)
        path.write_text(_HEAD.format(name=self.name, sites=sites) + self.text, encoding="utf-8")
        return load_plan(path)

    def make_sites(self, folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
        """A hospital's folder by its name."""
        return {name: self.make(folder / name, name, seed) for seed, name in enumerate(names)}

    def run_undisturbed(self, folder: Path, names: tuple[str, ...], environment: Mapping[str, str]) -> Path:
        """The folder of the same study in one process, whose bits are those of one over Flower.

        Raises
        ------
        RuntimeError
            If it fails.
        """
        folder.mkdir(parents=True)
        plan, out = folder / "study.toml", folder / "out"
        self.write(plan, names)
        command = [sys.executable, "-m", "simulations.cli", "run", "--plan", str(plan), "--out", str(out)]
        for name, place in self.make_sites(folder / "sites", names).items():
            command += ["--site", f"{name}={place}"]
        # In a session of its own, as the processes of the studies beside it, and it ends with this one
        child = start_child("undisturbed", command, environment, folder / "undisturbed.log")
        if child.process.wait():
            raise RuntimeError(f"the undisturbed study of {self.name} failed: {child.tail()[-2000:]}")
        return out


TABLES = SmallPlan("Faults", _TABLES, _make_tables)
"""Sums of tables: a regression, scores, their evaluation."""
NETWORK = SmallPlan("Faults of a network", _train(6, "flat"), _make_scans)
"""A narrow network of drawn scans, six rounds of eight local epochs."""
NETWORKS = SmallPlan("Faults of two networks", _train(2, "flat", "wide"), _make_scans)
"""Two of them, two rounds each."""
SHORT = SmallPlan(
    "Faults of a short training", _train(2, "flat", end="[arms]\nlocal_models = false\n"), _make_scans
)
"""Two rounds of one network, which no hospital trains alone."""
