"""Requests that are spelled unlike a link's, as bytes: every one of them must end at the gateway.

A gateway that compares what is left after decoding lets some of them through; `test_gateway` shows which.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "/v1/fleet/pull-messages"
"""A path that a link uses."""

HOST = "study.example.org"
BODY = b"sealed"

_NORMAL = "Content-Type: application/protobuf\r\nConnection: close\r\n"
_LONG = "X-A: aaaaaaaaaa\r\n" * 2000
_SECOND = f"POST /v1/control/list-runs HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n".encode()


@dataclass(frozen=True)
class Spelling:
    """One request.

    Attributes
    ----------
    name : str
        What is unusual about it.
    request : bytes
        As it goes over the wire.
    """

    name: str
    request: bytes


def spell(  # noqa: PLR0917 - a request has as many parts
    path: str = EXACT,
    method: str = "POST",
    version: str = "HTTP/1.1",
    host: str = HOST,
    headers: str = _NORMAL,
    body: bytes = BODY,
) -> bytes:
    """A request of these parts, unchecked; by default the link's own."""
    start = f"{method} {path} {version}\r\nHost: {host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return start.encode("latin-1") + body


OTHER_PATHS = (
    "/",
    "/docs",
    "/docs/oauth2-redirect",
    "/openapi.json",
    "/redoc",
    "/metrics",
    "/refused",
    "/v1",
    "/v1/",
    "/v1/fleet",
    "/v1/fleet/",
    "/v1/fleet/register-node",
    "/v1/fleet/unregister-node",
    "/v1/fleet/get-fab",
    "/v1/control/start-run",
    "/v1/control/list-runs",
    "/v1/control/list-nodes",
    "/v1/control/register-node",
    "/v1/control/stop-run",
    "/v1/control/stream-logs",
    "/v1/control/pull-artifacts",
    "/v1/runtime/acquire-task",
    "/v1/runtime/pull-task-input",
    "/v1/runtime/push-messages",
    "/v1/runtime/pull-messages",
    "/v1/runtime/get-nodes",
    "/v1/runtime/push-logs",
    "/v1/responses",
)
"""What Flower's app answers besides, and what nginx itself might."""

WAYS_OUT = (
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/./../control/list-runs",
    "/v1/fleet../control/list-runs",
    "/v1/fleet//../../control/list-runs",
    "/v1/fleet/..//control/list-runs",
    "/v1/fleet/pull-messages/../../control/list-runs",
    "/v1/fleet/pull-messages/../register-node",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/%2E%2E/control/list-runs",
    "/v1/fleet/.%2e/control/list-runs",
    "/v1/fleet/%2e./control/list-runs",
    "/v1/fleet/..%2fcontrol/list-runs",
    "/v1/fleet/..%2Fcontrol%2Flist-runs",
    "/v1/fleet%2f..%2fcontrol/list-runs",
    "/v1/fleet/%2e%2e%2fcontrol/list-runs",
    "/v1/fleet/%252e%252e/control/list-runs",
    "/v1/fleet/%252e%252e%252fcontrol/list-runs",
    "/v1/fleet/..%5ccontrol/list-runs",
    "/v1/fleet/..\\control\\list-runs",
    "/v1/fleet/%5c..%5ccontrol/list-runs",
    "/v1/fleet/..;/control/list-runs",
    "/v1/fleet/..;a=b/control/list-runs",
    "/v1/fleet/.;/../control/list-runs",
    "/v1/fleet;/../control/list-runs",
    "/v1/fleet/%c0%ae%c0%ae/control/list-runs",
    "/v1/fleet/%e0%80%ae%e0%80%ae/control/list-runs",
    "/v1/fleet/\xc0\xae\xc0\xae/control/list-runs",
    "/v1/fleet/%u002e%u002e/control/list-runs",
    "/v1/fleet/..%00/control/list-runs",
    "/v1/fleet/%00/../control/list-runs",
    "/v1/fleet/..%0d%0a/control/list-runs",
    "/v1/fleet/../../docs",
    "/v1/fleet/../../openapi.json",
    "/v1/fleet/../../../../docs",
    "/v1/fleet/../runtime/acquire-task",
    "/v1/fleet/%2e%2e/runtime/acquire-task",
    "/v1/./control/list-runs",
    "/./v1/control/list-runs",
    "//v1/control/list-runs",
    "/v1//control/list-runs",
    "/V1/CONTROL/LIST-RUNS",
    "/v1/c%6fntrol/list-runs",
    "/%76%31/control/list-runs",
    "/v1/control/list-runs?/v1/fleet/pull-messages",
    "/v1/control/list-runs#/v1/fleet/pull-messages",
    "/v1/control/list-runs;/v1/fleet/pull-messages",
    "/v1/control/list-runs%3f/v1/fleet/pull-messages",
    "/v1/control/list-runs%23/v1/fleet/pull-messages",
    "/v1/fleet/pull-messages?path=/v1/control/list-runs",
    "/health/../v1/control/list-runs",
    "/health/%2e%2e/docs",
)
"""Paths outside the Fleet's that begin, or seem to end, inside it."""

ODD_PATHS = (
    f"{EXACT}/",
    f"{EXACT}//",
    f"{EXACT}.",
    f"{EXACT}..",
    f"{EXACT}/.",
    f"{EXACT}/..",
    f"{EXACT}?",
    f"{EXACT}?a=b",
    f"{EXACT}#",
    f"{EXACT}#a",
    f"{EXACT};",
    f"{EXACT};a=b",
    f"{EXACT}&",
    f"{EXACT}%",
    f"{EXACT}%00",
    f"{EXACT}%0a",
    f"{EXACT}%0d%0a",
    f"{EXACT}%09",
    f"{EXACT}%20",
    f"{EXACT}%2f",
    f"{EXACT}%3f",
    f"{EXACT}+",
    f"{EXACT}~",
    f"{EXACT}*",
    f"{EXACT}.json",
    f"{EXACT}\xa0",
    f"{EXACT}s",
    "/v1/fleet/pull-message",
    "/v1/fleet/pull_messages",
    "/v1/fleet/pull-Messages",
    "/v1/fleet/PULL-MESSAGES",
    "/v1/Fleet/pull-messages",
    "/V1/fleet/pull-messages",
    "/v1/fleet//pull-messages",
    "/v1//fleet/pull-messages",
    "//v1/fleet/pull-messages",
    "///v1/fleet/pull-messages",
    "/./v1/fleet/pull-messages",
    "/v1/./fleet/pull-messages",
    "/v1/fleet/./pull-messages",
    "/v1/fleet/a/../pull-messages",
    "/../v1/fleet/pull-messages",
    "/v1/fleet/%2e/pull-messages",
    "/v1/fleet/a/%2e%2e/pull-messages",
    "/v1/fleet/%70ull-messages",
    "/v1/fleet/pull%2dmessages",
    "/v1/fleet/pull%2Dmessages",
    "/v1%2ffleet/pull-messages",
    "/v1%2Ffleet%2Fpull-messages",
    "/%76%31/fleet/pull-messages",
    "/v1/%66leet/pull-messages",
    "%2fv1/fleet/pull-messages",
    "/v1/fleet\\pull-messages",
    "\\v1\\fleet\\pull-messages",
    "/v1/fleet/%5cpull-messages",
    "/v1;a/fleet/pull-messages",
    "/v1/fleet;a/pull-messages",
    "/v1/fleet/pull-messages,push-messages",
    "/v1/fleet/pull-messages|push-messages",
    "/v1/fleet/pull\u00admessages",
    "/v1/fleet/pull-mess\xe4ges",
    "v1/fleet/pull-messages",
    "*",
    f"http://{HOST}{EXACT}",
    f"https://{HOST}{EXACT}",
    f"HTTPS://{HOST}{EXACT}",
    f"https://{HOST}:8443{EXACT}",
    f"https://attacker.example{EXACT}",
    f"https://user@{HOST}{EXACT}",
    f"//{HOST}{EXACT}",
    f"unix:/fleet.sock:{EXACT}",
    "/health",
    "/health/",
    "/x/v1/fleet/pull-messages",
    "/v1/fleet/v1/fleet/pull-messages",
)
"""The Fleet's own paths, or nearly; the resource may be the link's, the letters are not."""

ODD_METHODS = (
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "MKCOL",
    "MOVE",
    "LOCK",
    "PURGE",
    "PRI",
    "QUERY",
    "post",
    "Post",
    "pOST",
    "POST_",
    "POST2",
    "XPOST",
    "POST\t",
    " POST",
    "POST\x0b",
    "G",
)
ODD_VERSIONS = (
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/1.2",
    "HTTP/1.9",
    "HTTP/2.0",
    "HTTP/2",
    "HTTP/3.0",
    "HTTP/01.1",
    "HTTP/1.01",
    "http/1.1",
    "HTTPS/1.1",
    "HTTP/1.1 ",
    " HTTP/1.1",
    "HTTP/1.1 x",
)
ODD_HOSTS = (
    "attacker.example",
    "superlink",
    "",
    f"{HOST}.",
    f"{HOST}.attacker.example",
    f"x{HOST}",
    f"user@{HOST}",
    f"{HOST}/v1/control/list-runs?",
    f"{HOST}:port",
    f"{HOST}:8443:8443",
    f"{HOST}, attacker.example",
    f"{HOST}\r\nHost: attacker.example",
    f"{HOST}\r\nHost: {HOST}",
    "STUDY.example.org",
    "192.0.2.1",
    "[::1]",
)
ODD_FRAMES = {
    "chunked": f"{_NORMAL}Transfer-Encoding: chunked\r\n\r\n6\r\nsealed\r\n0\r\n\r\n",
    "chunked before a length": f"{_NORMAL}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "a length before chunked": f"{_NORMAL}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in capitals": f"{_NORMAL}Transfer-Encoding: CHUNKED\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{_NORMAL}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": f"{_NORMAL}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": f"{_NORMAL}Transfer-Encoding: identity\r\nContent-Length: 6\r\n\r\nsealed",
    "an unknown encoding": f"{_NORMAL}Transfer-Encoding: xchunked\r\nContent-Length: 6\r\n\r\nsealed",
    "gzip, chunked": f"{_NORMAL}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": f"{_NORMAL}Content-Length : 6\r\n\r\nsealed",
    "a folded line": f"{_NORMAL}Content-Length: 6\r\nX-A: 1\r\n Transfer-Encoding: chunked\r\n\r\nsealed",
    "a folded encoding": f"{_NORMAL}Transfer-Encoding:\r\n chunked\r\nContent-Length: 6\r\n\r\nsealed",
    "two lengths": f"{_NORMAL}Content-Length: 6\r\nContent-Length: 7\r\n\r\nsealed",
    "two equal lengths": f"{_NORMAL}Content-Length: 6\r\nContent-Length: 6\r\n\r\nsealed",
    "a list of lengths": f"{_NORMAL}Content-Length: 6, 6\r\n\r\nsealed",
    "a signed length": f"{_NORMAL}Content-Length: +6\r\n\r\nsealed",
    "a negative length": f"{_NORMAL}Content-Length: -6\r\n\r\nsealed",
    "a hexadecimal length": f"{_NORMAL}Content-Length: 0x6\r\n\r\nsealed",
    "a length with a point": f"{_NORMAL}Content-Length: 6.0\r\n\r\nsealed",
    "no length": f"{_NORMAL}\r\nsealed",
    "an empty length": f"{_NORMAL}Content-Length:\r\n\r\nsealed",
    "a length beyond 64 bits": f"{_NORMAL}Content-Length: 18446744073709551622\r\n\r\nsealed",
    "ten gigabytes": f"{_NORMAL}Content-Length: 10737418240\r\n\r\nsealed",
    "one byte too many": f"{_NORMAL}Content-Length: 6291457\r\n\r\nsealed",
    "a NUL in a header": f"{_NORMAL}X-A: a\x00b\r\nContent-Length: 6\r\n\r\nsealed",
    "a line without a colon": f"{_NORMAL}nonsense\r\n Content-Length: 6\r\n\r\nsealed",
    "a header of 40 kB": f"{_NORMAL}X-A: {'a' * 40_000}\r\nContent-Length: 6\r\n\r\nsealed",
    "2000 headers": f"{_NORMAL}{_LONG}Content-Length: 6\r\n\r\nsealed",
}
"""Headers and body after a link's own request line and host."""

_HEALTH = f"GET /health HTTP/1.1\r\nHost: {HOST}\r\n"
WHOLE = {
    "HTTP/0.9": f"POST {EXACT}\r\n\r\n".encode(),
    "HTTP/0.9 health": b"GET /health\r\n\r\n",
    "no host": f"POST {EXACT} HTTP/1.1\r\nContent-Length: 6\r\n\r\nsealed".encode(),
    "two spaces": spell().replace(b"POST ", b"POST  ", 1),
    "a tab": spell().replace(b"POST ", b"POST\t", 1),
    "a space in the path": spell("/v1/fleet/pull messages"),
    "a NUL in the path": spell("/v1/fleet/pull-messages\x00"),
    "a NUL within": spell("/v1/fleet/\x00pull-messages"),
    "a carriage return in the path": spell("/v1/fleet/pull-messages\r"),
    "a form feed after the path": spell(f"{EXACT}\x0c"),
    "health by HEAD": f"HEAD /health HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "health with a question": f"GET /health?a HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "health with a slash": f"GET /health/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "health in capitals": f"GET /HEALTH HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    "health with a body": f"{_HEALTH}Content-Length: 6\r\n\r\nsealed".encode(),
    "health, chunked": f"{_HEALTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "PROXY protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + spell(),
    "no request at all": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "an orphaned second request": spell("/docs", "GET", body=_SECOND),
}
"""Requests that are no variation of one part."""


def list_spellings() -> list[Spelling]:
    """Every request that must not pass, each once."""
    start = f"POST {EXACT} HTTP/1.1\r\nHost: {HOST}\r\n"
    return [
        *(Spelling(f"path {path!r}", spell(path)) for path in (*OTHER_PATHS, *WAYS_OUT, *ODD_PATHS)),
        *(Spelling(f"method {method!r}", spell(method=method)) for method in ODD_METHODS),
        *(Spelling(f"version {version!r}", spell(version=version)) for version in ODD_VERSIONS),
        *(Spelling(f"host {host!r}", spell(host=host)) for host in ODD_HOSTS),
        *(Spelling(f"frame: {name}", (start + rest).encode("latin-1")) for name, rest in ODD_FRAMES.items()),
        *(Spelling(name, request) for name, request in WHOLE.items()),
    ]


SILENCED_HEADERS = {
    "X-HTTP-Method-Override": "GET",
    "X-HTTP-Method": "DELETE",
    "X-Method-Override": "PUT",
    "X-Original-URL": "/v1/control/list-runs",
    "X-Rewrite-URL": "/v1/control/list-runs",
    "X-Original-URI": "/v1/control/list-runs",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/v1/control",
    "X-Real-IP": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;host=localhost",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA",
    "TE": "trailers",
    "Trailer": "X-A",
    "Cookie": "a=b",
    "Authorization": "Bearer a",
    "flwr-task-token": "a",
    "flwr-superexec-signature": "a",
    "Content-Encoding": "gzip",
    "Transfer_Encoding": "chunked",
    "Flwr_Signature": "a",
    "X-Accel-Redirect": "/v1/control/list-runs",
}
"""Headers that a well-spelled request may bring and that must not arrive."""
