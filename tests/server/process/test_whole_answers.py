"""Flower's layers hand whole answers on: as through Starlette's streams, by the same layers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.main import create_app
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from server.process import superlink_service
from server.process.whole_answers import WHOLE, WholeAnswers, hand_on_whole_answers

PULL, PUSH, STREAM = "/v1/fleet/pull-messages", "/v1/runtime/push-messages", "/v1/control/stream-logs"


class Outer(BaseHTTPMiddleware):
    """Reads the body, translates failures, and adds to whatever comes back."""

    async def dispatch(self, request, call_next):
        request.state.seen = await request.body()
        try:
            response = await call_next(request)
        except LookupError as failure:
            return PlainTextResponse(f"translated {failure}", 409)
        response.headers["x-outer"] = "1"
        return response


class Inner(BaseHTTPMiddleware):
    """Refuses, replaces an answer, or leaves it as it is."""

    def __init__(self, app, word):
        super().__init__(app)
        self._word = word

    async def dispatch(self, request, call_next):
        if request.headers.get("x-refuse"):
            return PlainTextResponse(self._word, 401)
        response = await call_next(request)
        if request.headers.get("x-replace"):
            replaced = PlainTextResponse(self._word, response.status_code)
            replaced.headers.raw.extend(pair for pair in response.headers.raw if pair[0].startswith(b"x-"))
            return replaced
        return response


async def answer(request):
    body = await request.body()
    if body == b"missing":
        raise LookupError("nothing there")
    if body == b"broken":
        raise ZeroDivisionError
    assert request.state.seen == body
    return PlainTextResponse(body * 2, 201, {"x-own": "a"})


async def stream(_request):
    async def pieces():
        yield b"one"
        yield b"two"

    return StreamingResponse(pieces())


def make_app(*, whole):
    layers = [Middleware(Outer), Middleware(Inner, word="no")]
    routes = [Route(path, answer, methods=["POST"]) for path in (PULL, PUSH)]
    app = Starlette(routes=[*routes, Route(STREAM, stream, methods=["POST"])], middleware=layers)
    if whole:
        hand_on_whole_answers(app)
    return app


def ask(app, path, body, *headers, cut=False):
    """Status, headers and body of the answer, and in how many parts it came."""
    events = [{"type": "http.request", "body": body[:2], "more_body": True}]
    events.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": body[2:]})
    sent = []

    async def receive():
        if events:
            return events.pop(0)
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), b"1") for name in headers],
        "server": ("superlink", 80),
        "client": None,
        "state": {},
    }
    asyncio.run(app(scope, receive, send))
    start, *parts = sent
    return start["status"], sorted(start["headers"]), b"".join(part.get("body", b"") for part in parts)


@pytest.mark.parametrize("path", [PULL, PUSH, STREAM, "/nowhere"])
@pytest.mark.parametrize("body", [b"", b"abcdef", b"missing"])
@pytest.mark.parametrize("header", ["x-refuse", "x-replace", "x-nothing"])
def test_answers_are_the_same_as_through_streams(path, body, header):
    assert ask(make_app(whole=True), path, body, header) == ask(make_app(whole=False), path, body, header)


def test_what_nobody_translates_is_raised():
    with pytest.raises(ZeroDivisionError):
        ask(make_app(whole=True), PULL, b"broken")


def test_a_body_that_is_cut_reaches_no_handler():
    with pytest.raises(ClientDisconnect):
        ask(make_app(whole=True), PULL, b"abcdef", cut=True)


def test_every_layer_of_flowers_app_is_one_that_hands_on_whole_answers():
    """A layer of another kind would run as Flower has it; so many make a round four times as long."""
    app = create_app()
    layers = list(app.user_middleware)
    assert len(layers) >= 5
    assert all(issubclass(layer.cls, BaseHTTPMiddleware) for layer in layers)

    hand_on_whole_answers(app)

    assert [layer.cls for layer in app.user_middleware] == [WholeAnswers] * len(layers)
    assert [layer.args for layer in app.user_middleware] == [(layer,) for layer in layers]


def test_the_superlink_hands_on_whole_answers():
    office = SimpleNamespace(settings=SimpleNamespace(port=20_001))

    app = superlink_service._make_app(office)

    assert {layer.cls for layer in app.user_middleware} == {WholeAnswers}


def test_whole_answers_are_calls_of_flower_that_answer_with_one_message():
    assert {("POST", path) for path in WHOLE} <= PROTOBUF_REQUEST_TYPES.keys()
    assert not any("stream" in path for path in WHOLE)
