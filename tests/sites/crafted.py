"""A study whose sums are hidden, in this process, and a coordinator that signs whatever it likes.

Each site is an engine with keys, masks, ledger and door; only the reading of its files is left out: its
patients are made by hand. Honest questions go their way through `server.exchange`; before each, crafted ones
may be put to a site.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress

from client.answers.samples import SiteSamples
from client.cohort.cases import PreparedCase, PreparedSite
from client.engine import SiteEngine, open_engine
from common.cohort.eligibility import Flow
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters, Reply, Request, decode_reply, decode_request, encode_request
from common.plan.study import StudyPlan
from common.secagg.wire.forwarded import read_transcript, take_transcripts
from common.secagg.wire.frames import MessageKind, is_sealed, pack, sha256, unpack
from common.secagg.wire.messages import Iterate, ProtocolRefusal, read
from server.exchange import Exchange
from server.run import StudyRun
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import (
    derive_simulated_key,
    derive_simulated_parties,
    derive_simulated_roster,
)

SITE_TOML = """name = "{name}"
table = "cohort.csv"
device = "cpu"
[policy]
profiles = ["standard"]
model_release = true
"""


@dataclass(frozen=True)
class Heard:
    """A question on its way to a site.

    Attributes
    ----------
    site : str
        To whom.
    request : Request
        What is asked.
    message : bytes
        As it came.
    told : bytes
        The transcripts that stand before it.
    iterate : Iterate or None
        The header of the hidden sum that it asks for; None where it comes bare.
    """

    site: str
    request: Request
    message: bytes
    told: bytes
    iterate: Iterate | None

    def change(self, parameters: Parameters | None = None, **header: object) -> Request:
        """The question with some fields, and all parameters, replaced."""
        changed = self.request.header.model_copy(update=header)
        if parameters is None:
            return replace(self.request, header=changed)
        return Request(changed, self.request.weights, parameters)


@dataclass(frozen=True)
class Tried:
    """A crafted question and what came of it.

    Attributes
    ----------
    name : str
        Of the attack.
    heard : Heard
        The honest question in whose place it came.
    asked : RequestHeader
        What was asked instead.
    code : str
        Of the refusal; OK if there was none.
    numbers : int
        How many numbers left, by the site's ledger.
    """

    name: str
    heard: Heard
    asked: RequestHeader
    code: str
    numbers: int


Craft: TypeAlias = Callable[[Heard], Iterable[tuple[str, Request]]]
"""What is tried in place of a question, by the attack's name."""


@dataclass
class CraftedStudy:
    """The sites of one study and the line to them.

    Attributes
    ----------
    plan : StudyPlan
    folder : Path
        The sites' folders, and the run's.
    craft : callable or None
        What is put to the sites of `attacked` before each honest question.
    forked : frozenset of str
        Attacks that are put to a twin of the site: the step would be over afterwards.
    attacked : tuple of str
        Names of these sites.
    answers : list of (Heard, Reply)
        Every honest question with its answer, in their order.
    tried : list of Tried
        Every crafted one.
    """

    plan: StudyPlan
    folder: Path
    craft: Craft | None = None
    forked: frozenset[str] = frozenset()
    attacked: tuple[str, ...] = ("a",)
    answers: list[tuple[Heard, Reply]] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    engines: dict[str, SiteEngine] = field(default_factory=dict)
    _twins: Iterator[int] = field(default_factory=count)

    def open(self, patients: Mapping[str, Sequence[PreparedCase]], **settings: str) -> Exchange:
        """The exchange with the sites' engines; `settings` are added to their files, by site."""
        self.run = StudyRun(
            self.plan, self.folder / "run", self.key, derive_simulated_roster(self.plan), resume=True
        )
        for name, cases in patients.items():
            place = self.folder / name
            place.mkdir(parents=True)
            (place / "site.toml").write_text(SITE_TOML.format(name=name) + settings.get(name, ""))
            self.engines[name] = self.start(name, cases)
        exchange = Exchange(LocalGrid({name: self._tap(name) for name in self.engines}), self.plan, self.key)
        roster = derive_simulated_roster(self.plan)
        assert roster is not None
        exchange.hide(roster, self.run.protocol, {})
        exchange.enrol(patience_s=0)
        return exchange

    @property
    def key(self) -> Ed25519PrivateKey:
        """The coordinator's."""
        return derive_simulated_key(self.plan)

    def start(self, name: str, cases: Sequence[PreparedCase], state: Path | None = None) -> SiteEngine:
        """A site's engine, as a new process has it; its state lies in its folder, unless said otherwise."""
        state = state or self.folder / name / "state"
        engine = open_engine(
            self.folder / name, self.plan, self.key.public_key(), state, Progress(disable=True)
        )
        engine.party = derive_simulated_parties(self.plan, {name: state})[name]
        flow = Flow(len(cases), (), (), tuple(case.patient for case in cases))
        prepared = PreparedSite(engine.settings, flow, tuple(cases), (), ())
        engine._samples = SiteSamples(prepared)
        return engine

    def restart(self, name: str) -> SiteEngine:
        """The same site in a new process."""
        self.engines[name] = self.start(name, self.engines[name].open_patients().prepared.cases)
        return self.engines[name]

    def fork(self, name: str, cases: Sequence[PreparedCase] | None = None) -> SiteEngine:
        """Another engine of a site as it is now: what is asked of it, the site itself does not learn."""
        twin = self.folder / "twins" / str(next(self._twins)) / name
        shutil.copytree(self.engines[name].state, twin)
        return self.start(name, cases or self.engines[name].open_patients().prepared.cases, twin)

    def put(self, name: str, heard: Heard, request: Request, *, to: SiteEngine | None = None) -> Tried:
        """The outcome of a crafted question, asked in an honest one's place."""
        tried = replace(
            self.send(name, heard, write_message(heard, request, self.key), to=to), asked=request.header
        )
        self.tried[-1] = tried
        return tried

    def send(self, name: str, heard: Heard, message: bytes, *, to: SiteEngine | None = None) -> Tried:
        """The outcome of any message to the site of an honest question, or to its twin."""
        engine = to or self.engines[heard.site]
        path = engine.ledger.path
        before = path.stat().st_size if path.exists() else 0
        reply = decode_reply(engine.handle(message))
        lines = path.read_bytes()[before:].splitlines() if path.exists() else []
        departures = [entry["departure"] for line in lines if (entry := json.loads(line)).get("departure")]
        tried = Tried(
            name, heard, heard.request.header, read_code(reply), sum(line["numbers"] for line in departures)
        )
        self.tried.append(tried)
        return tried

    def put_crafted(self, heard: Heard) -> None:
        """Try what is tried in place of an honest question."""
        if self.craft is None or heard.site not in self.attacked:
            return
        for attack, request in self.craft(heard):
            self.put(attack, heard, request, to=self.fork(heard.site) if attack in self.forked else None)

    def _tap(self, name: str) -> Callable[[bytes], bytes]:
        def answer(message: bytes) -> bytes:
            heard = read_heard(name, message, self.key)
            if heard is not None:
                self.put_crafted(heard)
            body = self.engines[name].handle(message)
            if heard is not None:
                self.answers.append((heard, decode_reply(body)))
            return body

        return answer


def read_heard(site: str, message: bytes, key: Ed25519PrivateKey) -> Heard | None:
    """The question that a message carries; None where it is another message of the protocol."""
    asked = take_transcripts(message)[1]
    told = bytes(message[: len(message) - len(asked)])
    if not is_sealed(asked):
        return Heard(site, decode_request(bytes(asked), key.public_key()), message, told, None)
    frame = unpack(asked)
    if frame.kind is not MessageKind.ITERATE:
        return None
    request = decode_request(bytes(frame.payload), key.public_key())
    return Heard(site, request, message, told, read(frame, MessageKind.ITERATE, Iterate))


def write_message(heard: Heard, request: Request, key: Ed25519PrivateKey) -> bytes:
    """The bytes of a question in an honest one's place; a bare one if it names a site."""
    body = encode_request(request, key)
    if heard.iterate is None or request.header.site:
        return heard.told + body
    header = heard.iterate.model_copy(update={"input": sha256(body)})
    return heard.told + pack(MessageKind.ITERATE, header.body(), key, body)


def forge_told(heard: Heard, key: Ed25519PrivateKey) -> bytes:
    """The question after transcripts in whose sums one bit is false, which the coordinator signs."""
    frames, asked = take_transcripts(heard.message)
    forged = b""
    for frame in frames:
        told = read_transcript(frame)
        content = bytearray(frame.payload[: told.content_bytes])
        content[told.index_bytes] ^= 1
        header = told.model_copy(update={"content": sha256(bytes(content))})
        forged += pack(MessageKind.TRANSCRIPT, header.body(), key, bytes(content))
    return forged + bytes(asked)


def read_code(reply: Reply) -> str:
    """Why a site refused; OK if it did not."""
    if reply.sealed is None:
        return reply.header.code
    frame = unpack(reply.sealed.tobytes())
    if frame.kind is MessageKind.REFUSAL:
        return read(frame, MessageKind.REFUSAL, ProtocolRefusal).code
    return reply.header.code
