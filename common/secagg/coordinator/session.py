"""The server's side of a session: one set, and as many small sums as a procedure asks for.

Every opened sum is kept by the digest of its parameters. A procedure that runs again after the server was
killed is therefore answered from the disk until it reaches the point where it was interrupted.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path

from common.errors import ResumeError
from common.secagg.codes import SecAggError
from common.secagg.coordinator.asking import Asking
from common.secagg.coordinator.files import ServerFiles, ServerRecord, Sums, Total
from common.secagg.coordinator.forwarding import (
    MemberAnswer,
    Returns,
    drop_step,
    join_answers,
    keep_step,
    name_step,
    return_nothing,
)
from common.secagg.coordinator.gathering import Assembly, Coordinator, HidingTask
from common.secagg.crypto import masks
from common.secagg.wire.frames import Bytes, MessageKind, sha256
from common.secagg.wire.messages import (
    NO_DIGEST,
    Admitted,
    CloseStatus,
    Digest,
    Iterate,
    Iteration,
    SignedJoin,
    set_digest,
)
from common.secagg.wire.payload import cut_rooms, digest_iteration, read_layout, view_words


class SessionStage(StrEnum):
    """How far a session has come."""

    JOINING = "joining"
    ADMITTING = "admitting"
    READY = "ready"
    ITERATING = "iterating"
    CLOSING = "closing"


class SessionRecord(ServerRecord):
    """What the server keeps of a session."""

    stage: SessionStage = SessionStage.JOINING
    """How far the session has come."""
    members: tuple[SignedJoin, ...] = ()
    """The JOINs of the set's members; none while joining."""
    steps: tuple[Digest, ...] = ()
    """SHA-256 of each iteration's parameters; while iterating, the last one's sum is not open yet."""
    status: CloseStatus = "opened"
    """How the session ends as things stand."""


class ServerSession(Asking):
    """One session; a server that was killed makes it again with the same arguments and goes on.

    Parameters
    ----------
    coordinator : Coordinator
    folder : Path
        For this session only.
    question : HidingTask
    returns : callable
        To which sites a vector's sum of the iteration that is asked comes back; to none by default.

    Raises
    ------
    ResumeError
        If the folder has another session's record, or a damaged one.
    """

    def __init__(
        self, coordinator: Coordinator, folder: Path, question: HidingTask, returns: Returns = return_nothing
    ) -> None:
        super().__init__(coordinator)
        self._question = question
        self._folder = folder
        self._returns = returns
        self._files = ServerFiles(folder)
        request = question.request(coordinator, b"", b"")
        self._record = self._files.begin(SessionRecord(request=request))
        self._assembly = Assembly(coordinator, question, self._record.request)
        self._parameters = b""
        self._set: tuple[tuple[SignedJoin, ...], Digest] | None = None
        self._start()

    @property
    def stage(self) -> SessionStage:
        """How far the session has come."""
        return self._record.stage

    @property
    def pending(self) -> str:
        """SHA-256 of the parameters of the iteration that is not open yet; empty if there is none."""
        return self._record.steps[-1] if self.stage is SessionStage.ITERATING else ""

    def has_opened(self, parameters: bytes) -> bool:
        """Whether the sums at these parameters were opened; they still are when the session is closed."""
        return sha256(parameters) in self._list_opened()

    def proceed(self) -> None:
        """Go from joining to admitting the set, or, once all members have agreed to it, to iterations.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if no set is allowed; E_SET_INCOMPLETE if a member has not agreed.
        ValueError
            If the session is at another stage.
        """
        if self.stage is SessionStage.JOINING:
            self._keep(stage=SessionStage.ADMITTING, members=self._assembly.choose(self._heard))
        elif self.stage is SessionStage.ADMITTING:
            self._check_complete()
            self._keep(stage=SessionStage.READY)
        else:
            raise ValueError(f"a session cannot proceed from {self.stage}")

    def ask(self, parameters: bytes) -> Sums | None:
        """The sums at these parameters if they were opened before; otherwise None, and an iteration begins.

        Raises
        ------
        ResumeError
            If an iteration at other parameters is not open yet: no site would answer the next.
        ValueError
            If the set is not agreed on, or the session is closed.
        """
        digest, steps, opened = sha256(parameters), self._record.steps, self._list_opened()
        is_pending = self.stage is SessionStage.ITERATING
        if digest in opened:
            return self._files.read_total(f"step.{opened.index(digest) + 1}").decode_sums()
        if is_pending and digest != steps[-1]:
            raise ResumeError("an iteration at other parameters is not open yet -> ask for it first")
        if not is_pending and self.stage is not SessionStage.READY:
            raise ValueError(f"nothing can be asked in {self.stage}")
        self._parameters = parameters
        if not is_pending:
            self._keep(stage=SessionStage.ITERATING, steps=(*steps, digest))
        return None

    def open(self) -> Sums:
        """The sums over the set; they, and what comes back to the sites, are on the disk when this returns.

        Raises
        ------
        SecAggError
            E_SET_INCOMPLETE if a member has not answered; S_SHAPE, with the sites' names, if the members
            have different vectors; S_CANARY if masks are left.
        ValueError
            If no iteration was asked for.
        """
        if self.stage is not SessionStage.ITERATING:
            raise ValueError(f"no iteration can be opened in {self.stage}")
        self._check_complete()
        self._check_layouts()
        sums = self._total.decode_sums()
        self._keep_answers()
        self._files.keep_total(f"step.{len(self._record.steps)}", self._total)
        self._keep(stage=SessionStage.READY)
        return sums

    def _keep_answers(self) -> None:
        """Keep what comes back to the sites; what they got of the step before is needed no more."""
        step = len(self._record.steps)
        session = (self._record.request.phase, self._assembly.hdr, step)
        forwarded = join_answers(session, self._answers, self._returned)
        if forwarded is not None:
            keep_step(name_step(self._folder, step), forwarded)
        drop_step(name_step(self._folder, step - 1))

    def _find_returned(self) -> dict[int, tuple[int, ...]]:
        """To which members the sum of each vector comes back, by its position, where it does to any."""
        numbers = {
            name: signed.join.site for name, signed in zip(self.members, self._list_joins(), strict=True)
        }
        returned = {}
        for place, vector in enumerate(self._total.vectors):
            names = self._returns(vector.name)
            sites = tuple(sorted(number for name, number in numbers.items() if name in names))
            if sites:
                returned[place] = sites
        return returned

    def close(self, status: CloseStatus = "opened") -> None:
        """Let the sites forget the session; how it ended stays as it was said first."""
        if self.stage is SessionStage.CLOSING:
            return
        self._keep(stage=SessionStage.CLOSING, status=status)

    def drop_forwarded(self) -> None:
        """Erase what is passed on to the sites: once all have erased the session, none goes on in it."""
        for step in range(len(self._record.steps) + 1)[-2:]:
            drop_step(name_step(self._folder, step))

    def _list_opened(self) -> tuple[str, ...]:
        """SHA-256 of the parameters of each iteration whose sum is on the disk."""
        record = self._record
        is_short = self.stage is SessionStage.ITERATING or record.status != "opened"
        return record.steps[:-1] if is_short else record.steps

    def _list_joins(self) -> tuple[SignedJoin, ...]:
        return self._record.members

    def _take(self, site: str, message: Bytes) -> None:
        match self.stage:
            case SessionStage.JOINING:
                self._assembly.receive(site, message)
            case SessionStage.ADMITTING:
                self._receive_admitted(site, message)
            case SessionStage.ITERATING:
                self._receive_iteration(site, message)
            case _:
                self._assembly.receive_closed(site, message)

    def _keep(self, **update: object) -> None:
        self._record = self._record.model_copy(update=update)
        self._files.write(self._record)
        self._start()

    def _start(self) -> None:
        """Reset what was received: at the beginning of a stage, nobody has answered."""
        self._heard = set()
        self._layouts: dict[str, bytes] = {}
        self._answers: dict[int, MemberAnswer] = {}
        self._total = Total(())
        self._returned: dict[int, tuple[int, ...]] = {}

    def _list_expected(self) -> tuple[str, ...]:
        match self.stage:
            case SessionStage.ADMITTING | SessionStage.ITERATING:
                return self.members
            case SessionStage.READY:
                return ()
            case _:
                return self._assembly.asked

    def _make_message(self) -> bytes:
        record = self._record
        match self.stage:
            case SessionStage.JOINING:
                return self._coordinator.say(MessageKind.ROUND_REQUEST, record.request)
            case SessionStage.ADMITTING:
                return self._assembly.contribute(0, record.members)
            case SessionStage.ITERATING:
                return self._coordinator.say(MessageKind.ITERATE, self._make_iterate(), self._parameters)
            case _:
                return self._assembly.close(record.status, NO_DIGEST)

    def _make_iterate(self) -> Iterate:
        record = self._record
        if sha256(self._parameters) != record.steps[-1]:
            raise ResumeError("the parameters of the open iteration are unknown -> ask for it again")
        return Iterate(
            hdr=self._assembly.hdr,
            phase=record.request.phase,
            set=self._digest_set(),
            step=len(record.steps),
            input=record.steps[-1],
        )

    def _receive_admitted(self, site: str, message: Bytes) -> None:
        header, _ = self._coordinator.hear(site, message, MessageKind.ADMITTED, Admitted)
        if (header.hdr, header.set) != (self._assembly.hdr, self._digest_set()):
            raise SecAggError(f"site {site} agreed to another set", code="S_CONTEXT")

    def _receive_iteration(self, site: str, message: Bytes) -> None:
        header, frame = self._coordinator.hear(site, message, MessageKind.ITERATION, Iteration)
        expected = (self._assembly.hdr, self._digest_set(), len(self._record.steps))
        if (header.hdr, header.set, header.step) != expected:
            raise SecAggError(f"site {site} answered another iteration", code="S_STALE")
        layout = bytes(frame.payload[: header.layout_bytes])
        vectors, body = read_layout(layout), frame.payload[len(layout) :]
        rooms = cut_rooms(vectors, body)
        parts = [sha256(room) for room in rooms]
        if digest_iteration(layout, parts) != header.payload:
            raise SecAggError(f"the words of site {site} are not those that it signed", code="S_PAYLOAD")
        if not self._layouts:
            self._total = Total(vectors)
            self._returned = self._find_returned()
        if self._total.vectors == vectors:
            for vector, into, more in zip(vectors, self._total.words, view_words(vectors, body), strict=True):
                masks.add_words(into, more, vector.ring)
            places = tuple(self._returned)
            self._answers[header.site] = MemberAnswer.of((header, frame), parts, rooms, places)
        self._layouts[site] = layout

    def _digest_set(self) -> Digest:
        """SHA-256 of the set, computed once for all of its members' answers."""
        if self._set is None or self._set[0] is not self._record.members:
            self._set = self._record.members, set_digest(self._record.members)
        return self._set[1]

    def _check_layouts(self) -> None:
        usual, _ = Counter(self._layouts.values()).most_common(1)[0]
        others = [name for name, layout in self._layouts.items() if layout != usual]
        if others:
            raise SecAggError(
                f"sites with other vectors than most have: {', '.join(sorted(others))}", code="S_SHAPE"
            )
