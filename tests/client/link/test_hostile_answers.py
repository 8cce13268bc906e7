"""A coordinator that was taken over: none of its answers ends the link, fills it with threads or its log."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Metadata
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeResponse,
    DeactivateNodeResponse,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.run_pb2 import GetRunResponse, Run
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from client.link.bounded_json import read_small_object
from client.link.carry import Patience
from client.link.fleet import FleetLine
from client.link.markers import Trouble, find_last_event, shorten_name
from client.link.side_by_side import SideBySide
from client.link.troubles import LineError
from common.messages.bundle import bundle_digest
from common.messages.protocol import FEW_BYTES, to_record
from server.provision.authority import create_authority

AUTHORITY = create_authority("hostile")
JSON, PROTOBUF = "application/json", "application/protobuf"


class Said(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    kind: str = PROTOBUF
    headers: tuple[tuple[bytes, bytes], ...] = ()


def make_delivery(body: bytes, name: str | None = None) -> tuple[PullMessagesResponse, dict[str, bytes]]:
    """A message as a coordinator announces it, and its objects."""
    metadata = Metadata(
        run_id=7,
        message_id="",
        src_node_id=1,
        dst_node_id=5,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type="query",
    )
    message = make_message(metadata=metadata, content=to_record(body))
    message.metadata.__dict__["_message_id"] = name or message.object_id
    objects = {number: thing.deflate() for number, thing in get_all_nested_objects(message).items()}
    announced = message_to_proto(remove_content_from_message(message))
    return PullMessagesResponse(
        messages_list=[announced], message_object_trees=[get_object_tree(message)]
    ), objects


def list_numbers(tree: ObjectTree) -> list[str]:
    return [tree.object_id, *(number for child in tree.children for number in list_numbers(child))]


@dataclass
class Hostile:
    """The Fleet API, as an ASGI application; each call can be answered by whatever a test wants."""

    instead: dict[str, Callable[[bytes], Said | None]] = field(default_factory=dict)
    messages: list[tuple[PullMessagesResponse, dict[str, bytes]]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    pushed: Counter[str] = field(default_factory=Counter)
    objects: dict[str, bytes] = field(default_factory=dict)
    drip: bytes | None = None

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        call = scope["path"].rpartition("/")[2]
        self.calls[call] += 1
        special = self.instead.get(call, lambda _: None)(body)
        said = special or Said(200, self.answer(call, body))
        headers = [(b"content-type", said.kind.encode()), *said.headers]
        await send({"type": "http.response.start", "status": said.status, "headers": headers})
        while said.body is self.drip and call == "pull-object":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.02)
        if call == "push-object":
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": said.body})

    def answer(self, call: str, body: bytes) -> bytes:
        """What an honest coordinator answers."""
        if call == "pull-messages":
            if not self.messages:
                return b""
            announced, objects = self.messages.pop(0)
            self.objects |= objects
            return announced.SerializeToString()
        if call == "pull-object":
            content = self.objects.get(PullObjectRequest.FromString(body).object_id)
            found = content is not None
            return PullObjectResponse(
                object_found=found, object_available=found, object_content=content or b""
            ).SerializeToString()
        if call == "push-messages":
            tree = PushMessagesRequest.FromString(body).message_object_trees[0]
            return PushMessagesResponse(objects_to_push=list_numbers(tree)).SerializeToString()
        if call == "push-object":
            self.pushed[PushObjectRequest.FromString(body).object_id] += 1
            return PushObjectResponse(stored=True).SerializeToString()
        return {
            "activate-node": ActivateNodeResponse(node_id=5),
            "deactivate-node": DeactivateNodeResponse(),
            "send-node-heartbeat": SendNodeHeartbeatResponse(success=True),
            "get-run": GetRunResponse(run=Run(run_id=7, fab_hash=bundle_digest())),
            "confirm-message-received": ConfirmMessageReceivedResponse(),
        }[call].SerializeToString()


@pytest.fixture
def begin(run_server, run_link, tmp_path, monkeypatch):
    """Begins a link to a hostile coordinator; it waits a tenth of the time after a failure."""
    monkeypatch.setattr("client.link.carry._FIRST_RETRY_S", 0.02)
    with ExitStack() as stack:

        def start(hostile: Hostile):
            server = stack.enter_context(run_server(hostile, tmp_path, AUTHORITY))
            door = server.door(ec.generate_private_key(ec.SECP256R1()))
            return stack.enter_context(run_link(door, tmp_path / "link"))

        yield start


def say_first(said: Said, times: int) -> Callable[[bytes], Said | None]:
    left = [said] * times
    return lambda _: left.pop() if left else None


ENDINGS = [
    Said(500, b"[" * 60_000, JSON),
    Said(500, b'{"a":' * 700, JSON),
    Said(412, b'{"code":2007}', JSON),
    Said(403, b'{"code":2008}', JSON),
    Said(500, b'{"code":' + b"9" * 4000 + b"}", JSON),
    Said(200, b"\xff" * 100),
    Said(200, PullMessagesResponse(message_object_trees=[ObjectTree()] * 1000).SerializeToString()),
]


@pytest.mark.parametrize("said", ENDINGS)
def test_no_answer_to_the_question_for_messages_ends_the_link(begin, said):
    hostile = Hostile({"pull-messages": say_first(said, 3)}, [make_delivery(b"ab")])
    link = begin(hostile)
    link.wait_for("answered message=")
    assert link.asked == [b"ab"]
    assert len([line for line in link.lines if "refused reason=" in line]) <= 1
    assert find_last_event("\n".join(link.lines)).trouble is None


@pytest.mark.parametrize(
    "said", [*ENDINGS, Said(401, b"{}", JSON, ((b"date", b"Mon, 01 Jan 9999999999 0:0:0 GMT"),))]
)
def test_no_answer_to_a_heartbeat_stops_the_heart(begin, said, monkeypatch):
    monkeypatch.setattr("client.link.carry._BEAT_S", 0.02)
    monkeypatch.setattr("client.link.carry._NEXT_TRY_S", 0.02)
    hostile = Hostile({"send-node-heartbeat": say_first(said, 2)})
    begin(hostile).wait_for("connected node=5")
    deadline = time.monotonic() + 60.0
    while hostile.calls["send-node-heartbeat"] < 4:
        assert time.monotonic() < deadline, "the heart stands still"
        time.sleep(0.005)


def test_a_refusal_whose_date_is_none_signs_in_again_after_a_pause(begin, monkeypatch):
    date = ((b"date", b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),)
    hostile = Hostile({"pull-messages": say_first(Said(401, b"{}", JSON, date), 2)}, [make_delivery(b"ab")])
    pauses: list[LineError] = []
    honest = Patience.endure
    monkeypatch.setattr(Patience, "endure", lambda self, error: (pauses.append(error), honest(self, error)))
    begin(hostile).wait_for("answered message=")
    assert hostile.calls["activate-node"] == 3
    assert [pause.trouble for pause in pauses] == [Trouble.NOT_ENROLLED] * 2


def test_our_own_fault_is_told_once_by_its_type_and_place_and_waited_out(begin, monkeypatch):
    honest, faults = FleetLine.poll, [0] * 3

    def fail(line: FleetLine):
        if faults:
            faults.pop()
            read_small_object(None, 1)  # where the fault is told to be
        return honest(line)

    monkeypatch.setattr(FleetLine, "poll", fail)
    link = begin(Hostile({}, [make_delivery(b"ab")]))
    link.wait_for("answered message=")
    (told,) = [line for line in link.lines if "refused" in line]
    assert told.startswith("refused reason=coordinator: ")
    assert "TypeError at client.link.bounded_json:" in told
    assert "NoneType" not in told


def test_our_own_fault_in_a_heartbeat_is_told_and_the_heart_beats_on(begin, monkeypatch):
    monkeypatch.setattr("client.link.carry._BEAT_S", 0.02)
    monkeypatch.setattr("client.link.carry._NEXT_TRY_S", 0.02)
    beats: list[int] = []
    connected = threading.Event()

    def fail(*_: object) -> bool:
        if not connected.is_set():
            return True
        beats.append(1)
        raise ZeroDivisionError("words of the other end")

    monkeypatch.setattr(FleetLine, "beat", fail)
    link = begin(Hostile())
    link.wait_for("connected node=5")
    connected.set()
    assert "ZeroDivisionError" in link.wait_for("refused reason=coordinator")
    deadline = time.monotonic() + 60.0
    while len(beats) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(beats) >= 3
    assert len([line for line in link.lines if "ZeroDivision" in line]) == 1
    assert not link.has_said("words of the other end")


@pytest.mark.parametrize(("few_bytes", "objects"), [(-1, 5), (FEW_BYTES, 3)])
def test_an_answer_asks_for_each_of_its_objects_once_and_at_most_four_travel(
    begin, monkeypatch, few_bytes, objects
):
    monkeypatch.setattr("common.messages.protocol.FEW_BYTES", few_bytes)
    most = [0]

    def ask_often(body: bytes) -> Said:
        numbers = list_numbers(PushMessagesRequest.FromString(body).message_object_trees[0])
        often = ["f" * 64, *numbers * 300]
        return Said(200, PushMessagesResponse(objects_to_push=often).SerializeToString())

    def count(_: bytes) -> None:
        running = [thread for thread in threading.enumerate() if thread.name == "beside"]
        most[0] = max(most[0], len(running))

    hostile = Hostile({"push-messages": ask_often, "push-object": count}, [make_delivery(b"ab")])
    begin(hostile).wait_for("answered message=")
    assert 1 <= most[0] <= 4
    assert set(hostile.pushed.values()) == {1}
    assert len(hostile.pushed) == objects


def test_work_waits_for_a_place_before_its_thread_is_begun():
    beside, ending = SideBySide(2), threading.Event()
    before = threading.active_count()
    waiting = threading.Thread(
        target=lambda: [beside.begin(lambda: ending.wait(60.0)) for _ in range(50)], daemon=True
    )
    waiting.start()
    time.sleep(0.05)
    assert threading.active_count() <= before + 3
    ending.set()
    waiting.join(60.0)
    assert not waiting.is_alive()


@pytest.mark.parametrize("lost", ["Array ", "ArrayChunk ", "ConfigRecord "])
def test_objects_that_are_kept_back_hold_up_no_other_message(begin, monkeypatch, lost):
    """The roots of the first message never come, and a part of it is gone: its places must be free again."""
    if lost.startswith("Array"):
        monkeypatch.setattr("common.messages.protocol.FEW_BYTES", -1)
    first, second = make_delivery(bytes(1000)), make_delivery(b"ab")
    (gone,) = [number for number, content in first[1].items() if content.startswith(lost.encode())]
    kept_back = {
        number
        for number, content in first[1].items()
        if content.startswith((b"Message", b"RecordDict", b"ArrayRecord"))
    } - set(second[1])

    def hold(body: bytes) -> Said | None:
        if PullObjectRequest.FromString(body).object_id not in kept_back:
            return None
        return Said(200, PullObjectResponse(object_found=True).SerializeToString())

    del first[1][gone]
    link = begin(Hostile({"pull-object": hold}, [first, first, second]))
    link.wait_for("answered message=", 5.0)
    assert link.asked == [b"ab"]
    assert len([line for line in link.lines if "dropped message=" in line]) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "beside"]


def test_an_object_that_drips_is_given_up(begin, monkeypatch):
    monkeypatch.setattr("client.link.bounded_sender._GRACE_S", 0.1)
    monkeypatch.setattr("client.link.fleet._OBJECT_WAIT_S", 0.3)
    hostile = Hostile({}, [make_delivery(b"ab"), make_delivery(b"cd")])
    hostile.drip = bytes(bytearray(b"drips"))
    slow = set(hostile.messages[0][1]) - set(hostile.messages[1][1])

    def drip(body: bytes) -> Said | None:
        return Said(200, hostile.drip) if PullObjectRequest.FromString(body).object_id in slow else None

    hostile.instead["pull-object"] = drip
    link = begin(hostile)
    assert "too slowly" in link.wait_for("dropped message=", 10.0)
    link.wait_for("answered message=")
    assert link.asked == [b"cd"]


@pytest.mark.parametrize("part", ["name", "hash"])
def test_no_word_of_the_coordinators_ends_a_line_or_moves_a_cursor(begin, part):
    words = "\n\x1b]0;X\x07\u009b31m\u202eab\nconnected node=9\n"
    strange = GetRunResponse(run=Run(run_id=7, fab_hash=words)).SerializeToString()
    hostile = Hostile({}, [make_delivery(b"ab", words if part == "name" else None)])
    if part == "hash":
        hostile.instead["get-run"] = lambda _: Said(200, strange)
    link = begin(hostile)
    line = link.wait_for("message=")
    assert "0X31mabconne" in line
    assert all(line.isprintable() for line in link.lines)


def test_every_line_of_the_link_is_one_line(begin):
    """The engine may quote what the coordinator sent."""
    hostile = Hostile({}, [make_delivery(b"ab")])
    hostile.instead["get-run"] = say_first(Said(200, b""), 1)
    link = begin(hostile)
    link.wait_for("failed message=")
    assert "unnamed" in link.lines[-1]
    assert shorten_name("") == "unnamed"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"1", b"{" * 40, b"[" * 3000, b'{"a":' + b"9" * 5000, b"\xff"]
)
def test_json_that_is_unusual_is_an_empty_object(content: bytes):
    assert read_small_object(content, 10_000) == {}


def test_json_is_bounded_before_it_is_read():
    assert read_small_object(b'{"code": 7}', 11) == {"code": 7}
    assert read_small_object(b'{"code": 7}', 10) == {}
    assert read_small_object(b'{"a":' * 60 + b"1" + b"}" * 60, 10_000) == {}


def test_being_let_in_and_out_again_makes_the_pauses_longer():
    pauses: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            return False

    patience = Patience(lambda _: None, Clock())
    for _ in range(4):
        patience.connect(5)
        patience.endure(LineError(Trouble.NOT_ENROLLED, "out"))
    assert pauses[3] > 4 * pauses[0]
    patience.relieve()
    patience.endure(LineError(Trouble.NOT_ENROLLED, "out"))
    assert pauses[4] < 2 * pauses[0]


def collect(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if "refused" in line]


def test_a_surprise_is_told_again_in_the_next_connection():
    lines: list[str] = []
    patience = Patience(lines.append)
    for _ in range(3):
        assert patience.tell_surprise(KeyError("x")).trouble is Trouble.COORDINATOR
    assert len(collect(lines)) == 1
    patience.connect(5)
    assert isinstance(patience.tell_surprise(KeyError("x")), LineError)
    assert len(collect(lines)) == 2
