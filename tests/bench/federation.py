"""What the federation costs around the local trainings, and how fast a command answers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.measurement import Measurement, seconds

ROUND_BOUND = 1.03
HELP_BOUND_S = 0.5
PATIENTS = 48


def run() -> list[Measurement]:
    """A federated round in one process against its local trainings, and `--help` against its bound."""
    return [_round_against_trainings(), *(_help(program) for program in ("client", "server", "simulations"))]


def _round_against_trainings() -> Measurement:
    """What a round adds to the trainings: messages, signatures, average and checkpoint."""
    from rich.progress import Progress

    from common.study import StudyPlan
    from common.training.loop import Schedule, train
    from server.exchange import Exchange
    from server.run import StudyRun
    from server.training import FederatedTraining, initial_weights
    from simulations.local_grid import LocalGrid
    from simulations.two_centres import open_engines, simulated_key
    from tests.sites.handmade import make_site

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sites = {site: make_site(folder / site, site, PATIENTS) for site in ("a", "b")}
        plan = StudyPlan.model_validate(
            {
                "name": "bench",
                "seed": 1,
                "threads": 1,
                "profile": "simulation",
                "two_site_ack": True,
                "sites": [{"name": site, "role": "train"} for site in sites],
                "cohort": {"validation_fraction": 0.0},
                "models": [
                    {"name": "m", "family": "densenet121", "input_size": 128, "training": {"batch_size": 16}}
                ],
                "federation": {"rounds": 1, "local_epochs": 2},
            }
        )
        study = StudyRun(plan, folder / "out", simulated_key(plan))
        engines = open_engines(study, sites, Progress(disable=True))
        exchange = Exchange(
            LocalGrid({site: engine.handle for site, engine in engines.items()}), plan, study.key
        )
        exchange.enrol(patience_s=0)
        model, (arm, *_) = plan.models[0], plan.all_arms()
        weights, layout = initial_weights(plan, model, None)
        trainers = {site: engine.trainer(model) for site, engine in engines.items()}

        def trainings() -> None:
            for site, trainer in trainers.items():
                network = trainer.load(weights)
                samples = engines[site].patients().of(model, "train")
                train(network, samples, model.settings, Schedule(2, seed=1))

        def federated(number: int) -> None:
            target = folder / f"checkpoints-{number}"
            FederatedTraining(exchange, model, arm, layout, target, lambda _: None).run(weights)

        trainings()
        federated(-1)
        pairs = [(seconds(lambda n=n: federated(n)), seconds(trainings)) for n in range(4)]
        whole_s, local_s = (min(times) for times in zip(*pairs, strict=True))
    return Measurement(
        "a federated round in one process against the sum of its local trainings (DenseNet-121)",
        whole_s / local_s,
        ROUND_BOUND,
        "at most",
        f"{1000 * whole_s:.0f} ms against {1000 * local_s:.0f} ms",
    )


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
