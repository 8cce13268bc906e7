"""The server's side of a round: ask, collect into one running sum, have it opened, close.

Before the server asks the sites for their seeds, all that it needs to resume is on its disk; before it tells
them to forget the round, so is the opened sum.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import StorageError
from common.runtime.array_digest import digest_array
from common.runtime.hash_beside import hash_beside
from common.secagg.codes import SecAggError
from common.secagg.coordinator.asking import Asking
from common.secagg.coordinator.files import ServerFiles, ServerRecord, Sums, Total
from common.secagg.coordinator.gathering import Assembly, Coordinator, HidingTask
from common.secagg.coordinator.opened_total import OpenedTotal, ToldClose, unmask
from common.secagg.crypto.rings import Vector, Words
from common.secagg.wire.frames import Bytes, MessageKind, sha256
from common.secagg.wire.messages import (
    NO_DIGEST,
    Close,
    CloseStatus,
    Contribution,
    Natural,
    Reveal,
    RevealRequest,
    SignedContribution,
    SignedJoin,
    Tag,
    set_digest,
)
from common.secagg.wire.pairing import derive_self_mask_key, make_round_context
from common.secagg.wire.payload import count_payload_bytes, view_words
from common.secagg.wire.tag_keys import read_tag, write_tag


class Stage(StrEnum):
    """How far a round has come."""

    JOINING = "joining"
    COLLECTING = "collecting"
    REVEALING = "revealing"
    OPENED = "opened"
    CLOSING = "closing"


class RoundRecord(ServerRecord):
    """What the server keeps of a round."""

    stage: Stage = Stage.JOINING
    """How far the round has come."""
    joins: tuple[SignedJoin, ...] = ()
    """The signed JOINs of all sites that joined."""
    members: tuple[SignedJoin, ...] = ()
    """The JOINs of the set's members in the latest attempt."""
    attempt: Natural = 0
    """Number of the latest attempt, from 0."""
    contributions: tuple[SignedContribution, ...] = ()
    """The signed M4 headers of all members; none before revealing."""
    status: CloseStatus = "lost"
    """How the round ends as things stand."""
    result: str = NO_DIGEST
    """SHA-256 of what was made of the sum; `NO_DIGEST` if nothing was."""
    tags: tuple[Tag, ...] = ()
    """The opened tag of each vector; none before opening."""
    returned: tuple[str, ...] = ()
    """Names of the vectors whose sums come back to members."""
    weight: Natural = 0
    """Total weight of the sites, by which the result divides the sum; 0 if the sum itself says it."""


def give_up(coordinator: Coordinator, folder: Path, *, is_told: bool = True) -> bytes | None:
    """The CLOSE by which the sites forget the round in this folder, whose sum is never opened.

    It may be sent again and again. None if no round was begun there.

    Parameters
    ----------
    coordinator : Coordinator
    folder : Path
        Of the round.
    is_told : bool
        Whether the CLOSE of a round that was opened before brings its sums back.

    Raises
    ------
    ResumeError
        If the round's record is damaged.
    """
    files = ServerFiles(folder)
    record = files.read_record(RoundRecord)
    if record is None:
        return None
    if record.stage is not Stage.CLOSING:
        record = record.model_copy(update={"stage": Stage.CLOSING, "status": "lost"})
        files.write(record)
        files.drop_total("sums")
    return b"".join(_cut_close(coordinator, (files, None), record, is_told=is_told))


def _cut_close(
    coordinator: Coordinator,
    kept: tuple[ServerFiles, OpenedTotal | None],
    record: RoundRecord,
    *,
    is_told: bool,
) -> list[Bytes]:
    """The round's CLOSE in pieces, with the sums that come back for a member that is told them.

    Parameters
    ----------
    coordinator : Coordinator
    kept : (ServerFiles, OpenedTotal or None)
        Where the opened sums lie, and these themselves if they are in memory.
    record : RoundRecord
        Of the round.
    is_told : bool
        Whether the member is told the sums.
    """
    close = Close(
        hdr=sha256(record.request.body()),
        phase=record.request.phase,
        status=record.status,
        result=record.result,
        weight=record.weight,
    )
    if record.status != "opened" or record.result == NO_DIGEST or not record.returned or not is_told:
        return [coordinator.say(MessageKind.CLOSE, close)]
    files, opened = kept
    if opened is None:
        vectors = [spec.vector() for spec in record.request.vectors]
        opened = OpenedTotal(files.read_total("opened", vectors))
    told = opened.describe(record.returned, record.tags)
    front = coordinator.say(MessageKind.CLOSE, close.model_copy(update=told))
    return [front, *opened.view(record.returned)]


class ServerRound(Asking):
    """One round; a server that was killed makes it again with the same arguments and goes on.

    Parameters
    ----------
    coordinator : Coordinator
    folder : Path
        For this round only.
    question : HidingTask
    model : bytes or array
        The weights that the sites start from; of an array that cannot change, the digest is computed once.
    configuration : bytes
        All else that the sites compute from, the seed included.

    Raises
    ------
    ResumeError
        If the folder has another round's record, or a damaged one.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        folder: Path,
        question: HidingTask,
        model: Bytes | NDArray[np.float32] = b"",
        configuration: bytes = b"",
    ) -> None:
        super().__init__(coordinator)
        self._question = question
        self._total = Total(())
        self._opened: OpenedTotal | None = None
        if isinstance(model, np.ndarray):
            digest, content = digest_array(model), np.ascontiguousarray(model, "<f4").data.cast("B")
        else:
            digest, content = sha256(model), memoryview(model)
        self._payload = (content, configuration)
        self._sent: tuple[Bytes, ...] = self._payload
        self._files = ServerFiles(folder)
        request = question.request_from(coordinator, (digest, len(content)), configuration)
        self._record = self._files.begin(RoundRecord(request=request))
        self._assembly = Assembly(coordinator, question, self._record.request)
        for signed in self._record.joins:
            (name,) = coordinator.names((signed.join.site,))
            self._assembly.joins[name] = signed
        self._start()

    @property
    def stage(self) -> Stage:
        """How far the round has come."""
        return self._record.stage

    def proceed(self) -> None:
        """Go from joining to collecting with the sites that joined, or from collecting to revealing.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if no set is allowed; E_SET_INCOMPLETE if contributions are missing.
        ValueError
            If the round is at another stage.
        """
        if self.stage is Stage.JOINING:
            joins = tuple(self._assembly.joins.values())
            members = self._assembly.choose(self._heard)
            self._keep(stage=Stage.COLLECTING, joins=joins, members=members)
            return
        if self.stage is not Stage.COLLECTING:
            raise ValueError(f"a round cannot proceed from {self.stage}")
        self._check_complete()
        self._files.keep_pieces("sums", [self._total.payload])
        self._keep(stage=Stage.REVEALING, contributions=self._order_contributions())

    def retry(self) -> None:
        """Discard what was collected, and begin another attempt with only the sites that contributed.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if no such set is allowed.
        ValueError
            If the round is at another stage than collecting.
        """
        if self.stage is not Stage.COLLECTING:
            raise ValueError(f"no attempt can be repeated in {self.stage}")
        self._keep(members=self._assembly.choose(self._heard), attempt=self._record.attempt + 1)

    def open(self) -> Sums:
        """The sums over the set; they are on the disk when this returns, and the same when called again.

        Where the task `keeps_words`, those of model deltas are given by `view_opened`.

        Raises
        ------
        SecAggError
            E_SET_INCOMPLETE if seeds are missing; S_CANARY, and the round is lost, if masks are left.
        ValueError
            If the round has not come so far, or is lost.
        """
        if self.stage is Stage.REVEALING:
            self._check_complete()
            self._opened = OpenedTotal(self._total, self._unmask())
            self._keep(stage=Stage.OPENED, status="opened", tags=self._open_tags())
            self._files.drop_total("sums")
        elif self._record.status == "opened":
            self._opened = OpenedTotal(self._read_total("opened"))
        else:
            raise ValueError(f"a round cannot be opened in {self.stage}")
        return self._opened.total.decode_sums(without_deltas=self._question.keeps_words)

    def view_opened(self) -> dict[str, Words]:
        """The words of each opened sum by the vector's name.

        Raises
        ------
        ValueError
            If the sums were not opened in this process.
        """
        if self._opened is None:
            raise ValueError("the sums were not opened")
        total = self._opened.total
        return dict(zip([vector.name for vector in total.vectors], total.words, strict=True))

    def close(self, result: str = NO_DIGEST, weight: int = 0) -> None:
        """Let the sites forget the round.

        Parameters
        ----------
        result : str
            SHA-256 of what was made of the sum.
        weight : int
            What it divided the sum by; 0 if the sum itself says it.

        Raises
        ------
        ValueError
            If the sum has not been opened.
        """
        if self.stage is not Stage.OPENED:
            raise ValueError(f"a round cannot be closed in {self.stage}")
        self._keep(stage=Stage.CLOSING, result=result, returned=self._question.returned, weight=weight)

    def make_close(self, *, is_told: bool) -> bytes:
        """The message by which members forget the round; with its sums for those that are told them."""
        return b"".join(self.cut_close(is_told=is_told))

    def cut_close(self, *, is_told: bool) -> list[Bytes]:
        """The pieces of `make_close`; the sums are not copied."""
        return _cut_close(self._coordinator, (self._files, self._opened), self._record, is_told=is_told)

    def tell_close(self) -> ToldClose:
        """The message by which members that are told the sums forget the round."""
        front, *sums = self.cut_close(is_told=True)
        if not sums:
            return ToldClose(bytes(front))
        opened = self._opened or OpenedTotal(self._read_total("opened"))
        return ToldClose(bytes(front), self._files.locate("opened"), opened.locate(self._record.returned))

    def leave_model_out(self) -> None:
        """From now on, the question has no model: the sites have it, because they derived it themselves."""
        self._sent = self._payload[1:]

    def ask_with_model(self) -> bytes:
        """The question for sites that lack the model."""
        return self._coordinator.say(MessageKind.ROUND_REQUEST, self._record.request, *self._payload)

    def lose(self) -> None:
        """Give the round up."""
        self._keep(stage=Stage.CLOSING, status="lost")
        self._files.drop_total("sums")

    def _list_joins(self) -> tuple[SignedJoin, ...]:
        return self._record.members

    def _take(self, site: str, message: Bytes) -> None:
        match self.stage:
            case Stage.JOINING:
                self._assembly.receive(site, message)
            case Stage.COLLECTING:
                self._receive_contribution(site, message)
            case Stage.REVEALING:
                self._receive_seed(site, message)
            case _:
                self._assembly.receive_closed(site, message)

    def _keep(self, **update: object) -> None:
        self._record = self._record.model_copy(update=update)
        self._files.write(self._record)
        self._start()

    def _start(self) -> None:
        """Reset what was received: at the beginning of a stage, nobody has answered."""
        self._heard = set()
        self._seeds: dict[int, bytes] = {}
        self._tags: dict[int, tuple[str, ...]] = {}
        self._contributions: dict[str, SignedContribution] = {}
        if self.stage is Stage.COLLECTING:
            self._total = Total(self._question.vectors)
        elif self.stage is Stage.REVEALING and not self._total.vectors:
            self._total = self._read_total("sums")

    def _list_expected(self) -> tuple[str, ...]:
        match self.stage:
            case Stage.COLLECTING | Stage.REVEALING:
                return self.members
            case Stage.OPENED:
                return ()
            case _:
                return self._assembly.asked

    def _make_message(self) -> bytes:
        record = self._record
        match self.stage:
            case Stage.JOINING:
                return self._coordinator.say(MessageKind.ROUND_REQUEST, record.request, *self._sent)
            case Stage.COLLECTING:
                return self._assembly.contribute(record.attempt, record.members)
            case Stage.REVEALING:
                return self._coordinator.say(MessageKind.REVEAL_REQUEST, self._make_reveal_request())
            case _:
                return self.make_close(is_told=True)

    def _make_reveal_request(self) -> RevealRequest:
        return RevealRequest(
            hdr=self._assembly.hdr,
            phase=self._record.request.phase,
            attempt=self._record.attempt,
            contributions=self._record.contributions,
        )

    def _receive_contribution(self, site: str, message: Bytes) -> None:
        header, frame = self._coordinator.hear(site, message, MessageKind.CONTRIBUTION, Contribution)
        expected = (self._assembly.hdr, self._record.attempt, set_digest(self._record.members))
        if (header.hdr, header.attempt, header.set) != expected:
            raise SecAggError(f"site {site} contributed to another attempt", code="S_STALE")
        vectors = self._question.vectors
        is_whole = len(frame.payload) == count_payload_bytes(vectors)
        words = view_words(vectors, frame.payload) if is_whole else []
        with hash_beside() as beside:
            beside.add(frame.payload)
            if is_whole:
                self._total.add(words)
            is_signed = beside.end() == header.payload
        if not is_signed:
            if is_whole:
                self._total.add(words, -1)
            raise SecAggError(f"the words of site {site} are not those that it signed", code="S_PAYLOAD")
        if not is_whole:
            raise SecAggError(f"site {site} has other vectors than the round's", code="S_SHAPE")
        self._contributions[site] = SignedContribution(contribution=header, signature=frame.signature.hex())

    def _receive_seed(self, site: str, message: Bytes) -> None:
        header, _ = self._coordinator.hear(site, message, MessageKind.REVEAL, Reveal)
        if (header.hdr, header.attempt) != (self._assembly.hdr, self._record.attempt):
            raise SecAggError(f"site {site} revealed another attempt", code="S_STALE")
        if len(header.tags) != len(self._question.vectors):
            raise SecAggError(f"site {site} has not tagged all vectors", code="S_SHAPE")
        self._tags[header.site] = header.tags
        self._seeds[header.site] = bytes.fromhex(header.seed)

    def _unmask(self) -> str:
        """Subtract every site's own mask, keep the sums, and return the SHA-256 of those that come back.

        Raises
        ------
        SecAggError
            S_CANARY, and the round is lost, if masks are left.
        StorageError
            If they cannot be kept: it may be tried again.
        """
        record, returned = self._record, self._question.returned
        context = make_round_context(self._assembly.hdr, record.attempt, set_digest(record.members))

        def list_keys(vector: Vector) -> list[bytes]:
            seeds = self._seeds.items()
            return [derive_self_mask_key(seed, site, vector, context) for site, seed in seeds]

        try:
            with hash_beside() as beside:

                def take(vector: Vector, piece: Bytes) -> None:
                    if vector.name in returned:
                        beside.add(piece)

                pieces = unmask(self._total, list_keys, self._question.suite, take)
                self._files.keep_pieces("opened", pieces)
                # Only once: to keep what comes next may fail, and all be tried again
                self._seeds = {}
                return beside.end()
        except SecAggError:
            self.lose()
            raise
        except StorageError:
            # A part of it is unmasked
            self._total = self._read_total("sums")
            raise

    def _read_total(self, name: str) -> Total:
        return self._files.read_total(name, self._question.vectors)

    def _open_tags(self) -> tuple[str, ...]:
        """The sum of the members' tags of each vector, in which their masks cancel."""
        columns = zip(*self._tags.values(), strict=True)
        return tuple(write_tag(sum(read_tag(tag) for tag in column)) for column in columns)

    def _order_contributions(self) -> tuple[SignedContribution, ...]:
        return tuple(self._contributions[name] for name in self.members)
