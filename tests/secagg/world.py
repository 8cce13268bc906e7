"""A study's authority, coordinator and sites in one process, every message through a fresh machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import run_round
from common.secagg.coordinator.gathering import Coordinator, HidingTask
from common.secagg.coordinator.round import ServerRound
from common.secagg.coordinator.session import ServerSession
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.site.endpoint import SiteMachine, approve_roster
from common.secagg.site.files import SiteFiles
from common.secagg.site.history import History
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.wire.frames import MessageKind, sha256, unpack
from common.secagg.wire.messages import Iterate, ProtocolRefusal, RoundRequest, read
from common.secagg.wire.roster import Identity, Member, Pin, Roster, minimum_sites, sign_roster

STUDY = "rHE in two centres"
PLAN = sha256(b"the plan")
START = 1_800_000_000

UPDATE = Vector("update", (6,), Ring.UPDATES, clip=1.0, scale_bits=20)
COUNTS = Vector("patients", (3,), Ring.COUNTS)
REALS = Vector("moments", (2, 2), Ring.REALS)
VECTORS = (UPDATE, COUNTS, REALS)
ROUNDS, SESSIONS = "train/a", "newton"


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sha256(name.encode())))


AUTHORITY, COORDINATOR = key("authority"), key("coordinator")
AUTHORITY_PUBLIC = AUTHORITY.public_key().public_bytes_raw()


def values_of(site: int) -> dict[str, np.ndarray]:
    """What a site contributes, known to the test alone."""
    random = np.random.default_rng(site)
    return {
        "update": random.uniform(-1, 1, 6).astype(np.float32),
        "patients": random.integers(0, 100, 3),
        "moments": random.normal(0, 50, (2, 2)),
    }


@dataclass
class Rules:
    """The plan, as far as the protocol asks."""

    phases: dict[str, PhaseRules] = field(
        default_factory=lambda: {
            ROUNDS: PhaseRules(mode="round", vectors=VECTORS, rounds=10),
            SESSIONS: PhaseRules(mode="session", rounds=10),
        }
    )

    def rules_of(self, phase: str) -> PhaseRules:
        if phase not in self.phases:
            raise SecAggError("the plan has no such phase", code="E_CONTEXT")
        return self.phases[phase]

    def check(self, request: RoundRequest, history: History) -> None:
        del request, history


class World:
    """Everybody, with `sites` of whom `colluders` may collude."""

    def __init__(self, folder: Path, sites: int = 3, colluders: int = 0, *, approve: bool = True) -> None:
        self.folder = folder
        self.now = START
        self.plan = Rules()
        self.identities = {site: Identity(key(f"site {site}"), site) for site in range(1, sites + 1)}
        self.returns: dict[str, tuple[int, ...]] = {}
        self.compute: dict[int, Callable[[RoundRequest, Iterate | None, memoryview], Computed]] = {}
        self.roster = Roster(
            study=STUDY,
            version=1,
            plan=PLAN,
            minimum=minimum_sites(sites, colluders),
            colluders=colluders,
            sites=tuple(
                Member(id=site, name=self.name(site), key=one.public.hex())
                for site, one in self.identities.items()
            ),
            coordinator=COORDINATOR.public_key().public_bytes_raw().hex(),
        )
        self.coordinator = Coordinator(COORDINATOR, self.roster, self.clock)
        for site in self.identities if approve else ():
            approve_roster(self.files(site), sign_roster(self.roster, AUTHORITY), self.pin(site))

    @staticmethod
    def name(site: int) -> str:
        return f"centre{site}"

    @property
    def names(self) -> list[str]:
        return [self.name(site) for site in self.identities]

    def clock(self) -> int:
        return self.now

    def pin(self, site: int) -> Pin:
        return Pin(AUTHORITY_PUBLIC, STUDY, PLAN, site, self.identities[site].public)

    def state(self, site: int) -> Path:
        return self.folder / f"site{site}" / "secagg"

    def files(self, site: int) -> SiteFiles:
        return SiteFiles(self.state(site))

    def machine(self, site: int) -> SiteMachine:
        """As a fresh process has it."""
        return SiteMachine(
            identity=self.identities[site],
            authority=AUTHORITY_PUBLIC,
            files=self.files(site),
            policy=self.plan,
            compute=self.compute.get(site, computed_by(site, self.plan, self.returns)),
            clock=self.clock,
        )

    def handle(self, name: str, message: bytes) -> bytes:
        return bytes(self.machine(int(name.removeprefix("centre"))).handle(message))

    def exchange(self, requests: Mapping[str, bytes]) -> dict[str, bytes]:
        return {name: self.handle(name, message) for name, message in requests.items()}

    def exchange_without(self, *absent: str) -> Callable[[Mapping[str, bytes]], dict[str, bytes]]:
        return lambda requests: self.exchange(
            {name: message for name, message in requests.items() if name not in absent}
        )

    def question(self, number: int = 1, **changes: object) -> HidingTask:
        fields: dict[str, Any] = {"mode": "round", "phase": ROUNDS, "round": number, "vectors": VECTORS}
        return HidingTask(**(fields | changes))

    def round(
        self, number: int = 1, model: bytes = b"model", configuration: bytes = b"seed", **changes: object
    ) -> ServerRound:
        folder = self.folder / f"server/{number}-{sha256(model + configuration)[:8]}"
        question = self.question(number, **changes)
        return ServerRound(self.coordinator, folder, question, model, configuration)

    def session(self, number: int = 1, **changes: object) -> ServerSession:
        fields: dict[str, Any] = {"mode": "session", "phase": SESSIONS, "round": number}
        question = HidingTask(**(fields | changes))
        return ServerSession(self.coordinator, self.session_folder(number), question, self.receivers)

    def session_folder(self, number: int = 1) -> Path:
        return self.folder / f"server/sessions/{number}"

    def receivers(self, vector: str) -> frozenset[str]:
        """Names of the sites to which a vector's sum comes back."""
        return frozenset(map(self.name, self.returns.get(vector, ())))

    def release_round(self, number: int = 1, **changes: Any) -> ServerRound:
        """A whole round, closed."""
        server = self.round(number, **changes)
        run_round(server, self.exchange)
        server.close()
        for name, answer in self.exchange(server.make_requests()).items():
            server.receive(name, answer)
        return server


def computed_by(
    site: int, plan: Rules, returns: Mapping[str, tuple[int, ...]] = MappingProxyType({})
) -> Callable[[RoundRequest, Iterate | None, memoryview], Computed]:
    def compute(request: RoundRequest, question: Iterate | None, payload: memoryview) -> Computed:
        values = values_of(site)
        if question is None:
            vectors = plan.rules_of(request.phase).vectors
            return Computed(tuple(ComputedVector(vector, values[vector.name]) for vector in vectors))
        factor = 1 + len(bytes(payload))
        parts = (
            ComputedVector(COUNTS, values["patients"], returns=site in returns.get(COUNTS.name, ())),
            ComputedVector(REALS, factor * values["moments"], returns=site in returns.get(REALS.name, ())),
        )
        return Computed(parts, note=f"of {len(bytes(payload))}")

    return compute


def check_sums(sums: Mapping[str, np.ndarray], sites: list[int], factor: float = 1.0) -> None:
    """The sums are those of the sites' values."""
    assert np.array_equal(sums["patients"], sum(values_of(site)["patients"] for site in sites))
    moments = sum(factor * values_of(site)["moments"] for site in sites)
    assert np.allclose(sums["moments"], moments, rtol=0, atol=1e-12)
    if "update" in sums:
        update = sum(values_of(site)["update"].astype(np.float64) for site in sites)
        assert np.abs(sums["update"] - update).max() <= len(sites) * 2.0**-21


def code_of(answer: bytes) -> str:
    """The code of a refusal, or OK."""
    frame = unpack(answer)
    return (
        read(frame, MessageKind.REFUSAL, ProtocolRefusal).code if frame.kind is MessageKind.REFUSAL else "OK"
    )
