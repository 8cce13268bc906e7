"""A training round's end: its sums come back to the sites that train, which derive the next model."""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common.errors import ExchangeError
from common.plan.study import Arm
from common.runtime.array_digest import digest_array
from common.runtime.storage import write_atomically, write_pieces_atomically
from common.secagg.coordinator.drive import MessageExchange
from common.secagg.coordinator.gathering import Coordinator, SiteRefusedError
from common.secagg.coordinator.round import ServerRound, Stage
from common.secagg.crypto.rings import Words
from common.secagg.wire.frames import Bytes, MessageKind, unpack
from common.secagg.wire.messages import Close, Closed, ProtocolRefusal, read
from common.types import FlatWeights

_PATIENCE = 3
"""How often the CLOSE of a training's last round is sent."""


@dataclass(frozen=True)
class HiddenRound:
    """A training round that is open until the weights that follow from its sum are known.

    Attributes
    ----------
    server : ServerRound
        The coordinator's side of the round.
    folder : Path
        Where the round is kept until its new weights are safe.
    arm : Arm
        On whose patients the network trains: only its sites are told the sums.
    """

    server: ServerRound
    folder: Path
    arm: Arm

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the sites whose vectors are in the opened sum, those that only added zeros included."""
        return self.server.members

    @property
    def words(self) -> Mapping[str, Words]:
        """The opened words of each vector by its name."""
        return self.server.view_opened()

    def close(self, weights: FlatWeights, total: int) -> None:
        """Close the round with its new weights: the sites will evaluate and train no others.

        Parameters
        ----------
        weights : float32 vector
            The global model after the round.
        total : int
            What they divide the sum by; 0 if the sum itself says it.
        """
        if self.server.stage is Stage.OPENED:
            self.server.close(digest_array(weights), total)
        find_pending_close(self.folder.parent, self.arm).keep(self.server)

    def forget(self) -> None:
        """Remove the round's folder, once the new weights are safe."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class PendingClose:
    """The CLOSE of a training's last round, kept on disk until every member has confirmed it.

    Members get it with the next round's question, or by itself after the last round. It brings the round's
    sums back to the sites that train, which derive the next model from them: the question behind it has no
    model.

    Attributes
    ----------
    path : Path
        Where it is kept.
    told : frozenset of str
        Names of the sites that train. The others only added zeros, and get the CLOSE without the sums.
    """

    path: Path
    told: frozenset[str]

    def keep(self, server: ServerRound) -> None:
        """Replace the CLOSE of the round before, which all members of this round have confirmed."""
        told = server.tell_close()
        if told.path is not None:
            _link_file(told.path, self._sums)
        places = json.dumps(told.places).encode()
        write_atomically(self._front, places + b"\n" + told.front)
        # The one without sums last: it says that all are there
        write_atomically(self.path, server.make_close(is_told=False))

    def attach(self, server: ServerRound, exchange: MessageExchange) -> MessageExchange:
        """The exchange of the next round, whose question carries the CLOSE: it saves one round trip."""
        if not self.path.exists():
            return exchange
        server.leave_model_out()

        def exchange_with_close(messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
            if server.stage is not Stage.JOINING:
                return exchange(messages)
            # All sites get the same bytes, which have no model
            question = next(iter(messages.values()), b"")
            # All that train get the same again; they hold the sums, so one copy is made for all
            with_sums, without = self._join_told(question), self.path.read_bytes() + question
            answers = exchange({site: with_sums if site in self.told else without for site in messages})
            lacking = [site for site, answer in answers.items() if _lacks_model(answer)]
            if not lacking:
                return answers
            return {**answers, **exchange(dict.fromkeys(lacking, server.ask_with_model()))}

        return exchange_with_close

    def send(self, coordinator: Coordinator, sites: Sequence[str], exchange: MessageExchange) -> None:
        """Send the CLOSE by itself to the members of the last round, and forget it.

        Raises
        ------
        ExchangeError
            If a member does not answer; the CLOSE is sent again when the study is resumed.
        SecAggError
            If a member refuses.
        """
        if not self.path.exists():
            return
        told, others = self._join_told(b""), self.path.read_bytes()
        closes = {site: told if site in self.told else others for site in sites}
        insist_closed(coordinator, closes, exchange)
        for path in (self.path, self._front, self._sums):
            path.unlink(missing_ok=True)

    def _join_told(self, appendix: bytes) -> bytes:
        """The CLOSE with its sums, and other bytes behind it, in one copy."""
        if not self._front.exists():
            # As an earlier release kept it: the whole message
            return self._sums.read_bytes() + appendix
        places, _, front = self._front.read_bytes().partition(b"\n")
        with ExitStack() as stack:
            pieces = [memoryview(front)]
            if parts := json.loads(places):
                file = stack.enter_context(self._sums.open("rb"))
                content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                pieces += [content[start:stop] for start, stop in parts]
            return b"".join((*pieces, appendix))

    @property
    def _front(self) -> Path:
        """Where the sums' parts begin and end, and the CLOSE that stands before them."""
        return self.path.with_name(f"{self.path.name}.front")

    @property
    def _sums(self) -> Path:
        """The round's opened sums: another name of the file that the round has kept."""
        return self.path.with_name(f"{self.path.name}.sums")


def _link_file(old: Path, new: Path) -> None:
    """Give a file a second name, in the place of what has it; some file systems know none, and get a copy."""
    temporary = new.with_name(f".{new.name}.link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(old, temporary)
    except OSError:
        with old.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            write_pieces_atomically(new, [memoryview(content)])
        return
    temporary.replace(new)
    # It is left where both were names of one file already
    temporary.unlink(missing_ok=True)


def _lacks_model(answer: Bytes) -> bool:
    """Whether a site needs the model itself, because what it derived is gone."""
    frame = unpack(answer)
    return (
        frame.kind is MessageKind.REFUSAL
        and read(frame, MessageKind.REFUSAL, ProtocolRefusal).code == "E_NO_MODEL"
    )


def insist_closed(coordinator: Coordinator, closes: Mapping[str, bytes], exchange: MessageExchange) -> None:
    """Send each site its CLOSE until all have confirmed it.

    Raises
    ------
    ExchangeError
        If a site does not answer.
    SecAggError
        If a site refuses.
    """
    unconfirmed = set(closes)
    for _ in range(_PATIENCE):
        answers = exchange({site: closes[site] for site in sorted(unconfirmed)})
        unconfirmed -= {
            site for site, answer in answers.items() if _is_confirmed(coordinator, site, answer, closes[site])
        }
        if not unconfirmed:
            return
    raise ExchangeError(
        f"{', '.join(sorted(unconfirmed))} did not confirm the end of the last round -> see that the "
        "site is running, then go on with --resume"
    )


def _is_confirmed(coordinator: Coordinator, site: str, answer: Bytes, close: bytes) -> bool:
    """Whether the site's answer confirms this CLOSE; a busy site has not confirmed it yet.

    A site that has not begun a lost round has nothing to confirm.

    Raises
    ------
    SiteRefusedError
        If the site refuses for another reason.
    """
    try:
        closed, _ = coordinator.hear(site, answer, MessageKind.CLOSED, Closed)
    except SiteRefusedError as refusal:
        is_lost = read(unpack(close), MessageKind.CLOSE, Close).status == "lost"
        if refusal.code == "E_NO_STATE" and is_lost:
            return True
        if refusal.code != "E_BUSY":
            raise
        return False
    return closed.hdr == read(unpack(close), MessageKind.CLOSE, Close).hdr


def find_pending_close(home: Path, arm: Arm) -> PendingClose:
    """The CLOSE of an arm's training that lies in the training's folder, or would lie there."""
    return PendingClose(home / "close", frozenset(arm.sites))
