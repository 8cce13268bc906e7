"""An engine for tests of processes: it knows no patient, imports no torch, and answers what it was asked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress

from client.membership.site import SiteSettings, load_site
from client.release.ledger import Ledger
from client.watch.site_watch import SiteWatch
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader, SiteFacts
from common.messages.protocol import Reply, decode_request, encode_reply
from common.plan.study import StudyPlan
from common.stats.contract import Summary


@dataclass
class SiteEngine:
    name: str
    coordinator: Ed25519PublicKey
    state: Path
    progress: Progress
    settings: SiteSettings
    watch: SiteWatch = field(default_factory=SiteWatch)
    answered: int = 0

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.state / "ledger")

    def handle(self, message: bytes) -> bytes:
        request = decode_request(message, self.coordinator)
        self._hold(request.header.round)
        if request.header.operation is Operation.DESCRIBE:
            facts = SiteFacts(synthetic=True, device="cpu: fake", versions={"python": "3"})
            return encode_reply(Reply(ReplyHeader(site=self.name, facts=facts)).name_request(message))
        self.answered += 1
        weights = np.zeros(0, np.float32) if request.weights is None else request.weights
        summary = Summary(
            {"round": np.array([request.header.round]), "process": np.array([os.getpid()])},
            {"sum": np.array([weights.sum(dtype=np.float64)])},
        )
        return encode_reply(Reply(ReplyHeader(site=self.name), summary).name_request(message))

    def _hold(self, number: int) -> None:
        """Wait until the file that names this round is gone; another file says once that it is waited for."""
        hold = self.state / f"hold-{number}"
        if hold.exists():
            (self.state / f"holding-{number}").touch()
        while hold.exists():
            time.sleep(0.05)


def open_engine(
    folder: Path, plan: StudyPlan, coordinator: Ed25519PublicKey, state: Path, progress: Progress
) -> SiteEngine:
    if (folder / "broken").exists():
        raise OSError(28, "No space left on device")
    settings = load_site(folder)
    return SiteEngine(settings.name, coordinator, state, progress, settings)
