"""The page without a browser: who may read it, what is in it, and how it goes on."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from studies.metrics_text import read_exposition

from common.errors import StorageError
from common.runtime.watch.board import Board
from common.runtime.watch.exposition import gauge_of
from common.runtime.watch.page_server import Showcase, serve_page


@dataclass
class Shown:
    board: Board = field(default_factory=lambda: Board("A <b>study</b>", "running", "busy"))

    def showcase(self):
        return Showcase(lambda: self.board, lambda: [gauge_of("rhe_x", "X.", 1)], lambda: {"n": 1})


def find_port(address):
    return int(address.rsplit(":", 1)[1].strip("/"))


@pytest.fixture(scope="module")
def shown():
    return Shown()


@pytest.fixture(scope="module")
def port(shown):
    with serve_page(shown.showcase(), 0) as address:
        yield find_port(address)


def ask(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(
            method, path, headers={key.replace("_", "-"): text for key, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@contextmanager
def listen(port):
    """The stream of events, as lines."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    try:
        yield answer
    finally:
        connection.close()


def read_event(stream):
    """The next event's data; None at the end."""
    while line := stream.readline():
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))
    return None


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/state.json", "/metrics"])
def test_everything_has_the_strict_headers(port, path):
    status, headers, content = ask(port, path)

    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert content
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_the_page_loads_nothing_from_elsewhere_and_has_no_code_inside(port):
    page = ask(port)[2].decode()

    assert "//" not in page.replace("<!doctype html>", "")
    assert 'src="page.js"' in page
    assert "style=" not in page
    assert "onload=" not in page
    assert "<script>" not in page
    assert 'content="width=device-width' in page


def test_names_are_set_as_text(port):
    code = ask(port, "/page.js")[2].decode()

    assert "innerHTML" not in code
    assert "insertAdjacentHTML" not in code
    assert "eval" not in code


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1", "127.0.0.1:x", "[::2]"],
)
def test_a_name_that_somebody_else_lets_resolve_to_this_computer_reads_nothing(port, host):
    status, _, content = ask(port, "/state.json", Host=host)

    assert status == 421
    assert b'"n"' not in content


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "LOCALHOST", "[::1]:1", "[::1]"])
def test_this_computer_is_named_in_several_ways_and_a_tunnel_ends_at_any_port(port, host):
    assert ask(port, "/state.json", Host=host)[0] == 200


def test_another_web_site_may_embed_nothing(port):
    assert ask(port, "/events", Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(port, "/page.js", Sec_Fetch_Site="same-site")[0] == 403
    assert ask(port, "/page.js", Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(port, "/", Sec_Fetch_Site="cross-site")[0] == 200  # whoever follows a link


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_it_can_only_be_read(port, method):
    status, headers, _ = ask(port, "/", method)

    assert status == 405
    assert headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "path", ["/../server.toml", "/page_server.py", "/etc/passwd", "//evil.example", "/%2e%2e/x"]
)
def test_nothing_else_is_there(port, path):
    assert ask(port, path)[0] == 404


def test_state_and_metrics_are_for_programs(port):
    assert json.loads(ask(port, "/state.json")[2]) == {"n": 1}
    assert read_exposition(ask(port, "/metrics")[2].decode()) == {"rhe_x": ("gauge", {(): 1.0})}


def test_the_stream_tells_what_has_changed(monkeypatch, port, shown):
    monkeypatch.setattr("common.runtime.watch.page_server._PERIOD_S", 0.01)
    shown.board = Board("A <b>study</b>", "running", "busy")
    with listen(port) as stream:
        first = read_event(stream)
        shown.board = Board("A study", "finished at 14:03", "good")
        second = read_event(stream)

    assert first["title"] == "A <b>study</b>"
    assert second["condition"] == "finished at 14:03"


def test_the_end_is_told_before_the_stream_ends(shown):
    with ExitStack() as page:
        port = find_port(page.enter_context(serve_page(shown.showcase(), 0)))
        with listen(port) as stream:
            read_event(stream)
            shown.board = Board("A study", "failed", "bad")
            page.close()

            assert read_event(stream)["condition"] == "failed"
            assert read_event(stream) is None


def test_too_many_connections_are_closed_and_the_next_one_is_served(monkeypatch, shown):
    monkeypatch.setattr("common.runtime.watch.page_server._MOST_CONNECTIONS", 2)
    with serve_page(shown.showcase(), 0) as address:
        port = find_port(address)
        with listen(port) as one, listen(port) as two:
            read_event(one)
            read_event(two)
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                ask(port)


def test_a_port_that_is_taken_is_told(shown):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(StorageError, match="choose another --watch"),
            serve_page(shown.showcase(), taken.getsockname()[1]),
        ):
            pass


def test_no_other_computer_can_connect(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        # An address of this computer that is not 127.0.0.1
        with pytest.raises(OSError):
            probe.connect(("127.0.0.2", port))
