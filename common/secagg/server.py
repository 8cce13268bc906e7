"""The server's side of a round: ask, collect into one running sum, have it opened, close.

What it needs to go on after it was killed is on its disk before the sites are asked for their seeds, and
what it opened before they are told to forget.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from common.secagg import masks
from common.secagg.coordinator import Assembly, Coordinator, Question
from common.secagg.errors import SecAggError
from common.secagg.messages import (
    NO_DIGEST,
    Contribution,
    Count,
    Reveal,
    RevealRequest,
    SignedContribution,
    SignedJoin,
    Status,
    set_digest,
)
from common.secagg.pairing import round_context, self_stream
from common.secagg.payload import views
from common.secagg.server_files import Record, ServerFiles, Sums, Total
from common.secagg.wire import Bytes, Kind, sha256


class Stage(StrEnum):
    """How far a round has come."""

    JOINING = "joining"
    COLLECTING = "collecting"
    REVEALING = "revealing"
    OPENED = "opened"
    CLOSING = "closing"


class RoundRecord(Record):
    """What the server keeps of a round."""

    stage: Stage = Stage.JOINING
    joins: tuple[SignedJoin, ...] = ()
    """Of all that joined."""
    members: tuple[SignedJoin, ...] = ()
    """Of this attempt."""
    attempt: Count = 0
    contributions: tuple[SignedContribution, ...] = ()
    status: Status = "lost"
    result: str = NO_DIGEST


class ServerRound:
    """One round; a server that was killed makes it anew with the same arguments and goes on.

    Parameters
    ----------
    coordinator : Coordinator
    folder : Path
        Of this round alone.
    question : Question
    model : bytes
        What the sites start from; hashed apart from the configuration.
    configuration : bytes
        With the seed.

    Raises
    ------
    ResumeError
        If the folder has another round, or a damaged one.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        folder: Path,
        question: Question,
        model: Bytes = b"",
        configuration: bytes = b"",
    ) -> None:
        self._coordinator = coordinator
        self._question = question
        self._payload = (model, configuration)
        self._files = ServerFiles(folder)
        request = question.request(coordinator, model, configuration)
        self._record = self._files.begin(RoundRecord(request=request))
        self._assembly = Assembly(coordinator, question, self._record.request)
        for signed in self._record.joins:
            (name,) = coordinator.names((signed.join.site,))
            self._assembly.joins[name] = signed
        self._start()

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._record.stage

    @property
    def members(self) -> tuple[str, ...]:
        """The set of the latest attempt; empty while sites join."""
        return self._coordinator.names(signed.join.site for signed in self._record.members)

    def requests(self) -> dict[str, bytes]:
        """What to send to each site that has not answered at this stage."""
        missing = self.missing()
        return dict.fromkeys(missing, self._message()) if missing else {}

    def missing(self) -> tuple[str, ...]:
        """Sites that have not answered at this stage."""
        return tuple(name for name in self._expected() if name not in self._heard)

    def receive(self, site: str, message: Bytes) -> None:
        """Takes a site's answer; one that was taken before is left aside.

        Raises
        ------
        SiteRefusedError
            If it is a refusal.
        SecAggError
            S_CONTEXT if no answer of the site is expected; S_SIG; S_STALE if it is of another attempt;
            S_PAYLOAD if its words are not those that it signed; S_SHAPE if they are not the plan's vectors.
        ProtocolError
            If it is malformed.
        """
        if site not in self._expected():
            raise SecAggError(f"no answer of site {site} is expected", code="S_CONTEXT")
        if site in self._heard:
            return
        match self.stage:
            case Stage.JOINING:
                self._assembly.receive(site, message)
            case Stage.COLLECTING:
                self._receive_contribution(site, message)
            case Stage.REVEALING:
                self._receive_seed(site, message)
            case _:
                self._assembly.receive_closed(site, message)
        self._heard.add(site)

    def proceed(self) -> None:
        """Goes from joining to collecting with the sites that joined, or on to the seeds.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if there is no set; E_SET_INCOMPLETE if contributions are missing.
        """
        if self.stage is Stage.JOINING:
            joins = tuple(self._assembly.joins.values())
            members = self._assembly.choose(self._heard)
            self._keep(stage=Stage.COLLECTING, joins=joins, members=members)
            return
        if self.stage is not Stage.COLLECTING:
            raise ValueError(f"a round cannot proceed from {self.stage}")
        self._check_complete()
        self._files.keep_total("sums", self._total)
        self._keep(stage=Stage.REVEALING, contributions=self._in_order())

    def retry(self) -> None:
        """Discards what was collected and asks those that contributed for another attempt without the others.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if there is no such set.
        """
        if self.stage is not Stage.COLLECTING:
            raise ValueError(f"no attempt can be repeated in {self.stage}")
        self._keep(members=self._assembly.choose(self._heard), attempt=self._record.attempt + 1)

    def open(self) -> Sums:
        """The sums over the set; on the disk when this returns, and the same when asked again.

        Raises
        ------
        SecAggError
            E_SET_INCOMPLETE if seeds are missing; S_CANARY, and the round is lost, if masks are left.
        """
        if self.stage is Stage.REVEALING:
            self._check_complete()
            self._unmask()
            try:
                self._total.decoded()
            except SecAggError:
                self.lose()
                raise
            self._files.keep_total("opened", self._total)
            self._keep(stage=Stage.OPENED, status="opened")
            self._files.drop_total("sums")
        if self._record.status != "opened":
            raise ValueError(f"a round cannot be opened in {self.stage}")
        return self._files.read_total("opened").decoded()

    def close(self, result: str = NO_DIGEST) -> None:
        """Lets the sites forget the round; `result` is the digest of what became of the sum."""
        if self.stage is not Stage.OPENED:
            raise ValueError(f"a round cannot be closed in {self.stage}")
        self._keep(stage=Stage.CLOSING, result=result)

    def lose(self) -> None:
        """Gives the round up."""
        self._keep(stage=Stage.CLOSING, status="lost")
        self._files.drop_total("sums")

    def _keep(self, **update: object) -> None:
        self._record = self._record.model_copy(update=update)
        self._files.write(self._record)
        self._start()

    def _start(self) -> None:
        """At the beginning of a stage, nobody has answered."""
        self._heard: set[str] = set()
        self._seeds: dict[int, bytes] = {}
        self._contributions: dict[str, SignedContribution] = {}
        if self.stage is Stage.COLLECTING:
            self._total = Total(self._question.vectors)
        elif self.stage is Stage.REVEALING:
            self._total = self._files.read_total("sums")

    def _expected(self) -> tuple[str, ...]:
        match self.stage:
            case Stage.COLLECTING | Stage.REVEALING:
                return self.members
            case Stage.OPENED:
                return ()
            case _:
                return self._assembly.asked

    def _message(self) -> bytes:
        record = self._record
        match self.stage:
            case Stage.JOINING:
                return self._coordinator.say(Kind.ROUND_REQUEST, record.request, *self._payload)
            case Stage.COLLECTING:
                return self._assembly.contribute(record.attempt, record.members)
            case Stage.REVEALING:
                return self._coordinator.say(Kind.REVEAL_REQUEST, self._reveal_request())
            case _:
                return self._assembly.close(record.status, record.result)

    def _reveal_request(self) -> RevealRequest:
        return RevealRequest(
            hdr=self._assembly.hdr,
            phase=self._record.request.phase,
            attempt=self._record.attempt,
            contributions=self._record.contributions,
        )

    def _receive_contribution(self, site: str, message: Bytes) -> None:
        header, frame = self._coordinator.hear(site, message, Kind.CONTRIBUTION, Contribution)
        expected = (self._assembly.hdr, self._record.attempt, set_digest(self._record.members))
        if (header.hdr, header.attempt, header.set) != expected:
            raise SecAggError(f"site {site} contributed to another attempt", code="S_STALE")
        if sha256(frame.payload) != header.payload:
            raise SecAggError(f"the words of site {site} are not those that it signed", code="S_PAYLOAD")
        words = views(self._question.vectors, frame.payload)
        for vector, into, more in zip(self._total.vectors, self._total.words, words, strict=True):
            masks.add(into, more, vector.ring)
        self._contributions[site] = SignedContribution(contribution=header, signature=frame.signature.hex())

    def _receive_seed(self, site: str, message: Bytes) -> None:
        header, _ = self._coordinator.hear(site, message, Kind.REVEAL, Reveal)
        if (header.hdr, header.attempt) != (self._assembly.hdr, self._record.attempt):
            raise SecAggError(f"site {site} revealed another attempt", code="S_STALE")
        self._seeds[header.site] = bytes.fromhex(header.seed)

    def _unmask(self) -> None:
        """Subtracts every site's own mask, once: a failure to keep the result must not subtract it twice."""
        record = self._record
        context = round_context(self._assembly.hdr, record.attempt, set_digest(record.members))
        for vector, words in zip(self._total.vectors, self._total.words, strict=True):
            for site, seed in self._seeds.items():
                key = self_stream(seed, site, vector, context)
                masks.add_stream(words, key, vector.ring, sign=-1, suite=self._question.suite)
        self._seeds = {}

    def _in_order(self) -> tuple[SignedContribution, ...]:
        return tuple(self._contributions[name] for name in self.members)

    def _check_complete(self) -> None:
        if self.missing():
            raise SecAggError(f"not answered: {', '.join(self.missing())}", code="E_SET_INCOMPLETE")
