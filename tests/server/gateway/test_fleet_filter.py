"""The filter before Flower's app: a link's requests pass, no other spelling and no other header does."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from hypothesis import assume, example, given
from hypothesis import strategies as st

from client.link.troubles import code_of
from server.gateway.allowances import ANNOUNCEMENT_BYTES, PLACES, ROOM_BYTES, STRANGERS_PLACES
from server.gateway.fleet_filter import FleetOnly
from server.gateway.fleet_paths import (
    FLEET_CALLS,
    FLEET_HEADERS,
    LARGEST_BODY_BYTES,
    LARGEST_LIST_BYTES,
    LARGEST_QUESTION_BYTES,
)

PATH = "/v1/fleet/pull-messages"
SIGN_IN = "/v1/fleet/activate-node"
ANNOUNCE = "/v1/fleet/push-messages"
UPLOAD = "/v1/fleet/push-object"
EXACT = frozenset(f"/v1/fleet/{call}".encode() for call in FLEET_CALLS)


@dataclass
class Inner:
    """What stands for Flower's app: keeps what reaches it.

    Attributes
    ----------
    requests : list of (scope, bytes)
    others : list of scope
        Scopes that are no requests.
    answer : bytes
    status : int
    """

    requests: list = field(default_factory=list)
    others: list = field(default_factory=list)
    answer: bytes = b"ok"
    status: int = 200

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            self.others.append(scope)
            return
        event = await receive()
        assert not event["more_body"]
        self.requests.append((scope, event["body"]))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


KEY, STRANGER = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
PUBLIC = public_key_to_bytes(KEY.public_key())


def sign(key=KEY, shift_s=0.0, said=None, claimed=None):
    """The three headers of a signature."""
    when = said or (datetime.now(UTC) + timedelta(seconds=shift_s)).isoformat()
    return [
        (b"flwr-public-key", b64encode(claimed or public_key_to_bytes(key.public_key()))),
        (b"flwr-timestamp", when.encode()),
        (b"flwr-signature", b64encode(sign_message(key, when.encode()))),
    ]


@cache
def sign_once():
    """A hospital's own: good for five minutes."""
    return tuple(sign())


def make_filter(inner, **changes):
    return FleetOnly(inner, **{"is_known": lambda key: key == PUBLIC, "largest_message": 0} | changes)


def make_scope(path=PATH, method="POST", headers=None, length=b"0", signed=None, **changes):
    raw = path if isinstance(path, bytes) else path.encode()
    headers = [*(sign_once() if signed is None else signed), *(headers or [])]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": raw.decode("latin-1"),
        "raw_path": raw,
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, *([(b"content-length", length)] if length is not None else [])],
        "server": ("127.0.0.1", 8443),
        "client": ("192.0.2.1", 4000),
        **changes,
    }


def ask(scope, *parts, grace_s=5.0, through=None):
    """The status, the body and what reached the app; after the parts the sender says nothing more."""
    inner, answer = Inner(), []
    events = [
        part if isinstance(part, dict) else {"type": "http.request", "body": part, "more_body": True}
        for part in parts
    ]
    if not parts:
        events = [{"type": "http.request", "body": b"", "more_body": False}]
    elif isinstance(parts[-1], bytes):
        events[-1]["more_body"] = False

    async def receive():
        if events:
            return events.pop(0)
        return await asyncio.Event().wait()

    async def send(event):
        answer.append(event)

    asyncio.run((through or make_filter(inner, grace_s=grace_s))(scope, receive, send))
    return answer[0]["status"], b"".join(event.get("body", b"") for event in answer), inner.requests


def is_stopped_at_once(scope):
    """Whether the filter answers with an empty 404 and neither reads a body nor asks the app."""
    inner, answer = Inner(), []

    async def send(event):
        answer.append(event)

    with pytest.raises(StopIteration):
        make_filter(inner)(scope, None, send).send(None)
    return answer[0]["status"] == 404 and answer[1]["body"] == b"" and not inner.requests


def refused(outcome, status=404):
    return outcome == (status, b"", [])


@pytest.mark.parametrize("call", FLEET_CALLS)
def test_every_call_of_a_link_passes(call):
    body = make_reply().SerializeToString() if call == "push-messages" else b"sealed"
    inner = Inner(answer=b"an instruction")
    through = make_filter(inner)
    ask(make_scope(), through=through)
    scope = make_scope(f"/v1/fleet/{call}", length=str(len(body)).encode())
    status, answer, _ = ask(scope, body[:4], body[4:], through=through)
    scope, arrived = inner.requests[-1]
    assert (status, answer, arrived) == (200, b"an instruction", body)
    assert scope["path"] == f"/v1/fleet/{call}"


def test_health_passes_by_get_without_a_body():
    for length in (None, b"0"):
        assert ask(make_scope("/health", "GET", length=length))[0] == 200
    assert refused(ask(make_scope("/health", "GET", length=b"1"), b"a"))
    assert refused(ask(make_scope("/health", "GET", length=None), b"a"))
    for method in ("POST", "HEAD", "OPTIONS", "get"):
        assert refused(ask(make_scope("/health", method)))


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "OPTIONS", "TRACE", "CONNECT", "post", "Post", "POST "]
)
def test_no_other_method_passes(method):
    assert refused(ask(make_scope(method=method)))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/get-fab",
        "/v1/fleet/",
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/",
        "",
    ],
)
def test_nothing_else_that_flower_answers_passes(path):
    assert refused(ask(make_scope(path)))
    assert refused(ask(make_scope(path, "GET", length=None)))


# What a sender writes between the letters of a path: single characters, their encodings, and pieces of paths
PIECES = st.one_of(
    st.sampled_from([*b"/.;%\\?#&+~ \t\r\n\0\xa0"]).map(lambda byte: bytes([byte])),
    st.sampled_from(
        [
            b"..",
            b"%2e",
            b"%2f",
            b"%00",
            b"//",
            b"/./",
            b"/../",
            b"%252e",
            b";a=b",
            b"/v1/control",
            b"\xc0\xae",
        ]
    ),
    st.binary(min_size=1, max_size=3),
)


@given(path=st.sampled_from(sorted(EXACT)), at=st.integers(0, 40), piece=PIECES, drop=st.integers(0, 3))
@example(b"/v1/fleet/pull-messages", 23, b"/", 0)
def test_no_path_with_other_letters_passes(path, at, piece, drop):
    changed = path[:at] + piece + path[at + drop :]
    assume(changed not in EXACT)
    assert is_stopped_at_once(make_scope(changed))


@given(path=st.sampled_from(sorted(EXACT)), ways=st.binary(min_size=40, max_size=40))
def test_no_path_in_other_case_or_encoding_passes(path, ways):
    letters = [bytes([byte]) for byte in path]
    spelled = b"".join(
        (letter, letter, letter.swapcase(), b"%%%02x" % letter[0], b"%%%02X" % letter[0])[way % 5]
        for letter, way in zip(letters, ways, strict=False)
    )
    assume(spelled not in EXACT)
    # A server that decodes says the link's own path beside the raw one
    assert is_stopped_at_once({**make_scope(spelled), "path": path.decode()})


@given(path=st.binary(max_size=60), method=st.sampled_from(["GET", "POST"]))
def test_no_other_path_passes(path, method):
    assume((method, path) != ("GET", b"/health") and path not in EXACT)
    assert is_stopped_at_once(make_scope(path, method))


@pytest.mark.parametrize(
    "changes",
    [
        {"query_string": b"a=b"},
        {"root_path": "/v1"},
        {"http_version": "1.0"},
        {"http_version": "2"},
        {"raw_path": None},
        {"raw_path": b""},
    ],
)
def test_no_other_form_of_request_passes(changes):
    assert refused(ask(make_scope(**changes)))


def test_a_server_that_does_not_tell_the_raw_path_lets_nothing_pass():
    scope = make_scope()
    del scope["raw_path"]
    assert refused(ask(scope))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-length", b"6"), (b"content-length", b"6")],
        [(b"content-length", b"6"), (b"Content-Length", b"7")],
        [(b"content-length", b"6"), (b"transfer-encoding", b"chunked")],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"content-length", b"6, 6")],
        [(b"content-length", b"+6")],
        [(b"content-length", b"-6")],
        [(b"content-length", b"0x6")],
        [(b"content-length", b" 6")],
        [(b"content-length", b"6\n")],
        [(b"content-length", "\u0666".encode())],
        [(b"content-length", b"")],
    ],
)
def test_a_body_of_uncertain_length_does_not_pass(headers):
    assert refused(ask(make_scope(headers=headers, length=None), b"sealed"))


def test_a_body_has_the_length_that_was_announced():
    assert refused(ask(make_scope(length=b"5"), b"sealed"))
    assert refused(ask(make_scope(length=b"7"), b"sealed"))
    assert refused(ask(make_scope(length=b"5"), b"sea", b"led", b"more"))


def test_a_body_has_at_most_the_largest_size():
    largest = str(LARGEST_BODY_BYTES).encode()
    inner = Inner()
    through = make_filter(inner)
    ask(make_scope(), through=through)
    assert ask(make_scope(UPLOAD, length=largest), bytes(LARGEST_BODY_BYTES), through=through)[0] == 200
    assert len(inner.requests[-1][1]) == LARGEST_BODY_BYTES
    # Judged by its announcement: not a byte of it is read
    for path, size in (
        (UPLOAD, LARGEST_BODY_BYTES),
        (ANNOUNCE, LARGEST_LIST_BYTES),
        (PATH, LARGEST_QUESTION_BYTES),
        (SIGN_IN, LARGEST_QUESTION_BYTES),
    ):
        assert refused(ask(make_scope(path, length=str(size + 1).encode()), {"type": "unread"}), 413)
    assert refused(ask(make_scope(length=b"9" * 30), {"type": "unread"}))


def test_a_slow_body_is_not_waited_for():
    first = {"type": "http.request", "body": b"s", "more_body": True}
    assert refused(ask(make_scope(length=b"6"), first, grace_s=0.02), 408)


def test_a_body_keeps_to_a_lowest_rate():
    """8 KiB at once earn half a second more, and no letter now and then does."""
    trickle = [{"type": "http.request", "body": b"s", "more_body": True}] * 50
    begin = time.monotonic()
    first = {"type": "http.request", "body": bytes(8192), "more_body": True}
    assert refused(ask(make_scope(length=b"9000"), first, *trickle, grace_s=0.02), 408)
    assert 0.4 < time.monotonic() - begin < 5


UNSIGNED = (401, b'{"detail":"Invalid SuperNode authentication"}', [])


@pytest.mark.parametrize("call", FLEET_CALLS)
def test_no_body_is_read_without_a_signature(call):
    path = f"/v1/fleet/{call}"
    long = datetime.now(UTC) - timedelta(seconds=306)
    for signed in (
        [],
        *([header for header in sign() if header[0] != name] for name, _ in sign()),
        *([*sign(), header] for header in sign()),
        sign(STRANGER, claimed=PUBLIC),
        sign(shift_s=6),
        sign(said=long.isoformat()),
        sign(said="now"),
        sign(said=datetime.now(UTC).replace(tzinfo=None).isoformat()),
        [(name, value + b"=") for name, value in sign()],
        [(name, value * 40) for name, value in sign()],
        sign(claimed=b"-----BEGIN PUBLIC KEY-----"),
    ):
        assert ask(make_scope(path, length=b"6", signed=signed), {"type": "unread"}) == UNSIGNED


def test_a_stranger_may_only_sign_in():
    for call in FLEET_CALLS:
        scope = make_scope(f"/v1/fleet/{call}", signed=sign(STRANGER))
        if call == "activate-node":
            assert ask(scope)[0] == 200
        else:
            assert ask(scope, {"type": "unread"}) == UNSIGNED
    assert ask(make_scope("/health", "GET", length=None, signed=[]))[0] == 200


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP224R1(), ec.BrainpoolP256R1()])
def test_a_stranger_has_a_key_as_hospitals_have(curve):
    signed = sign(ec.generate_private_key(curve))
    assert ask(make_scope(SIGN_IN, signed=signed), {"type": "unread"}) == UNSIGNED


def test_nobody_takes_all_places():
    """Of bodies that do not come, so many are waited for; another sender is answered meanwhile."""
    inner, statuses = Inner(), {"stranger": [], "hospital": []}

    async def knock(who, scope, receive):
        async def send(event):
            statuses[who] += [event["status"]] if "status" in event else []

        await through(scope, receive, send)

    async def wait_forever():
        await asyncio.Event().wait()

    async def send_nothing():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def crowd():
        strangers = make_scope(SIGN_IN, signed=sign(STRANGER), length=b"6")
        others = [
            asyncio.create_task(knock("stranger", strangers, wait_forever))
            for _ in range(STRANGERS_PLACES + 5)
        ]
        await asyncio.sleep(0.1)
        assert statuses["stranger"] == [429] * 5
        own = [
            asyncio.create_task(knock("hospital", make_scope(length=b"6"), wait_forever))
            for _ in range(PLACES - 1)
        ]
        await asyncio.sleep(0.1)
        await knock("hospital", make_scope(), send_nothing)
        await asyncio.gather(*others, *own)
        await knock("hospital", make_scope(), send_nothing)

    through = make_filter(inner, grace_s=0.8)
    asyncio.run(crowd())
    assert statuses["stranger"] == [429] * 5 + [408] * STRANGERS_PLACES
    assert statuses["hospital"] == [200] + [408] * (PLACES - 1) + [200]


REPLY = {"run_id": 7, "message_id": "a" * 64, "src_node_id": 5, "dst_node_id": 1, "ttl": 60.0}
REPLY |= {"reply_to_message_id": "b" * 64, "message_type": "query", "created_at": 1.0}


def make_reply(node=5, **changes):
    """A reply as a link announces it."""
    from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
    from flwr.proto.node_pb2 import Node

    return PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=[Message(metadata=Metadata(**REPLY | changes))],
        message_object_trees=[ObjectTree(object_id="a" * 64)],
        clientapp_runtime_list=[1.0],
    )


def push(request):
    """Status and whether it reached the app, of one who was handed an instruction."""
    inner = Inner(answer=b"an instruction")
    through = make_filter(inner)
    ask(make_scope(), through=through)
    body = request.SerializeToString()
    status, _, _ = ask(make_scope(ANNOUNCE, length=str(len(body)).encode()), body, through=through)
    return status, len(inner.requests) == 2


def test_a_sites_reply_passes():
    assert push(make_reply()) == (200, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"src_node_id": 1},
        {"src_node_id": 1, "dst_node_id": 6, "reply_to_message_id": ""},
        {"src_node_id": 6},
        {"dst_node_id": 6},
        {"dst_node_id": 0},
        {"reply_to_message_id": ""},
        {"reply_to_message_id": "b\n"},
        {"message_id": ""},
        {"message_id": "c" * 64},
        {"message_type": "system"},
        {"message_type": ""},
        {"group_id": "g" * 129},
        {"group_id": "\x1b"},
        {"ttl": float("nan")},
        {"created_at": float("inf")},
        {"node": 1, "src_node_id": 1},
        {"node": 0},
    ],
)
def test_nobody_speaks_for_another(changes):
    assert push(make_reply(**changes)) == (403, False)


def test_one_reply_comes_at_a_time_and_nothing_long_beside_it():
    for field_name in ("messages_list", "message_object_trees", "clientapp_runtime_list"):
        request = make_reply()
        values = getattr(request, field_name)
        values.extend([values[0]])
        assert push(request) == (403, False)
    assert push(PushMessagesRequest()) == (403, False)
    for reason in ("x" * 129, "line\nline"):
        request = make_reply()
        request.messages_list[0].error.reason = reason
        assert push(request) == (403, False)
    request = make_reply()
    request.messages_list[0].content.items.add().key = "bytes"
    assert push(request) == (403, False)
    request = make_reply()
    request.clientapp_runtime_list[0] = float("inf")
    assert push(request) == (403, False)
    assert refused(ask(make_scope(ANNOUNCE, length=b"6"), b"sealed"), 403)


def test_a_site_pushes_what_it_was_asked_for_and_no_more():
    inner = Inner(answer=PullMessagesResponse().SerializeToString())
    through = make_filter(inner, largest_message=10**6)
    piece = bytes(4 * 10**6)

    def upload(content=piece):
        return ask(make_scope(UPLOAD, length=str(len(content)).encode()), content, through=through)[0]

    def poll(status, answer):
        inner.status, inner.answer = status, answer
        ask(make_scope(), through=through)
        inner.status, inner.answer = 200, b""

    # Handed out by a SuperLink that has died: Flower itself says that this run is over
    poll(200, b"")
    assert upload() == 200
    for _ in range(2):
        poll(200, b"an instruction")
        poll(200, b"another")
        # Four times the largest answer and 16 MiB: five pieces, and a few bytes
        assert [upload() for _ in range(6)] == [200] * 5 + [403]
        assert upload(b"a few") == 200
        poll(200, b"")
        poll(401, b"a refusal")
        assert upload() == 403
    answer = ask(make_scope(UPLOAD, length=b"4000000"), piece, through=through)[1]
    assert code_of(httpx.Response(403, content=answer)) == ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED


def test_a_site_announces_an_answer_so_often():
    inner = Inner(answer=b"an instruction")
    through = make_filter(inner)
    ask(make_scope(), through=through)
    body = make_reply().SerializeToString()
    scope = make_scope(ANNOUNCE, length=str(len(body)).encode())
    statuses = [
        ask(dict(scope), body, through=through)[0] for _ in range(ROOM_BYTES // ANNOUNCEMENT_BYTES + 1)
    ]
    assert statuses == [200] * (ROOM_BYTES // ANNOUNCEMENT_BYTES) + [403]


def test_a_sender_who_leaves_early_reaches_nobody():
    first = {"type": "http.request", "body": b"s", "more_body": True}
    assert refused(ask(make_scope(length=b"6"), first, {"type": "http.disconnect"}))


def test_flower_sees_no_word_of_the_sender_but_the_headers_it_needs():
    signed = dict(sign())
    kept = [(name.encode(), signed.get(name.encode(), b"value")) for name in FLEET_HEADERS]
    dropped = [
        (b"Host", b"study/v1/control/start-run?"),
        (b"X-HTTP-Method-Override", b"GET"),
        (b"x-original-url", b"/docs"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"flwr-task-token", b"a"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
    ]
    _, _, ((scope, _),) = ask(make_scope(headers=[*dropped, *kept], path=PATH, signed=[]))
    assert scope["headers"] == [*kept, (b"host", b"superlink"), (b"content-length", b"0")]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (PATH, PATH.encode(), b"")


def test_a_websocket_is_closed():
    inner, answer = Inner(), []

    async def send(event):
        answer.append(event["type"])

    asyncio.run(make_filter(inner)({"type": "websocket", "raw_path": PATH.encode()}, None, send))
    assert (answer, inner.others) == (["websocket.close"], [])


def test_the_lifespan_is_the_apps_only_where_the_filter_owns_it():
    inner, answer = Inner(), []
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return events.pop(0)

    async def send(event):
        answer.append(event["type"])

    asyncio.run(make_filter(inner)({"type": "lifespan"}, receive, send))
    assert answer == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert inner.others == []
    asyncio.run(make_filter(inner, owns_lifespan=True)({"type": "lifespan"}, receive, send))
    assert inner.others == [{"type": "lifespan"}]


def test_a_client_gets_flowers_answer_or_an_empty_one():
    async def ask_both():
        transport = httpx.ASGITransport(make_filter(Inner()))
        url, signed = "https://study.example.org", dict(sign())
        async with httpx.AsyncClient(transport=transport, base_url=url, headers=signed) as client:
            return await client.post(PATH, content=b"sealed"), await client.post(
                f"{PATH}/", content=b"sealed"
            )

    passed, stopped = asyncio.run(ask_both())
    assert (passed.status_code, passed.text) == (200, "ok")
    assert (stopped.status_code, stopped.text, stopped.headers["connection"]) == (404, "", "close")
