"""A coordinator that sends a hospital's link on, to a service inside the hospital."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress

from tests.deployment.federation import COORDINATOR, OFFICE, TEST_PORTS, Federation
from tests.deployment.table import Attack, Seen

_PORT, _INSIDE = TEST_PORTS[10], TEST_PORTS[11]
_WAIT_S = 45.0


def start_redirection(federation: Federation) -> None:
    """Begin a genuine server that redirects, a service inside the hospital, and a link to the server."""
    host, site = federation.coordinator, federation.sites["a"]
    federation.begun["server"] = host.begin(COORDINATOR, redirect_clients, host.address, _WAIT_S)
    federation.begun["inside"] = site.host.begin("root", serve_inside, _WAIT_S)
    federation.ways.open_link(federation, _PORT)


def judge_redirection(federation: Federation) -> Seen:
    """Success if the link asked the service inside."""
    asked = federation.begun["server"].result(_WAIT_S + 20)
    heard = federation.begun["inside"].result(_WAIT_S + 20)
    if not asked:
        raise LookupError("the link did not call the server that redirects")
    return Seen(
        bool(heard), f"the service inside heard {heard[:60]!r}" if heard else f"{asked} calls, none followed"
    )


def redirect_clients(address: str, seconds: float) -> int:
    """How many requests were answered with a redirection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OFFICE / "tls" / "server.crt", OFFICE / "tls" / "server.key")
    asked, deadline = 0, time.monotonic() + seconds
    kinds = (301, 302, 307, 308)
    with socket.create_server((address, _PORT)) as server:
        server.settimeout(0.5)
        while time.monotonic() < deadline:
            with suppress(OSError):
                plain, _ = server.accept()
                plain.settimeout(2)
                with context.wrap_socket(plain, server_side=True) as client:
                    client.recv(65536)
                    where = f"http://127.0.0.1:{_INSIDE}/inside"
                    head = (
                        f"HTTP/1.1 {kinds[asked % 4]} Elsewhere\r\nLocation: {where}\r\nContent-Length: 0\r\n"
                    )
                    client.sendall(f"{head}Connection: close\r\n\r\n".encode())
                    asked += 1
    return asked


def serve_inside(seconds: float) -> bytes:
    """What a service inside the hospital hears."""
    heard, deadline = bytearray(), time.monotonic() + seconds
    with socket.create_server(("127.0.0.1", _INSIDE)) as server:
        server.settimeout(0.5)
        while time.monotonic() < deadline and not heard:
            with suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.settimeout(2)
                    heard += client.recv(4096)
    return bytes(heard)


ATTACKS = (
    Attack(
        "the coordinator redirects a link to a service inside the hospital",
        "succeeded: the service heard the request",
        judge_redirection,
    ),
)
