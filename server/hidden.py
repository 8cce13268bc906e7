"""The coordinator's side of hidden sums: it opens the sum over all sites and never sees one site's part.

Opened sums lie in the run's folder, so that a study that is resumed reads them from there.
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

import numpy as np

from common.errors import ExchangeError
from common.hiding.next_weights import list_returned
from common.hiding.phases import ROUND_AGE_S, SESSION_AGE_S, name_statistics_phase, name_training_phase
from common.hiding.returned import find_receivers
from common.hiding.rounds import hiding_of
from common.hiding.vectors import Hiding
from common.messages.groups import SiteGroup, find_hiding_set, hiding_sets_of
from common.messages.protocol import Reply, decode_reply, encode_reply, question_of
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.storage import write_atomically
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, open_session, run_round, run_step
from common.secagg.coordinator.gathering import Coordinator, HidingTask, SiteRefusedError
from common.secagg.coordinator.round import ServerRound, give_up
from common.secagg.coordinator.session import ServerSession
from common.secagg.wire.frames import Bytes
from common.stats.contract import Summary
from common.types import FlatWeights
from server.reasons import COSTS_ONE_MODEL, SiteFailureError, reason_of
from server.round_end import HiddenRound, find_pending_close, insist_closed
from server.transcripts import TranscriptPost

_log = logging.getLogger(__name__)

Carry = Callable[[Mapping[str, bytes]], Mapping[str, Reply]]
"""Takes a message to each site; returns the answers of those that gave one in time."""


@dataclass
class HiddenSums:
    """Sums of one study that only all sites together can open.

    Attributes
    ----------
    plan : StudyPlan
        It says which sums are hidden, and among whom.
    coordinator : Coordinator
        Its key, and the roster that the authority signed.
    folder : Path
        Where opened sums and open rounds are kept.
    carry : callable
        Takes a message to each site, as `Carry`.
    absent : mapping of str to frozenset of int
        By phase, numbers of the sites whose absence from its sums the authority waived.
    transcripts : TranscriptPost
        What the sites still have to be told of opened sums, with whatever they are asked next.
    """

    plan: StudyPlan
    coordinator: Coordinator
    folder: Path
    carry: Carry
    absent: Mapping[str, frozenset[int]]
    transcripts: TranscriptPost = field(init=False)
    _groups: Sequence[SiteGroup] = ()
    _sessions: dict[int, list[ServerSession]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.transcripts = TranscriptPost(self.coordinator, self.folder / "sessions")

    def gather(self, groups: Sequence[SiteGroup], question: bytes) -> dict[tuple[str, ...], Summary]:
        """The sum over each group, by its sites: opened for several sites, as answered for one alone.

        Parameters
        ----------
        groups : sequence of SiteGroup
            At least one of them has several sites.
        question : bytes
            The signed request, the same for all.

        Raises
        ------
        ExchangeError
            If a site refuses, does not answer, or answers with other arrays.
        """
        number = find_hiding_set(self.plan, groups) or 0
        self._groups = groups
        with _name_failures("statistics"):
            replies, shared = self._open_sums(number, question)
        return {
            group.sites: group.select(replies[group.sites[0]].summary)
            if group.alone
            else shared.part(str(place))
            for place, group in enumerate(groups)
        }

    def has_opened(self, groups: Sequence[SiteGroup], question: bytes) -> bool:
        """Whether the sum of a question is on the disk, so that no site is asked for it again."""
        number = find_hiding_set(self.plan, groups) or 0
        return any(session.has_opened(question) for session in self._list_sessions(number))

    def train(
        self, training: tuple[CnnModel, Arm, Layout], number: int, weights: FlatWeights, question: bytes
    ) -> tuple[Summary, HiddenRound]:
        """The sums of one training round, and the round, which must be closed once the sums are used.

        The question of a round carries the CLOSE of the round before.

        Parameters
        ----------
        training : (CnnModel, Arm, Layout)
            What is trained, on whom, and the layout of its weights.
        number : int
            Number of the round, from 1.
        weights : float32 vector
            The global model from which the sites train.
        question : bytes
            The signed request.

        Raises
        ------
        ExchangeError
            If too few sites take part, or one refuses.
        """
        model, arm, layout = training
        hiding = hiding_of(self.plan, layout)
        home = self._folder_of(model, arm)
        sites = _read_members(home) or self._trainers_of(arm)
        phase = name_training_phase(self.plan, model, arm)
        absent = self.absent.get(phase, frozenset())
        asked = HidingTask(
            "round",
            phase,
            number,
            hiding.vectors,
            ROUND_AGE_S,
            sites,
            absent,
            returned=list_returned(self.plan, layout),
        )
        folder = home / str(number)
        with _name_failures(f"{model.name}, {arm.name}, round {number} of {phase}"):
            model_bytes = np.ascontiguousarray(weights, "<f4").data.cast("B")
            server = ServerRound(self.coordinator, folder, asked, model_bytes, question)
            sums = run_round(server, find_pending_close(home, arm).attach(server, self._carry_sealed))
        write_atomically(home / "members", json.dumps(server.members).encode())
        shared = hiding.summary([sums[vector.name] for vector in hiding.vectors])
        return shared, HiddenRound(server, folder, arm)

    def settle(self, model: CnnModel, arm: Arm) -> None:
        """Send the sites the CLOSE of a training's last round, unless all have confirmed it.

        Raises
        ------
        ExchangeError
            If a site refuses or does not answer.
        """
        home = self._folder_of(model, arm)
        with _name_failures(f"{model.name}, {arm.name}, the end"):
            find_pending_close(home, arm).send(self.coordinator, _read_members(home), self._carry_sealed)

    def abandon(self, model: CnnModel, arm: Arm) -> None:
        """End a training that failed: the sites erase its open round, whose sum is never opened.

        It may be called again until all sites have confirmed; without an open round it sends nothing.

        Raises
        ------
        ExchangeError
            If a site refuses or does not answer.
        """
        home = self._folder_of(model, arm)
        sites = _read_members(home) or self._trainers_of(arm)
        with _name_failures(f"{model.name}, {arm.name}, the end"):
            for folder in _list_rounds(home):
                told = give_up(self.coordinator, folder)
                others = give_up(self.coordinator, folder, is_told=False)
                if told is not None and others is not None:
                    closes = {site: told if site in arm.sites else others for site in sites}
                    insist_closed(self.coordinator, closes, self._carry_sealed)
                shutil.rmtree(folder)
            find_pending_close(home, arm).send(self.coordinator, _read_members(home), self._carry_sealed)

    def _folder_of(self, model: CnnModel, arm: Arm) -> Path:
        return self.folder / "rounds" / model.name / arm.name

    def _trainers_of(self, arm: Arm) -> tuple[str, ...]:
        return hiding_sets_of(self.plan)[find_hiding_set(self.plan, (SiteGroup(arm.sites, ()),)) or 0]

    def close(self) -> None:
        """Close the open sessions, so that the sites erase the keys that these needed."""
        for sessions in self._sessions.values():
            self._close_session(sessions[-1])
        self._sessions = {}

    def _close_session(self, session: ServerSession) -> None:
        session.close("lost" if session.pending else "opened")
        if not finish(session, self._carry_sealed):
            _log.warning("a site did not close its session; it erases it at the deadline")

    def _open_sums(self, number: int, question: bytes) -> tuple[dict[str, Reply], Summary]:
        """The members' replies, without their protocol messages, and the opened sum of one hiding set.

        Raises
        ------
        SiteRefusedError
            If a site refuses; if because of a model, that is kept.
        ExchangeError
            If no site gave the layout of the opened sum.
        """
        session = self._session_of(number, question)
        answers_folder = self.folder / "answers" / f"{number}-{hashlib.sha256(question).hexdigest()}"

        def exchange(messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
            replies = self.carry(messages)
            for site, reply in replies.items():
                write_atomically(answers_folder / f"{site}.reply", encode_reply(replace(reply, sealed=None)))
            return _read_sealed(replies)

        try:
            sums = run_step(session, exchange, question)
        except SiteRefusedError as refusal:
            if refusal.code in COSTS_ONE_MODEL:
                write_atomically(self._name_refused(number), session.pending.encode())
            raise
        replies = {
            site: decode_reply((answers_folder / f"{site}.reply").read_bytes()) for site in session.members
        }
        asked = question_of(question)
        for reply in replies.values():
            hiding = Hiding.of_question(asked, reply.header.layout)
            if [vector.name for vector in hiding.vectors] == list(sums):
                return replies, hiding.summary(list(sums.values()))
        raise ExchangeError(
            "no site gave the layout of the opened sum -> see that all sites run the same version of rhe"
        )

    def _session_of(self, number: int, question: bytes) -> ServerSession:
        """The session of a hiding set that has answered the question, or that is to be asked.

        Sites do not answer a session's next question before the last one's sum is open. Where a site refused
        the last one because of a model, the session is given up, and the study goes on in another.
        """
        sessions = self._list_sessions(number)
        for session in sessions:
            if session.has_opened(question):
                return session
        last, refused = sessions[-1], self._name_refused(number)
        given_up = refused.read_text(encoding="utf-8") if refused.exists() else ""
        if last.pending and last.pending == given_up != hashlib.sha256(question).hexdigest():
            self._close_session(last)
            sessions.append(self._make_session(number, len(sessions) + 1))
        # Statistics are of all sites of the set: no result may name a site that is not in its sum
        open_session(sessions[-1], self._carry_sealed, is_complete=True)
        return sessions[-1]

    def _list_sessions(self, number: int) -> list[ServerSession]:
        if number not in self._sessions:
            self._sessions[number] = self._find_sessions(number)
        return self._sessions[number]

    def _find_sessions(self, number: int) -> list[ServerSession]:
        """The sessions of a hiding set that were begun, or the first one; all but the last were given up."""
        sessions = [self._make_session(number, 1)]
        while self._name_session(number, len(sessions) + 1).exists():
            # A site that has not heard of its end would not join another
            finish(sessions[-1], self._carry_sealed)
            sessions.append(self._make_session(number, len(sessions) + 1))
        return sessions

    def _make_session(self, number: int, count: int) -> ServerSession:
        sites = hiding_sets_of(self.plan)[number]
        asked = HidingTask("session", name_statistics_phase(number), count, (), SESSION_AGE_S, sites)
        folder = self._name_session(number, count)
        return ServerSession(
            self.coordinator, folder, asked, lambda vector: find_receivers(self._groups, vector)
        )

    def _name_session(self, number: int, count: int) -> Path:
        return self.folder / "sessions" / (str(number) if count == 1 else f"{number}.{count}")

    def _name_refused(self, number: int) -> Path:
        """The file with the digest of the last question that a site of the set refused because of a model."""
        return self.folder / "sessions" / f"{number}.refused"

    def _carry_sealed(self, messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
        return _read_sealed(self.carry(messages))


def _list_rounds(home: Path) -> list[Path]:
    """Folders of a training's rounds that are not done, in the rounds' order."""
    rounds = [path for path in home.glob("*") if path.name.isdecimal()]
    return sorted(rounds, key=lambda path: int(path.name))


def _read_members(home: Path) -> tuple[str, ...]:
    """The sites in the last round's sum; a site that missed that round lacks its weights and sits out."""
    try:
        return tuple(json.loads((home / "members").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def _read_sealed(replies: Mapping[str, Reply]) -> dict[str, Bytes]:
    return {site: reply.sealed.data for site, reply in replies.items() if reply.sealed is not None}


@contextmanager
def _name_failures(question: str) -> Iterator[None]:
    """A context that turns failures of the protocol into errors with question, site and what to do.

    Raises
    ------
    SiteFailureError
        In place of a site's refusal.
    ExchangeError
        In place of every other failure of the protocol.
    """
    try:
        yield
    except SiteRefusedError as refusal:
        raise SiteFailureError(refusal.site, question, refusal.code) from None
    except SecAggError as failure:
        raise ExchangeError(f"{question}: {failure}: {reason_of(failure.code)}") from None
