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
from functools import partial
from pathlib import Path

from common.errors import ExchangeError
from common.hiding.next_weights import list_returned
from common.hiding.phases import ROUND_AGE_S, find_required, name_training_phase, phase_of
from common.hiding.rounds import hiding_of
from common.hiding.vectors import Hiding
from common.messages.groups import SiteGroup, find_hiding_set, hiding_sets_of
from common.messages.protocol import Reply, decode_reply, encode_reply, question_of
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.storage import write_atomically
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import open_session, run_round, run_step
from common.secagg.coordinator.files import Sums
from common.secagg.coordinator.gathering import Coordinator, HidingTask, SiteRefusedError
from common.secagg.coordinator.round import ServerRound, give_up
from common.secagg.wire.frames import Bytes
from common.stats.contract import Summary
from common.types import FlatWeights
from server.reasons import COSTS_ONE_MODEL, SiteFailureError, reason_of
from server.round_end import HiddenRound, find_pending_close, insist_closed
from server.sessions import SessionPool, SessionSeat
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
    _pools: dict[int, SessionPool] = field(default_factory=dict)

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
        with _name_failures("statistics"):
            replies, shared = self._open_sums(number, groups, question)
        return {
            group.sites: group.select(replies[group.sites[0]].summary)
            if group.alone
            else shared.part(str(place))
            for place, group in enumerate(groups)
        }

    def has_opened(self, groups: Sequence[SiteGroup], question: bytes) -> bool:
        """Whether the sum of a question is on the disk, so that no site is asked for it again."""
        number = find_hiding_set(self.plan, groups) or 0
        return self._pool_of(number).find_opened(question) is not None

    def train(
        self, training: tuple[CnnModel, Arm, Layout], number: int, weights: FlatWeights, question: bytes
    ) -> tuple[Summary, HiddenRound]:
        """The sums beside the update's of one training round, and the round, which has the update's words.

        It must be closed once the sums are used.

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
            keeps_words=True,
            required=find_required(self.plan, phase_of(self.plan, phase)),
        )
        folder = home / str(number)
        with _name_failures(f"{model.name}, {arm.name}, round {number} of {phase}"):
            server = ServerRound(self.coordinator, folder, asked, weights, question)
            sums = run_round(server, find_pending_close(home, arm).attach(server, self._carry_sealed))
        write_atomically(home / "members", json.dumps(server.members).encode())
        shared = hiding.without_updates().summary(list(sums.values()))
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

    def list_closings(self) -> tuple[Callable[[], None], ...]:
        """What closes each open session, so that the sites erase the keys that it needed."""
        seats = [seat for pool in self._pools.values() for seat in pool.seats]
        return tuple(partial(_close_seat, seat) for seat in seats)

    def _open_sums(
        self, number: int, groups: Sequence[SiteGroup], question: bytes
    ) -> tuple[dict[str, Reply], Summary]:
        """The members' replies, without their protocol messages, and the opened sum of one hiding set.

        Raises
        ------
        SiteRefusedError
            If a site refuses; if because of a model, that is kept.
        ExchangeError
            If no site gave the layout of the opened sum.
        """
        answers_folder = self.folder / "answers" / f"{number}-{hashlib.sha256(question).hexdigest()}"
        pool = self._pool_of(number)
        opened = pool.find_opened(question)
        if opened is not None:
            sums, members = run_step(opened, self._carry_sealed, question), opened.members
        else:
            with pool.take_seat(question, groups) as seat:
                sums = self._ask_session(seat, answers_folder, question)
                members = seat.last.members
        replies = {site: decode_reply((answers_folder / f"{site}.reply").read_bytes()) for site in members}
        asked = question_of(question)
        for reply in replies.values():
            hiding = Hiding.of_question(asked, reply.header.layout)
            if [vector.name for vector in hiding.vectors] == list(sums):
                return replies, hiding.summary(list(sums.values()))
        raise ExchangeError(
            "no site gave the layout of the opened sum -> see that all sites run the same version of rhe"
        )

    def _ask_session(self, seat: SessionSeat, answers_folder: Path, question: bytes) -> Sums:
        """The opened sum, asked of the sites; what they show of themselves alone is on the disk then.

        Raises
        ------
        SiteRefusedError
            If a site refuses. Where it does because of a model, the session is given up, and the study goes
            on in another.
        """

        def exchange(messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
            replies = self.carry(messages)
            for site, reply in replies.items():
                own = bytes(encode_reply(replace(reply, sealed=None)))
                write_atomically(answers_folder / f"{site}.reply", own)
            return _read_sealed(replies)

        # Statistics are of all sites of the set: no result may name a site that is not in its sum
        open_session(seat.last, self._carry_sealed, is_complete=True)
        try:
            return run_step(seat.last, exchange, question)
        except SiteRefusedError as refusal:
            if refusal.code in COSTS_ONE_MODEL:
                seat.give_up()
            raise

    def _pool_of(self, number: int) -> SessionPool:
        if number not in self._pools:
            sites = hiding_sets_of(self.plan)[number]
            self._pools[number] = SessionPool(
                self.coordinator, self.folder / "sessions", number, sites, self._carry_sealed
            )
        return self._pools[number]

    def _carry_sealed(self, messages: Mapping[str, bytes]) -> Mapping[str, Bytes]:
        return _read_sealed(self.carry(messages))


def _close_seat(seat: SessionSeat) -> None:
    if not seat.close():
        _log.warning("a site did not close its session; it erases it at the deadline")


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
