"""Asking sites and insisting on their answers: the server's only module that handles Flower's messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message
from flwr.serverapp import Grid

from common.errors import ExchangeError, RheError
from common.messages.catalogue import Operation
from common.messages.endorsement import Endorsement
from common.messages.groups import groups_of
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import (
    Parameters,
    Reply,
    Request,
    decode_reply,
    encode_request,
    from_record,
)
from common.plan.study import StudyPlan
from common.program.steps import GroupSums
from common.runtime.watch.plain_times import tell_length
from common.secagg.coordinator.gathering import Coordinator
from common.secagg.wire.roster import Roster
from common.stats.contract import Summary
from common.types import FlatWeights
from server.attendance import Attendance
from server.authenticity import insist_authentic
from server.delivery import Courier
from server.dispatch import Dispatch
from server.group_sums import sum_by_group
from server.hidden import HiddenSums
from server.lanes import Lanes, NodeAnswers, Posting
from server.reasons import SiteFailureError, explain_missing
from server.watch.study_watch import StudyWatch

_log = logging.getLogger(__name__)

_MEET_S = 0.2


@dataclass
class Traffic:
    """What was exchanged with the sites, for the report.

    Attributes
    ----------
    rounds : int
        Rounds of messages: one for each set of messages that was sent at once.
    messages : int
        Messages sent to sites.
    bytes_sent : int
        Bodies of the messages sent.
    bytes_received : int
        Bodies of the replies.
    """

    rounds: int = 0
    messages: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def count_sent(self, size: int) -> None:
        """Count a message of this many bytes to one site; one that is sent again counts again."""
        self.messages += 1
        self.bytes_sent += size


@dataclass
class Exchange:
    """The coordinator's line to the sites of one study.

    Attributes
    ----------
    grid : Grid
        Flower's, or the one of a simulation in one process.
    plan : StudyPlan
        Its hash goes into every request.
    key : Ed25519PrivateKey
        The coordinator's, which signs every request.
    traffic : Traffic
        Counted while messages are exchanged.
    hidden : HiddenSums or None
        Opens the sums of several sites where the plan hides them; None: sites' own numbers are added here.
    on_round : callable
        Called when the messages of a round are on their way.
    attendance : Attendance
        Whom the study waits for, and for how long.
    stall_s : float
        How long a site's engine may show no progress, seconds.
    on_return : callable
        Called with the name of a site whose link was away, and what it says of itself.
    watch : StudyWatch
        Is told what is asked and answered.
    endorsements : dict
        By SHA-256 of a model's content, what each site that knows it said of it in this run.
    lanes : Lanes
        Parts of the study that are carried out side by side.
    """

    grid: Grid
    plan: StudyPlan
    key: Ed25519PrivateKey
    traffic: Traffic = field(default_factory=Traffic)
    hidden: HiddenSums | None = None
    on_round: Callable[[], None] = lambda: None
    attendance: Attendance = field(default_factory=Attendance)
    stall_s: float = 3600.0
    on_return: Callable[[str, Reply], None] = lambda *_: None
    watch: StudyWatch = field(default_factory=StudyWatch)
    endorsements: dict[str, dict[str, Endorsement]] = field(default_factory=dict)
    lanes: Lanes = field(default_factory=lambda: Lanes(lambda _: []))
    _nodes: dict[str, int] = field(default_factory=dict)
    _enrolled: dict[int, str] = field(default_factory=dict)

    def enrol(self, patience_s: float) -> dict[str, Reply]:
        """Every site's description of itself, by name, once all sites of the plan are connected.

        Parameters
        ----------
        patience_s : float
            How long to wait for sites that are not yet connected.

        Raises
        ------
        ExchangeError
            If a site of the plan does not connect, two nodes claim the same site, or a site refuses the
            plan.
        """
        deadline = time.monotonic() + patience_s
        replies: dict[str, Reply] = {}
        asked: set[int] = set()
        while len(replies) < len(self.plan.sites):
            present = {node.node_id: node.name for node in self.grid.get_nodes()}
            newcomers = {node: name for node, name in present.items() if node not in asked}
            asked.update(newcomers)
            self._meet(newcomers, replies)
            if len(replies) == len(self.plan.sites):
                break
            missing = sorted(set(self.plan.site_names) - replies.keys())
            if time.monotonic() > deadline:
                raise ExchangeError(
                    f"after {tell_length(patience_s)} these sites are not connected: {', '.join(missing)} -> "
                    "start `rhe-client start` there, then run the study again with --resume"
                )
            for site in missing:
                self.attendance.miss(site, *explain_missing("E_NOT_CONNECTED"))
            time.sleep(_MEET_S)
        return dict(sorted(replies.items()))

    def ask(
        self,
        operation: Operation,
        sites: Sequence[str],
        weights: FlatWeights | None = None,
        parameters: Parameters | None = None,
        **context: object,
    ) -> dict[str, Reply]:
        """The answers of all these sites, sorted by name.

        Parameters
        ----------
        operation : Operation
            What is asked.
        sites : sequence of str
            Who must answer.
        weights : float32 vector, optional
            The global model that is sent with the question.
        parameters : mapping of str to arrays, optional
            Public parameters of a statistic.
        **context
            Further fields of `RequestHeader`: model, arm, round, stage, regressions.

        Raises
        ------
        ExchangeError
            If a site does not answer within the plan's time limit, or answers with an error code.
        """
        self.watch.see_question(operation, context)
        headers = {site: self._make_header(operation, site, context) for site in sorted(sites)}
        replies = self._send(
            {
                self._nodes[site]: Request(header, weights, parameters or {})
                for site, header in headers.items()
            }
        )
        answers = {site: replies[self._nodes[site]] for site in headers}
        _insist(operation, answers)
        return answers

    def hide(self, roster: Roster, folder: Path, absent: Mapping[str, frozenset[int]]) -> None:
        """From now on, ask for sums of several sites through the protocol that hides each site's part.

        Parameters
        ----------
        roster : Roster
            Who takes part, as the authority signed it.
        folder : Path
            Where opened sums and open rounds are kept.
        absent : mapping of str to frozenset of int
            By phase, numbers of the sites whose absence from its sums the authority waived.
        """
        coordinator = Coordinator(self.key, roster)
        self.hidden = HiddenSums(self.plan, coordinator, folder, self.carry, absent)

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """The sum over each group of sites that the question is about; raises as `ask`."""
        stage, arm = str(context.get("stage", "")), str(context.get("arm", ""))
        groups = groups_of(self.plan, operation, stage, arm)
        if self.hidden is not None and not all(group.alone for group in groups):
            question = self.sign_question(operation, parameters, weights, **context)
            return GroupSums(self.hidden.gather(groups, question))
        sites = sorted({site for group in groups for site in group.sites})
        replies = self.ask(operation, sites, weights, parameters, **context)
        return sum_by_group(operation, groups, {site: reply.summary for site, reply in replies.items()})

    def sum(
        self,
        operation: Operation,
        sites: Sequence[str],
        parameters: Parameters | None = None,
        **context: object,
    ) -> Summary:
        """The sum over these sites; raises as `ask`."""
        return self.gather(operation, parameters, None, **context).of(sites)

    def sign_question(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> bytes:
        """The signed request that is the same for all sites of a hidden sum."""
        self.watch.see_question(operation, context)
        header = self._make_header(operation, "", context)
        return encode_request(Request(header, weights, parameters or {}), self.key)

    def carry(self, messages: Mapping[str, bytes]) -> dict[str, Reply]:
        """Each site's answer to its message of the protocol that hides sums; silent sites are left out.

        Raises
        ------
        ExchangeError
            If a site refuses outside the protocol: its policy forbids it, or its disk is full.
        """
        asked = {self._nodes[site]: message for site, message in messages.items()}
        replies = self._post(asked, insist=False)
        answers = {site: replies[self._nodes[site]] for site in messages if self._nodes[site] in replies}
        _insist("a hidden sum", answers)
        return answers

    def _make_header(self, operation: Operation, site: str, context: Mapping[str, object]) -> RequestHeader:
        fields = {"operation": operation, "plan_hash": self.plan.digest(), "site": site, **context}
        return RequestHeader.model_validate(fields)

    def _meet(self, nodes: Mapping[int, str], known: dict[str, Reply]) -> None:
        """Ask nodes, all at once, for the sites behind them, and add their replies to the known ones.

        Parameters
        ----------
        nodes : mapping of int to str
            The name under which each node's key was enrolled, by the node's number.
        known : dict of str to Reply
            By site; the newcomers' are added.

        Raises
        ------
        ExchangeError
            If a node answers in another name than its key's, or in one that another node has.
        """
        if not nodes:
            return
        self._enrolled.update(nodes)
        header = self._greet_anyone()
        met: dict[str, Reply] = {}
        for node, reply in sorted(self._send({node: Request(header) for node in nodes}).items()):
            name = reply.header.site
            if name != nodes[node]:
                raise ExchangeError(
                    f"the node that is enrolled as {nodes[node]!r} calls itself {name!r} -> ask that "
                    "hospital which site folder it started"
                )
            if name not in self.plan.site_names:
                raise ExchangeError(f"a node calls itself {name!r}, which the plan does not have")
            if name in known or name in met:
                raise ExchangeError(f"two nodes call themselves {name!r} -> stop one of them")
            met[name] = reply
            self._nodes[name] = node
            self.attendance.welcome(name)
            self.watch.see_arrival(name)
        _insist(Operation.DESCRIBE, met)
        known.update(met)

    def _send(self, requests: Mapping[int, Request]) -> dict[int, Reply]:
        """One reply for each node."""
        return self._post({node: encode_request(request, self.key) for node, request in requests.items()})

    def _post(self, bodies: Mapping[int, bytes], *, insist: bool = True) -> dict[int, Reply]:
        """Replies by node, once each site has been told of the sums that were opened since its last answer.

        A part of the study that is carried out beside others asks together with them.

        Parameters
        ----------
        bodies : mapping of int to bytes
            By node.
        insist : bool
            Whether a node that fails, or for which the study has waited in vain, is an error; otherwise it
            is left out.
        """
        if self.lanes.is_running:
            answers = self.lanes.ask(bodies)
        else:
            (answers,) = Dispatch(self).send([Posting(bodies)], insist=insist)
        replies: dict[int, Reply] = {}
        for node, answer in answers.items():
            if isinstance(answer, Reply):
                replies[node] = answer
            elif insist:
                raise answer
            else:
                _log.warning("left out: %s", answer)
        return replies

    def open_lanes(self, on_send: Callable[[Sequence[str]], None]) -> Lanes:
        """Room for parts of the study that ask together; `on_send` is told their phases, each time first."""

        def send(postings: Sequence[Posting]) -> list[NodeAnswers]:
            on_send([posting.phase for posting in postings])
            return Dispatch(self).send(postings)

        self.lanes = Lanes(send)
        return self.lanes

    def deliver(
        self, bodies: Mapping[int, bytes], take: Callable[[bytes, int], None], give_up: Callable[[str], None]
    ) -> None:
        """Send messages, by node; give each answer with its node to `take`, what failed to `give_up`."""

        def take_message(answer: Message, node: int, _: bytes) -> None:
            try:
                body = from_record(answer.content)
            except RheError as failure:
                give_up(f"{self.name_of(node)}: {failure}")
                return
            self.traffic.bytes_received += len(body)
            self.watch.see_answer(self.name_of(node))
            take(body, node)

        self.traffic.rounds += 1
        self.watch.see_departure([self.name_of(node) for node in bodies])
        self._courier.deliver(bodies, take_message, give_up, self.on_round)

    def confirm(self, replies: Mapping[int, Reply]) -> None:
        """Note which nodes have answered a message to which transcripts were attached."""
        if self.hidden is not None:
            self.hidden.transcripts.confirm({self.name_of(node): reply for node, reply in replies.items()})

    @property
    def roster(self) -> Roster | None:
        """Has the sites' keys; None where the plan hides no sum."""
        return None if self.hidden is None else self.hidden.coordinator.roster

    @cached_property
    def _courier(self) -> Courier:
        greeting = encode_request(Request(self._greet_anyone()), self.key)
        count, stall_s = self.traffic.count_sent, self.stall_s
        return Courier(self.grid, self.name_of, self.attendance, greeting, self._hear_again, count, stall_s)

    def _greet_anyone(self) -> RequestHeader:
        return RequestHeader(operation=Operation.DESCRIBE, plan_hash=self.plan.digest(), site="")

    def _hear_again(self, answer: Message, node: int, question: bytes) -> None:
        """Take what a site says of itself that was away.

        Raises
        ------
        ExchangeError
            If it answers in another name, or refuses; and as `on_return` raises it.
        """
        name, reply = self.name_of(node), self._read(answer, node, question)
        if reply.header.site != name:
            raise ExchangeError(
                f"{name} came back and calls itself {reply.header.site!r} -> ask that hospital which site "
                "folder it started"
            )
        _insist(Operation.DESCRIBE, {name: reply})
        self.on_return(name, reply)

    def attach(self, bodies: Mapping[int, bytes]) -> Mapping[int, bytes]:
        """Messages, by node, with what each site has to be told before: what it is asked may rest on it."""
        if self.hidden is None:
            return bodies
        names = {node: name for name, node in self._nodes.items() if node in bodies}
        messages = self.hidden.transcripts.attach({name: bodies[node] for node, name in names.items()})
        # A node that is met for the first time is nobody yet who could be told anything
        return {node: messages[names[node]] if node in names else body for node, body in bodies.items()}

    def _read(self, answer: Message, node: int, question: bytes) -> Reply:
        try:
            body = from_record(answer.content)
            self.traffic.bytes_received += len(body)
            reply = decode_reply(body)
            insist_authentic(body, reply, question, self.roster)
        except RheError as failure:
            raise ExchangeError(f"{self.name_of(node)}: {failure}") from None
        return reply

    def name_of(self, node: int) -> str:
        """The site behind a node."""
        known = {number: name for name, number in self._nodes.items()}
        return known.get(node) or self._enrolled.get(node, f"node {node}")


def _insist(operation: str, answers: Mapping[str, Reply]) -> None:
    """Raise unless each reply, by site, is from that site and answers the question.

    Raises
    ------
    ExchangeError
        If another site answers.
    SiteFailureError
        If an answer is an error code; it names every site that gave one.
    """
    failures = []
    for site, reply in answers.items():
        if reply.header.site != site:
            raise ExchangeError(f"{site}: the answer to {operation} claims to be from {reply.header.site!r}")
        if reply.header.code != CODE_OK:
            failures.append(SiteFailureError(site, operation, reply.header.code))
    if failures:
        first, *others = failures
        raise SiteFailureError(first.site, operation, first.failure, tuple(others))
