"""A study of several hospitals in this process, whose answers can be looked at and lost."""

from __future__ import annotations

from rich.progress import Progress

from common.errors import ExchangeError
from common.messages.protocol import decode_reply
from common.models.checkpoint import load
from common.secagg.wire.frames import is_sealed, unpack
from server.conduct import conduct
from server.run import StudyRun
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

NETWORK = {
    "name": "Hidden rounds",
    "seed": 4,
    "threads": 1,
    "profile": "simulation",
    "sites": [{"name": name, "role": "train"} for name in "abc"],
    "models": [
        {
            "name": "net",
            "family": "resnet10-narrow",
            "input_size": 16,
            "training": {"batch_size": 8, "learning_rate": 0.003},
        }
    ],
    "arms": {"local_models": False},
    "federation": {"rounds": 2, "timeout_s": 60},
    "phases": ["training"],
}


class Wire:
    """The sites of one study in this process; keeps what they answered, and can lose what they say."""

    def __init__(self, plan, sites, out):
        self.run = StudyRun(
            plan=plan,
            out=out,
            key=derive_simulated_key(plan),
            roster=derive_simulated_roster(plan),
            resume=True,
        )
        self.sites = sites
        self.answers = []
        self.lost = lambda _site, _kind, _training: False

    def study(self):
        engines = open_engines(self.run, self.sites, Progress(disable=True))
        grid = LocalGrid({name: self._tapped(name, engine.handle) for name, engine in engines.items()})
        return conduct(grid, self.run, Progress(disable=True))

    def _tapped(self, name, handle):
        def answer(request):
            frame = unpack(request) if is_sealed(request) else None
            kind = None if frame is None else frame.kind
            training = frame is not None and b'"phase":"training' in frame.header
            if self.lost(name, kind, training):
                raise ExchangeError("the hospital is dead")
            body = handle(request)
            self.answers.append((name, kind, decode_reply(body)))
            return body

        return answer


def final(out):
    """The weights of the federated network."""
    return load(out / "models" / "net" / "federated.safetensors").weights
