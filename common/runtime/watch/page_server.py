"""A board as a page that this computer alone can open: plain files, and one stream of events.

No other web site can read it: the address is the loopback's, the `Host` must name it (else a name of somebody
else's that resolves to 127.0.0.1 would do), and the browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from common.errors import StorageError
from common.runtime.watch.board import Board
from common.runtime.watch.exposition import CONTENT_TYPE, MetricFamily, write_exposition

_log = logging.getLogger(__name__)

_ADDRESS: Final = "127.0.0.1"
_HOSTS = frozenset(("127.0.0.1", "localhost", "[::1]"))
"""With any port: a tunnel may end at another one."""
_MOST_CONNECTIONS = 32
_PERIOD_S, _QUIET_S, _LAST_WORDS_S = 1.0, 10.0, 1.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
)
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True)
class Showcase:
    """What is shown, and in which forms.

    Attributes
    ----------
    board : callable
        What people see now.
    metrics : callable
        What monitoring sees now.
    state : callable
        The same as JSON for other programs.
    """

    board: Callable[[], Board]
    metrics: Callable[[], Iterable[MetricFamily]]
    state: Callable[[], dict[str, Any]]


@contextmanager
def serve_page(showcase: Showcase, port: int) -> Iterator[str]:
    """Serve the page while the context is open; yields its address.

    Parameters
    ----------
    showcase : Showcase
        Asked from several threads; may touch no file where this process changes its user.
    port : int
        Of 127.0.0.1; 0 for any that is free.

    Raises
    ------
    StorageError
        If something else listens there.
    """
    try:
        server = _PageServer(showcase, port)
    except OSError as failure:
        raise StorageError(
            f"the page cannot be served at {_ADDRESS}:{port} ({failure.strerror}) -> choose another --watch"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="page", daemon=True)
    thread.start()
    try:
        yield f"http://{_ADDRESS}:{server.server_address[1]}/"
    finally:
        server.is_over.set()
        server.shutdown()
        thread.join()
        server.await_readers()
        server.server_close()


class _PageServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, showcase: Showcase, port: int) -> None:
        self.showcase, self.is_over = showcase, threading.Event()
        folder = Path(__file__).parent
        self.files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}
        self._free = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__((_ADDRESS, port), _PageHandler)

    def await_readers(self) -> None:
        """Wait a moment until everybody who looks has been told the end."""
        deadline = time.monotonic() + _LAST_WORDS_S
        for _ in range(_MOST_CONNECTIONS):
            self._free.acquire(timeout=max(0.0, deadline - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, unless too many connections are open."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """Whoever looked has gone away, or a view failed: the work goes on."""
        _log.debug("a view of the page ended early", exc_info=True)


class _PageHandler(BaseHTTPRequestHandler):
    server: _PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rhe", ""
    timeout = 10.0
    """Seconds for which a connection may say nothing, or take nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if not _names_loopback(self.headers.get("Host", "")):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this page has no such name: open it as 127.0.0.1")
        elif path != "/" and self.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            self._refuse(HTTPStatus.FORBIDDEN, "another web site may not read this")
        elif path in self.server.files:
            self._send(*self.server.files[path])
        elif path == "/state.json":
            state = json.dumps(self.server.showcase.state(), ensure_ascii=False, indent=1)
            self._send(state.encode(), "application/json")
        elif path == "/metrics":
            self._send(write_exposition(self.server.showcase.metrics()).encode(), CONTENT_TYPE)
        elif path == "/events":
            self._stream()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def __getattr__(self, name: str) -> Callable[[], None]:
        """How every other method is answered: it is not allowed.

        Raises
        ------
        AttributeError
            If it is no method of HTTP.
        """
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """A look at the page is no event of the study."""

    def _refuse_method(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "this page can only be read", ("Allow", "GET"))

    def _refuse(self, status: HTTPStatus, why: str, *headers: tuple[str, str]) -> None:
        self._send(f"{why}\n".encode(), "text/plain; charset=utf-8", status, *headers)

    def _send(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, *headers: tuple[str, str]
    ) -> None:
        self._begin(kind, status, ("Content-Length", str(len(content))), *headers)
        self.wfile.write(content)

    def _begin(self, kind: str, status: HTTPStatus, *headers: tuple[str, str]) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in (("Content-Type", kind), *headers, *_HEADERS):
            self.send_header(name, value)
        self.end_headers()

    def _stream(self) -> None:
        """Send the board whenever it has changed, until the work or the reader ends."""
        self._begin("text/event-stream", HTTPStatus.OK)
        self.wfile.write(b"retry: 2000\n\n")
        told, at = "", 0.0
        is_over = False
        with suppress(ConnectionError, TimeoutError, socket.timeout):
            while not is_over:
                # Once more after the end: it is what a reader wants to know
                is_over = self.server.is_over.is_set()
                board = json.dumps(self.server.showcase.board().write_json(), ensure_ascii=False)
                if board != told:
                    self.wfile.write(f"data: {board}\n\n".encode())
                    told, at = board, time.monotonic()
                elif time.monotonic() - at > _QUIET_S:
                    self.wfile.write(b": nothing new\n\n")
                    at = time.monotonic()
                if not is_over:
                    self.server.is_over.wait(_PERIOD_S)


def _names_loopback(host: str) -> bool:
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return (name if colon else host).lower() in _HOSTS and (not colon or port.isdigit())
