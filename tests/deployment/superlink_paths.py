"""From a hospital to the SuperLink's paths: all of them, in all spellings, with and without credentials."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.deployment.federation import COORDINATOR, NAME, PORT, TEST_PORTS, Federation
from tests.deployment.spellings import list_spellings
from tests.deployment.table import Attack, Seen
from tests.deployment.wire import Answer, Door, ask, send, sign_headers

PAGES = (("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/redoc"), ("GET", "/docs/oauth2-redirect"))
"""What the web framework adds."""

CALLS = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "send-node-heartbeat",
)
"""What a link calls; neither code nor registration is among it."""

_GIGANTIC, _POURED, _PIECE = 10 * 10**9, 256 * 10**6, bytes(1 << 20)

Route = tuple[str, str]


def list_routes() -> list[Route]:
    """Method and path of all that Flower's SuperLink serves, as it states itself."""
    from flwr.superlink.main import create_app

    paths = create_app().openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def is_for_hospitals(path: str) -> bool:
    """Whether hospitals need the path."""
    return path in {f"/v1/fleet/{call}" for call in CALLS} or path == "/health"


def knock(door: Door, routes: Sequence[Route], node_key: bytes = b"") -> list[tuple[Route, Answer]]:
    """The answers to requests for paths, signed with a node's key if there is one."""
    headers = sign_headers(node_key) if node_key else {}
    with ThreadPoolExecutor(4) as senders:
        answers = senders.map(lambda route: ask(door, route[0], route[1], b"", headers), routes)
        return list(zip(routes, answers, strict=True))


def try_foreign_paths(federation: Federation, *, signed: bool) -> Seen:
    site = federation.sites["a"]
    key = site.host.read(site.node_key) if signed else b""
    door = Door(NAME, PORT, federation.read_authority().decode())
    answers = site.host.perform(site.link_user, knock_foreign, door, key, timeout_s=90)
    return judge(answers)


def knock_foreign(door: Door, key: bytes) -> list[tuple[Route, Answer]]:
    """The answers to every path that no hospital needs."""
    return knock(door, [*(route for route in list_routes() if not is_for_hospitals(route[1])), *PAGES], key)


def knock_fleet(door: Door, key: bytes) -> list[tuple[Route, Answer]]:
    """The answers to every path that hospitals need."""
    return knock(door, [("POST", f"/v1/fleet/{call}") for call in CALLS], key)


def judge(answers: Sequence[tuple[Route, Answer]]) -> Seen:
    """Success if the SuperLink itself answered one of them."""
    reached = [(route, answer) for route, answer in answers if answer.came_from_superlink]
    statuses = sorted({answer.status for _, answer in answers})
    if reached:
        shown = ", ".join(f"{path} {answer.status}" for (_, path), answer in reached[:3])
        return Seen(True, f"the SuperLink answered {len(reached)} of {len(answers)} paths: {shown}")
    return Seen(False, f"{len(answers)} paths, statuses {statuses}, none answered by the SuperLink")


def try_fleet_without_credentials(federation: Federation) -> Seen:
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answers = site.host.perform(site.link_user, knock_fleet, door, b"")
    let_in = [
        (path, answer.status) for (_, path), answer in answers if answer.status not in (0, 400, 401, 403)
    ]
    if let_in:
        return Seen(True, f"{len(let_in)} of {len(answers)} without signature: {let_in[:3]}")
    return Seen(False, f"{len(answers)} paths, statuses {sorted({answer.status for _, answer in answers})}")


def try_ports(federation: Federation) -> Seen:
    """Every TCP port on which something listens at the coordinator."""
    listening = federation.coordinator.perform("root", list_tcp_ports)
    site = federation.sites["a"]
    ports = sorted({port for _, port in listening if port not in TEST_PORTS})
    address = federation.coordinator.address
    opened = site.host.perform(site.link_user, find_open_ports, address, ports)
    others = [port for port in opened if port != PORT]
    on_loopback = [port for where, port in listening if where.startswith("127.")]
    if others:
        return Seen(True, f"ports {others} are open beside {PORT}")
    return Seen(False, f"only {PORT} is open; on loopback listen {on_loopback or 'none'}")


def list_tcp_ports() -> list[tuple[str, int]]:
    """Address and port of every socket that listens on this host."""
    listening = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":
            address, port = fields[1].split(":")
            listening.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return listening


def find_open_ports(address: str, ports: Sequence[int]) -> list[int]:
    """Which of these ports accept a connection."""
    opened = []
    for port in ports:
        try:
            socket.create_connection((address, port), timeout=2).close()
            opened.append(port)
        except OSError:
            continue
    return opened


def control_foreign_paths(federation: Federation) -> Seen:
    """The coordinator's own user, at the SuperLink itself: it must be answered."""
    door = federation.ways.find_control(federation)
    return judge(federation.coordinator.perform(COORDINATOR, knock_foreign, door, b"", timeout_s=90))


def try_spellings(federation: Federation) -> Seen:
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answers = site.host.perform(site.link_user, send_spellings, door, timeout_s=120)
    reached = [(name, answer.status) for name, answer in answers if answer.came_from_superlink]
    statuses = sorted({answer.status for _, answer in answers})
    if reached:
        return Seen(True, f"{len(reached)} of {len(answers)} answered by the SuperLink: {reached[:3]}")
    return Seen(False, f"{len(answers)} spellings, statuses {statuses}")


def control_spellings(federation: Federation) -> Seen:
    """A fleet path in its right spelling, unsigned: the SuperLink itself must refuse it."""
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answer = site.host.perform(site.link_user, ask, door, "POST", "/v1/fleet/pull-messages")
    return Seen(answer.came_from_superlink, f"pull-messages: {answer.status}")


def try_gigantic_body(federation: Federation) -> Seen:
    """A body of 10 GB, without credentials, to a path that hospitals need."""
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    taken, status = site.host.perform(site.link_user, pour_body, door, timeout_s=90)
    return Seen(
        taken >= _POURED,
        f"{taken / 1e6:.0f} MB of {_GIGANTIC / 1e9:.0f} GB were taken, then {status or 'the line was cut'}",
    )


def pour_body(door: Door) -> tuple[int, int]:
    """How many bytes of a gigantic body are taken, up to what proves it, and the status that ends it."""
    sent, answer = 0, b""
    head = f"POST /v1/fleet/push-object HTTP/1.1\r\nHost: {door.host}\r\n"
    head += f"Content-Type: application/protobuf\r\nContent-Length: {_GIGANTIC}\r\n\r\n"
    with door.connect() as connection:
        connection.sendall(head.encode())
        connection.settimeout(2)
        # Who refuses a body may still swallow the rest; what counts is what is taken before a refusal
        with suppress(TimeoutError):
            answer = connection.recv(4096)
        with suppress(OSError):
            while sent < _POURED and not answer:
                connection.sendall(_PIECE)
                sent += len(_PIECE)
    return sent, int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


def send_spellings(door: Door) -> list[tuple[str, Answer]]:
    """The answers to all spellings."""
    spellings = list_spellings()
    with ThreadPoolExecutor(16) as senders:
        answers = senders.map(lambda spelling: send(door, spelling.request), spellings)
        return [(spelling.name, answer) for spelling, answer in zip(spellings, answers, strict=True)]


ATTACKS = (
    Attack(
        "a hospital: every other path of the SuperLink, no credentials",
        "succeeded: 70 of 70 answered; list-runs, list-nodes, acquire-task, /docs 200",
        lambda federation: try_foreign_paths(federation, signed=False),
        control_foreign_paths,
    ),
    Attack(
        "a hospital: the same, signed with its node's key",
        "succeeded: 70 of 70 answered",
        lambda federation: try_foreign_paths(federation, signed=True),
        control_foreign_paths,
    ),
    Attack("a hospital: the fleet's paths, no credentials", "refused: 401", try_fleet_without_credentials),
    Attack(
        "a hospital: paths, methods, hosts and frames in other spellings",
        "succeeded: the SuperLink answered 185 of 257",
        try_spellings,
        control_spellings,
    ),
    Attack(
        "a hospital: a body of 10 GB, no credentials",
        "succeeded: 257 MB were taken before anybody asked who sends",
        try_gigantic_body,
    ),
    Attack("a hospital: other TCP ports of the coordinator", "refused: only the tunnel's", try_ports),
)
