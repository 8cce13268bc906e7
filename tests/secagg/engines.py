"""The sites of a `secagg.world` behind Flower: each message through a ServerApp's exchange and the engine.

A pytest plugin (``-p secagg.engines``): the attacks then go the way that messages go in a hospital, Flower's
message, the ClientApp, the engine and its answer. What the plan asks and the site computes stays the world's.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from weakref import WeakKeyDictionary

import numpy as np
from rich.progress import Progress
from secagg.world import COORDINATOR, World

import client.engine
from client.engine import SiteEngine
from client.membership.site import SiteSettings
from common.errors import ExchangeError
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply
from common.plan.study import StudyPlan
from common.secagg.wire.frames import MessageKind, pack
from common.secagg.wire.messages import ProtocolRefusal
from server.exchange import Exchange
from simulations.backends.local_grid import LocalGrid

_EXCHANGES: WeakKeyDictionary[World, Exchange] = WeakKeyDictionary()


def plan_of(world: World) -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "Attacks",
            "seed": 1,
            "two_site_ack": len(world.names) == 2,
            "sites": [{"name": name, "role": "train"} for name in world.names],
            "models": [{"kind": "scores", "name": "S", "column": "s", "probability": True}],
            "phases": ["cohort"],
        }
    )


def engine_of(world: World, name: str, plan: StudyPlan) -> SiteEngine:
    """An engine whose protocol machine is the world's, a fresh one for each message."""
    folder = world.folder / "engines" / name
    folder.mkdir(parents=True)
    settings = SiteSettings(name=name, table="cohort.csv")
    engine = SiteEngine(folder, settings, plan, COORDINATOR.public_key(), folder, Progress(disable=True))
    site = int(name.removeprefix("centre"))

    def handle(message: bytes) -> Reply:
        sealed = world.machine(site).handle(message)
        return Reply(ReplyHeader(site=name), sealed=np.frombuffer(bytes(sealed), dtype=np.uint8))

    vars(engine)["_hidden"] = SimpleNamespace(handle=handle)
    return engine


def exchange_of(world: World) -> Exchange:
    if world not in _EXCHANGES:
        plan = plan_of(world)
        grid = LocalGrid({name: engine_of(world, name, plan).handle for name in world.names})
        exchange = Exchange(grid, plan, COORDINATOR)
        exchange.enrol(patience_s=0)
        _EXCHANGES[world] = exchange
    return _EXCHANGES[world]


def through_flower(world: World, name: str, message: bytes) -> bytes:
    try:
        reply = exchange_of(world).carry({name: bytes(message)})[name]
    except ExchangeError as refused:
        # What does not even look like a message of the protocol, the engine refuses by itself
        (code,) = re.findall(r"failed with (E_[A-Z_]+)", str(refused))
        site = int(name.removeprefix("centre"))
        refusal = ProtocolRefusal(request="0" * 64, site=site, code=code)
        return pack(MessageKind.REFUSAL, refusal.body(), world.identities[site].key)
    assert reply.sealed is not None
    return reply.sealed.tobytes()


def pytest_configure() -> None:
    World.handle = through_flower
    # The ledger's lines name the plan's phases and questions, which a world does not have
    client.engine.list_sealed_departures = lambda *_: iter(())  # type: ignore[attr-defined]
