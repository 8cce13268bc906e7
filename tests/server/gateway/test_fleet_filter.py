"""The filter before Flower's app: a link's requests pass, no other spelling and no other header does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from server.gateway.fleet_filter import FleetOnly
from server.gateway.fleet_paths import FLEET_CALLS, FLEET_HEADERS, LARGEST_BODY_BYTES

PATH = "/v1/fleet/pull-messages"
EXACT = frozenset(f"/v1/fleet/{call}".encode() for call in FLEET_CALLS)


@dataclass
class Inner:
    """What stands for Flower's app: keeps what reaches it.

    Attributes
    ----------
    requests : list of (scope, bytes)
    others : list of scope
        Scopes that are no requests.
    """

    requests: list = field(default_factory=list)
    others: list = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            self.others.append(scope)
            return
        event = await receive()
        assert not event["more_body"]
        self.requests.append((scope, event["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def make_scope(path=PATH, method="POST", headers=(), length=b"0", **changes):
    raw = path if isinstance(path, bytes) else path.encode()
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


def ask(scope, *parts, body_s=5.0):
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

    asyncio.run(FleetOnly(inner, body_s=body_s)(scope, receive, send))
    return answer[0]["status"], b"".join(event.get("body", b"") for event in answer), inner.requests


def is_stopped_at_once(scope):
    """Whether the filter answers with an empty 404 and neither reads a body nor asks the app."""
    inner, answer = Inner(), []

    async def send(event):
        answer.append(event)

    with pytest.raises(StopIteration):
        FleetOnly(inner)(scope, None, send).send(None)
    return answer[0]["status"] == 404 and answer[1]["body"] == b"" and not inner.requests


def refused(outcome, status=404):
    return outcome == (status, b"", [])


@pytest.mark.parametrize("call", FLEET_CALLS)
def test_every_call_of_a_link_passes(call):
    status, body, ((scope, arrived),) = ask(make_scope(f"/v1/fleet/{call}", length=b"6"), b"seal", b"ed")
    assert (status, body, arrived) == (200, b"ok", b"sealed")
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
    status, _, ((_, body),) = ask(make_scope(length=largest), bytes(LARGEST_BODY_BYTES))
    assert (status, len(body)) == (200, LARGEST_BODY_BYTES)
    # Judged by its announcement: not a byte of it is read
    assert refused(ask(make_scope(length=str(LARGEST_BODY_BYTES + 1).encode()), {"type": "unread"}), 413)
    assert refused(ask(make_scope(length=b"9" * 30), {"type": "unread"}))


def test_a_slow_body_is_not_waited_for():
    first = {"type": "http.request", "body": b"s", "more_body": True}
    assert refused(ask(make_scope(length=b"6"), first, body_s=0.02), 408)


def test_a_sender_who_leaves_early_reaches_nobody():
    first = {"type": "http.request", "body": b"s", "more_body": True}
    assert refused(ask(make_scope(length=b"6"), first, {"type": "http.disconnect"}))


def test_flower_sees_no_word_of_the_sender_but_the_headers_it_needs():
    kept = [(name.encode(), b"value") for name in FLEET_HEADERS]
    dropped = [
        (b"Host", b"study/v1/control/start-run?"),
        (b"X-HTTP-Method-Override", b"GET"),
        (b"x-original-url", b"/docs"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"flwr-task-token", b"a"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
    ]
    _, _, ((scope, _),) = ask(make_scope(headers=[*dropped, *kept], path=PATH, length=b"0"))
    assert scope["headers"] == [*kept, (b"host", b"superlink"), (b"content-length", b"0")]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (PATH, PATH.encode(), b"")


def test_a_websocket_is_closed():
    inner, answer = Inner(), []

    async def send(event):
        answer.append(event["type"])

    asyncio.run(FleetOnly(inner)({"type": "websocket", "raw_path": PATH.encode()}, None, send))
    assert (answer, inner.others) == (["websocket.close"], [])


def test_the_lifespan_is_the_apps_only_where_the_filter_owns_it():
    inner, answer = Inner(), []
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return events.pop(0)

    async def send(event):
        answer.append(event["type"])

    asyncio.run(FleetOnly(inner)({"type": "lifespan"}, receive, send))
    assert answer == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert inner.others == []
    asyncio.run(FleetOnly(inner, owns_lifespan=True)({"type": "lifespan"}, receive, send))
    assert inner.others == [{"type": "lifespan"}]


def test_a_client_gets_flowers_answer_or_an_empty_one():
    async def ask_both():
        transport = httpx.ASGITransport(FleetOnly(Inner()))
        async with httpx.AsyncClient(transport=transport, base_url="https://study.example.org") as client:
            return await client.post(PATH, content=b"sealed"), await client.post(
                f"{PATH}/", content=b"sealed"
            )

    passed, stopped = asyncio.run(ask_both())
    assert (passed.status_code, passed.text) == (200, "ok")
    assert (stopped.status_code, stopped.text, stopped.headers["connection"]) == (404, "", "close")
