"""The server's side of a session: one set, and as many small sums as a procedure asks for.

What was opened is kept by the digest of its parameters, so a procedure that is run again after the server
was killed is answered from the disk up to where it had come.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path

from common.errors import ResumeError
from common.secagg import masks
from common.secagg.asking import Asking
from common.secagg.coordinator import Assembly, Coordinator, Question
from common.secagg.errors import SecAggError
from common.secagg.messages import (
    NO_DIGEST,
    Admitted,
    Digest,
    Iterate,
    Iteration,
    SignedJoin,
    Status,
    set_digest,
)
from common.secagg.payload import read_layout, views
from common.secagg.server_files import Record, ServerFiles, Sums, Total
from common.secagg.wire import Bytes, Kind, sha256


class SessionStage(StrEnum):
    """How far a session has come."""

    JOINING = "joining"
    ADMITTING = "admitting"
    READY = "ready"
    ITERATING = "iterating"
    CLOSING = "closing"


class SessionRecord(Record):
    """What the server keeps of a session."""

    stage: SessionStage = SessionStage.JOINING
    members: tuple[SignedJoin, ...] = ()
    steps: tuple[Digest, ...] = ()
    """Digest of each iteration's parameters; while iterating, the last is not open yet."""
    status: Status = "opened"


class ServerSession(Asking):
    """One session; a server that was killed makes it anew with the same arguments and goes on.

    Parameters
    ----------
    coordinator : Coordinator
    folder : Path
        Of this session alone.
    question : Question

    Raises
    ------
    ResumeError
        If the folder has another session, or a damaged one.
    """

    def __init__(self, coordinator: Coordinator, folder: Path, question: Question) -> None:
        super().__init__(coordinator)
        self._question = question
        self._files = ServerFiles(folder)
        request = question.request(coordinator, b"", b"")
        self._record = self._files.begin(SessionRecord(request=request))
        self._assembly = Assembly(coordinator, question, self._record.request)
        self._parameters = b""
        self._start()

    @property
    def stage(self) -> SessionStage:
        """How far it has come."""
        return self._record.stage

    def proceed(self) -> None:
        """Goes from joining to the set's admission, or, once all have agreed to it, on to iterations.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if there is no set; E_SET_INCOMPLETE if a member has not agreed.
        """
        if self.stage is SessionStage.JOINING:
            self._keep(stage=SessionStage.ADMITTING, members=self._assembly.choose(self._heard))
        elif self.stage is SessionStage.ADMITTING:
            self._check_complete()
            self._keep(stage=SessionStage.READY)
        else:
            raise ValueError(f"a session cannot proceed from {self.stage}")

    def ask(self, parameters: bytes) -> Sums | None:
        """The sums at these parameters if they were opened before; else None, and they are asked for.

        Raises
        ------
        ResumeError
            If an iteration at other parameters is not open yet: no site would answer the next.
        """
        digest, steps = sha256(parameters), self._record.steps
        is_pending = self.stage is SessionStage.ITERATING
        opened = steps[:-1] if is_pending else steps
        if digest in opened:
            return self._files.read_total(f"step.{opened.index(digest) + 1}").decoded()
        if is_pending and digest != steps[-1]:
            raise ResumeError("an iteration at other parameters is not open yet -> ask for it first")
        if not is_pending and self.stage is not SessionStage.READY:
            raise ValueError(f"nothing can be asked in {self.stage}")
        self._parameters = parameters
        if not is_pending:
            self._keep(stage=SessionStage.ITERATING, steps=(*steps, digest))
        return None

    def open(self) -> Sums:
        """The sums over the set; on the disk when this returns.

        Raises
        ------
        SecAggError
            E_SET_INCOMPLETE if a member has not answered; S_SHAPE, with the sites' names, if the members
            have different vectors; S_CANARY if masks are left.
        """
        if self.stage is not SessionStage.ITERATING:
            raise ValueError(f"no iteration can be opened in {self.stage}")
        self._check_complete()
        self._check_layouts()
        sums = self._total.decoded()
        self._files.keep_total(f"step.{len(self._record.steps)}", self._total)
        self._keep(stage=SessionStage.READY)
        return sums

    def close(self, status: Status = "opened") -> None:
        """Lets the sites forget the session."""
        self._keep(stage=SessionStage.CLOSING, status=status)

    def _joins(self) -> tuple[SignedJoin, ...]:
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
        """At the beginning of a stage, nobody has answered."""
        self._heard = set()
        self._layouts: dict[str, bytes] = {}
        self._total = Total(())

    def _expected(self) -> tuple[str, ...]:
        match self.stage:
            case SessionStage.ADMITTING | SessionStage.ITERATING:
                return self.members
            case SessionStage.READY:
                return ()
            case _:
                return self._assembly.asked

    def _message(self) -> bytes:
        record = self._record
        match self.stage:
            case SessionStage.JOINING:
                return self._coordinator.say(Kind.ROUND_REQUEST, record.request)
            case SessionStage.ADMITTING:
                return self._assembly.contribute(0, record.members)
            case SessionStage.ITERATING:
                return self._coordinator.say(Kind.ITERATE, self._iterate(), self._parameters)
            case _:
                return self._assembly.close(record.status, NO_DIGEST)

    def _iterate(self) -> Iterate:
        record = self._record
        if sha256(self._parameters) != record.steps[-1]:
            raise ResumeError("the parameters of the open iteration are unknown -> ask for it again")
        return Iterate(
            hdr=self._assembly.hdr,
            phase=record.request.phase,
            set=set_digest(record.members),
            step=len(record.steps),
            input=record.steps[-1],
        )

    def _receive_admitted(self, site: str, message: Bytes) -> None:
        header, _ = self._coordinator.hear(site, message, Kind.ADMITTED, Admitted)
        if (header.hdr, header.set) != (self._assembly.hdr, set_digest(self._record.members)):
            raise SecAggError(f"site {site} agreed to another set", code="S_CONTEXT")

    def _receive_iteration(self, site: str, message: Bytes) -> None:
        header, frame = self._coordinator.hear(site, message, Kind.ITERATION, Iteration)
        expected = (self._assembly.hdr, set_digest(self._record.members), len(self._record.steps))
        if (header.hdr, header.set, header.step) != expected:
            raise SecAggError(f"site {site} answered another iteration", code="S_STALE")
        if sha256(frame.payload) != header.payload:
            raise SecAggError(f"the words of site {site} are not those that it signed", code="S_PAYLOAD")
        layout = bytes(frame.payload[: header.layout_bytes])
        vectors = read_layout(layout)
        words = views(vectors, frame.payload[len(layout) :])
        if not self._layouts:
            self._total = Total(vectors)
        if self._total.vectors == vectors:
            for vector, into, more in zip(vectors, self._total.words, words, strict=True):
                masks.add(into, more, vector.ring)
        self._layouts[site] = layout

    def _check_layouts(self) -> None:
        usual, _ = Counter(self._layouts.values()).most_common(1)[0]
        others = [name for name, layout in self._layouts.items() if layout != usual]
        if others:
            raise SecAggError(
                f"other vectors than the rest have: {', '.join(sorted(others))}", code="S_SHAPE"
            )
