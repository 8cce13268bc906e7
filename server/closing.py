"""The end of a round, of which the sites hear with the next round's question, or by itself after the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ExchangeError
from common.secagg.conduct import Exchange
from common.secagg.coordinator import Coordinator, SiteRefusedError
from common.secagg.messages import Close, Closed, read
from common.secagg.server import ServerRound, Stage
from common.secagg.wire import Bytes, Kind, unpack
from common.storage import write_atomically

_PATIENCE = 3


@dataclass(frozen=True)
class Closing:
    """The CLOSE of a training's last round, on the disk until every member has heard it.

    Attributes
    ----------
    path : Path
        Where it is kept.
    """

    path: Path

    def keep(self, server: ServerRound) -> None:
        """Replaces the one of the round before, which all members of this round have heard."""
        write_atomically(self.path, next(iter(server.requests().values())))

    def riding(self, server: ServerRound, exchange: Exchange) -> Exchange:
        """The exchange of the next round, whose question carries the CLOSE: a round trip less."""
        if not self.path.exists():
            return exchange
        close = self.path.read_bytes()

        def ride(messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
            if server.stage is not Stage.JOINING:
                return exchange(messages)
            # All are asked the same; it holds the model, so one copy is made for all
            return exchange(dict.fromkeys(messages, close + next(iter(messages.values()))))

        return ride

    def tell(self, coordinator: Coordinator, sites: Sequence[str], exchange: Exchange) -> None:
        """Sends it by itself to the members of the last round, and forgets it.

        Raises
        ------
        ExchangeError
            If one of them does not answer; it is sent again when the study is resumed.
        SecAggError
            If one refuses.
        """
        if not self.path.exists():
            return
        close = self.path.read_bytes()
        deaf = set(sites)
        for _ in range(_PATIENCE):
            answers = exchange(dict.fromkeys(sorted(deaf), close))
            deaf -= {site for site, answer in answers.items() if _heard(coordinator, site, answer, close)}
            if not deaf:
                self.path.unlink()
                return
        raise ExchangeError(
            f"{', '.join(sorted(deaf))} did not hear which weights the last round gave -> see that the site "
            "is running, then go on with --resume"
        )


def _heard(coordinator: Coordinator, site: str, answer: Bytes, close: bytes) -> bool:
    try:
        closed, _ = coordinator.hear(site, answer, Kind.CLOSED, Closed)
    except SiteRefusedError as refusal:
        if refusal.code != "E_BUSY":
            raise
        return False
    return closed.hdr == read(unpack(close), Kind.CLOSE, Close).hdr
