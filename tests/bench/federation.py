"""What the federation costs around the local trainings, and how fast a command answers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.measurement import Measurement, seconds

ROUND_BOUND = 1.03
HELP_BOUND_S = 0.5
PATIENTS = 32
ROUNDS, LOCAL_EPOCHS = 2, 4
"""Local trainings of some seconds, as short as a hospital's GPU makes them."""

PLAN = {
    "name": "bench",
    "seed": 1,
    "threads": 1,
    "profile": "simulation",
    "two_site_ack": True,
    "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
    "cohort": {"validation_fraction": 0.0},
    "models": [{"name": "m", "family": "densenet121", "input_size": 128, "training": {"batch_size": 16}}],
    "federation": {"rounds": ROUNDS, "local_epochs": LOCAL_EPOCHS},
}


def run() -> list[Measurement]:
    """Federated rounds in one process against their local trainings, and `--help` against its bound."""
    return [_rounds_against_trainings(), *(_help(program) for program in ("client", "server", "simulations"))]


def _rounds_against_trainings() -> Measurement:
    """What rounds add to the trainings: messages, signatures, averages and checkpoints."""
    with tempfile.TemporaryDirectory() as name:
        federation = _Federation(Path(name))
        federation.trainings()
        pairs = [(seconds(federation.rounds), seconds(federation.trainings)) for _ in range(2)]
    whole_s, local_s = (min(times) for times in zip(*pairs, strict=True))
    return Measurement(
        "federated rounds in one process against the sum of their local trainings (DenseNet-121)",
        whole_s / local_s,
        ROUND_BOUND,
        "at most",
        f"{1000 * whole_s:.0f} ms against {1000 * local_s:.0f} ms",
    )


class _Federation:
    """Two hand-made sites and everything that their rounds need."""

    def __init__(self, folder: Path) -> None:
        from rich.progress import Progress

        from common.plan.study import StudyPlan
        from server.exchange import Exchange
        from server.run import StudyRun
        from server.training.federated import make_initial_weights
        from simulations.backends.in_process import open_engines
        from simulations.backends.local_grid import LocalGrid
        from simulations.backends.parties import derive_simulated_key
        from tests.sites.handmade import make_site

        self.plan = StudyPlan.model_validate(PLAN)
        self.model = self.plan.models[0]
        self.folder, self.number = folder, 0
        sites = {site: make_site(folder / site, site, PATIENTS) for site in self.plan.site_names}
        study = StudyRun(self.plan, folder / "out", derive_simulated_key(self.plan))
        self.engines = open_engines(study, sites, Progress(disable=True))
        grid = LocalGrid({site: engine.handle for site, engine in self.engines.items()})
        self.exchange = Exchange(grid, self.plan, study.key)
        self.exchange.enrol(patience_s=0)
        self.weights, self.layout = make_initial_weights(self.plan, self.model, self.plan.all_arms()[0], None)

    def rounds(self) -> None:
        """As the coordinator does them."""
        from server.training.federated import FederatedTraining

        self.number += 1
        arm, checkpoints = self.plan.all_arms()[0], self.folder / f"checkpoints-{self.number}"
        FederatedTraining(self.exchange, self.model, arm, self.layout, checkpoints, lambda _: None).run(
            self.weights
        )

    def trainings(self) -> None:
        """The same trainings at the same sites, and nothing else."""
        from common.training.loop import Schedule, train

        for _ in range(ROUNDS):
            for engine in self.engines.values():
                network = engine.trainer(self.model).load(self.weights)
                samples = engine.open_patients().of(self.model, "train")
                train(network, samples, self.model.settings, Schedule(LOCAL_EPOCHS, seed=1))


def _help(program: str) -> Measurement:
    command = [sys.executable, "-m", f"{program}.cli", "--help"]
    best_s = min(seconds(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(5))
    return Measurement(
        f"{program}.cli --help against {HELP_BOUND_S:g} s",
        best_s / HELP_BOUND_S,
        1.0,
        "at most",
        f"{1000 * best_s:.0f} ms",
    )
