"""The coordinator's side of hidden sums: it opens what all have added, and never sees what one added.

What was opened lies in the run's folder, so that a study that is resumed is answered from there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import ExchangeError
from common.groups import Group, hiding_set, hiding_sets
from common.hidden import Hiding
from common.models.layout import Layout
from common.phases import ROUND_AGE_S, SESSION_AGE_S, statistics_phase, training_phase
from common.protocol import Reply, decode_reply, encode_reply
from common.rounds import hiding_of
from common.secagg.conduct import finish, open_session, run_round, run_step
from common.secagg.coordinator import Coordinator, Question, SiteRefusedError
from common.secagg.errors import SecAggError
from common.secagg.server import ServerRound, Stage
from common.secagg.server_session import ServerSession
from common.secagg.wire import Bytes
from common.stats.contract import Summary
from common.storage import write_atomically
from common.study import Arm, CnnModel, StudyPlan
from common.types import FlatWeights
from server.closing import Closing
from server.gathered import Gathered
from server.reasons import reason_of

_log = logging.getLogger(__name__)

Carry = Callable[[Mapping[str, bytes]], Mapping[str, Reply]]
"""Takes a message to each site; returns the answers of those that gave one in time."""


@dataclass
class HiddenSums:
    """Sums of one study that only all sites together can open.

    Attributes
    ----------
    plan : StudyPlan
    coordinator : Coordinator
        Its key, and the roster that the authority signed.
    folder : Path
        Where opened sums and open rounds are kept.
    carry : callable
    absent : mapping of str to frozenset of int
        By phase, numbers of the sites whose absence from its sums the authority waived.
    """

    plan: StudyPlan
    coordinator: Coordinator
    folder: Path
    carry: Carry
    absent: Mapping[str, frozenset[int]]
    _sessions: dict[int, ServerSession] = field(default_factory=dict)

    def gather(self, groups: Sequence[Group], question: bytes) -> Gathered:
        """Every group's sum: of several sites opened, of one site as it told it.

        Parameters
        ----------
        groups : sequence of Group
            At least one of several sites.
        question : bytes
            The signed request, the same for all.

        Raises
        ------
        ExchangeError
            If a site refuses, stays away, or answers with other arrays.
        """
        number = hiding_set(self.plan, groups) or 0
        with _told("statistics"):
            replies, shared = self._opened(number, question)
        return Gathered(
            {
                group.sites: group.of(replies[group.sites[0]].summary)
                if group.alone
                else shared.part(str(place))
                for place, group in enumerate(groups)
            }
        )

    def train(
        self, training: tuple[CnnModel, Arm, Layout], number: int, weights: FlatWeights, question: bytes
    ) -> tuple[Summary, HiddenRound]:
        """One round's sums, and the round, which must be closed when they are used.

        Its question carries the close of the round before.

        Parameters
        ----------
        training : (CnnModel, Arm, Layout)
            What is trained, on whom, and the layout of its weights.
        number : int
            Of the round, from 1.
        weights : float32 vector
            From which the sites train.
        question : bytes
            The signed request.

        Raises
        ------
        ExchangeError
            If too few sites take part, or one refuses.
        """
        model, arm, layout = training
        hiding = hiding_of(self.plan, layout)
        home = self._home(model, arm)
        sites = _members(home) or self._trainers(arm)
        phase = training_phase(self.plan, model, arm)
        absent = self.absent.get(phase, frozenset())
        asked = Question("round", phase, number, hiding.vectors, ROUND_AGE_S, sites, absent)
        folder = home / str(number)
        with _told(f"{model.name}, {arm.name}, round {number} of {phase}"):
            server = ServerRound(self.coordinator, folder, asked, weights.astype("<f4").tobytes(), question)
            sums = run_round(server, _closing(home).riding(server, self._sealed))
        write_atomically(home / "members", json.dumps(server.members).encode())
        shared = hiding.summary([sums[vector.name] for vector in hiding.vectors])
        return shared, HiddenRound(server, folder)

    def settle(self, model: CnnModel, arm: Arm) -> None:
        """Tells the sites what the last round of a training gave, unless they have heard.

        Raises
        ------
        ExchangeError
            If one refuses or stays away.
        """
        home = self._home(model, arm)
        with _told(f"{model.name}, {arm.name}, the end"):
            _closing(home).tell(self.coordinator, _members(home), self._sealed)

    def _home(self, model: CnnModel, arm: Arm) -> Path:
        return self.folder / "rounds" / model.name / arm.name

    def _trainers(self, arm: Arm) -> tuple[str, ...]:
        return hiding_sets(self.plan)[hiding_set(self.plan, (Group(arm.sites, ()),)) or 0]

    def close(self) -> None:
        """Lets the sites forget what the open sessions needed."""
        for session in self._sessions.values():
            session.close()
            if not finish(session, self._sealed):
                _log.warning("a site did not close its session; it erases it at the deadline")
        self._sessions = {}

    def _opened(self, number: int, question: bytes) -> tuple[dict[str, Reply], Summary]:
        session = self._session(number)
        kept = self.folder / "answers" / f"{number}-{hashlib.sha256(question).hexdigest()}"

        def exchange(messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
            replies = self.carry(messages)
            for site, reply in replies.items():
                write_atomically(kept / f"{site}.reply", encode_reply(replace(reply, sealed=None)))
            return _sealed_of(replies)

        sums = run_step(session, exchange, question)
        replies = {site: decode_reply((kept / f"{site}.reply").read_bytes()) for site in session.members}
        for reply in replies.values():
            hiding = Hiding(reply.header.layout)
            if [vector.name for vector in hiding.vectors] == list(sums):
                return replies, hiding.summary(list(sums.values()))
        raise ExchangeError("no site told the layout of the sum that was opened -> see that all run one rhe")

    def _session(self, number: int) -> ServerSession:
        if number not in self._sessions:
            sites = hiding_sets(self.plan)[number]
            asked = Question("session", statistics_phase(number), 1, (), SESSION_AGE_S, sites)
            session = ServerSession(self.coordinator, self.folder / "sessions" / str(number), asked)
            open_session(session, self._sealed)
            self._sessions[number] = session
        return self._sessions[number]

    def _sealed(self, messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
        return _sealed_of(self.carry(messages))


@dataclass(frozen=True)
class HiddenRound:
    """A round that is open until what became of its sum is known."""

    server: ServerRound
    folder: Path

    def close(self, weights: FlatWeights) -> None:
        """From now on the sites are to hear which weights came of it; they evaluate and train no others."""
        if self.server.stage is Stage.OPENED:
            self.server.close(hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest())
        _closing(self.folder.parent).keep(self.server)

    def forget(self) -> None:
        """Removes what was kept of it, once the new weights are safe."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _closing(home: Path) -> Closing:
    return Closing(home / "close")


def _members(home: Path) -> tuple[str, ...]:
    """Whom the last round was summed over: who missed it does not know its weights, and rests."""
    try:
        return tuple(json.loads((home / "members").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def _sealed_of(replies: Mapping[str, Reply]) -> dict[str, Bytes]:
    return {site: reply.sealed.tobytes() for site, reply in replies.items() if reply.sealed is not None}


@contextmanager
def _told(question: str) -> Iterator[None]:
    """What goes wrong inside is told with its question, its site and what to do."""
    try:
        yield
    except SiteRefusedError as refusal:
        raise ExchangeError(
            f"{refusal.site}: {question} failed with {refusal.code}: {reason_of(refusal.code)}"
        ) from None
    except SecAggError as failure:
        raise ExchangeError(f"{question}: {failure}: {reason_of(failure.code)}") from None
