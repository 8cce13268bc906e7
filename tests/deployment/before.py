"""The study as the code before commanded it, to see again that the attacks succeeded there.

`python -m tests.deployment --before FOLDER` takes a checkout of commit 9a7d608 with its own environment.
There each hospital had one user, and the guide's tunnel led to the SuperLink's port on loopback.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.deployment.federation import (
    AUTHORITY,
    COORDINATOR,
    HOME,
    NAME,
    OFFICE,
    PORT,
    SIGNER,
    Federation,
    Site,
    Ways,
    copy_folder,
    make_federation,
    send_file,
)
from tests.deployment.hosts import wait_until
from tests.deployment.wire import Door

_METHOD = "/rhe.Engine/Handle"


def open_before(code: Path, visible: Sequence[Path], plan: str, data: dict[str, Path]) -> Federation:
    """Coordinator and hospitals of the code before, connected."""
    federation = make_federation(code, WAYS, visible, list(data), two_users=False)
    provision(federation, plan, data)
    coordinator = federation.coordinator
    server = federation.begin(coordinator, COORDINATOR, "rhe-server", "start", OFFICE)
    federation.server = server
    server.wait_for("listens", 90)
    coordinator.begin(COORDINATOR, forward_port, coordinator.address)
    for site in federation.sites.values():
        site.process = federation.begin(site.host, site.engine_user, "rhe-client", "start", site.folder)
        site.process.wait_for("connected", 120)
    return federation


def provision(federation: Federation, plan: str, data: dict[str, Path]) -> None:
    """Make keys, invitation, cards and roster, as the guide says."""
    coordinator, authority = federation.coordinator, federation.authority
    federation.run(authority, SIGNER, "rhe-authority", "init", AUTHORITY)
    public, proposal, roster = HOME / "authority.pub", HOME / "study.proposal", HOME / "study.roster"
    send_file(authority, AUTHORITY / "authority.pub", coordinator, COORDINATOR, public)
    coordinator.write(COORDINATOR, HOME / "study.toml", plan.encode())
    office = ("--plan", HOME / "study.toml", "--host", NAME, "--port", str(PORT), "--authority", public)
    federation.run(coordinator, COORDINATOR, "rhe-server", "init", OFFICE, *office)
    for site in federation.sites.values():
        copy_folder(data[site.name], site)
        user = site.engine_user
        send_file(coordinator, OFFICE / "study.invitation", site.host, user, site.folder / "study.invitation")
        invitation = site.folder / "study.invitation"
        federation.run(site.host, user, "rhe-client", "init", site.folder, "--invitation", invitation)
        card = HOME / f"{site.name}.card"
        send_file(site.host, site.state / f"{site.name}.card", coordinator, COORDINATOR, card)
        federation.run(coordinator, COORDINATOR, "rhe-server", "enrol", OFFICE, card)
    federation.run(coordinator, COORDINATOR, "rhe-server", "roster", OFFICE, "--out", proposal)
    send_file(coordinator, proposal, authority, SIGNER, proposal)
    federation.run(authority, SIGNER, "rhe-authority", "sign", AUTHORITY, proposal, "--yes", "--out", roster)
    send_file(authority, roster, coordinator, COORDINATOR, roster)
    federation.run(coordinator, COORDINATOR, "rhe-server", "roster", OFFICE, "--signed", roster)
    for site in federation.sites.values():
        place = site.folder / "study.roster"
        send_file(coordinator, OFFICE / "study.roster", site.host, site.engine_user, place)
        federation.run(
            site.host, site.engine_user, "rhe-client", "approve", site.folder, "--yes", "--roster", place
        )


def forward_port(address: str) -> None:
    """What the guide's tunnel did: the whole port of the SuperLink, for everybody who reaches this host."""
    server = socket.create_server((address, PORT))
    while True:
        near, _ = server.accept()
        far = socket.create_connection(("127.0.0.1", PORT))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _as_is(message: bytes) -> bytes:
    return message


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


class GrpcSpeech:
    """How messages reached the engine's socket then."""

    def ask(self, path: Path, timeout_s: float) -> bytes:
        """The kind of answer to a question that makes no sense."""
        import grpc

        with grpc.insecure_channel(f"unix:{path}") as channel:
            call = channel.unary_unary(_METHOD, _as_is, _as_is)
            try:
                call(b"nonsense", timeout=timeout_s)
            except grpc.RpcError as failure:
                return str(failure.code()).encode()
        return b"answer"

    def is_answer(self, answer: bytes) -> bool:
        """Whether the engine worked on the question: it raised an exception of its own."""
        return answer in (b"answer", b"StatusCode.UNKNOWN")

    def hold(self, path: Path, seconds: float) -> None:
        """Keep a connection open and say nothing."""
        import grpc

        with grpc.insecure_channel(f"unix:{path}") as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            time.sleep(seconds)

    def pour(self, path: Path, size: int) -> int:
        """How many bytes of a message of this size the engine takes; a gigabyte stands for more."""
        import grpc

        content = bytes(min(size, 10**9))
        with grpc.insecure_channel(
            f"unix:{path}", options=(("grpc.max_send_message_length", -1),)
        ) as channel:
            try:
                channel.unary_unary(_METHOD, _as_is, _as_is)(content, timeout=60)
            except grpc.RpcError as failure:
                return len(content) if failure.code() is grpc.StatusCode.UNKNOWN else 0
        return len(content)

    def drip(self, path: Path, seconds: float) -> float:
        """For how many seconds the engine's only thread waits for a message that does not come."""
        import grpc

        begun = time.monotonic()

        def say_nothing() -> Iterator[bytes]:
            time.sleep(seconds)
            yield b""

        with grpc.insecure_channel(f"unix:{path}") as channel, suppress(grpc.RpcError):
            channel.stream_unary(_METHOD, _as_is, _as_is)(say_nothing(), timeout=seconds)
        return time.monotonic() - begun

    def flood(self, path: Path, seconds: float) -> int:
        """How many connections, with garbage, this user makes."""
        from tests.deployment.engine_socket import FrameSpeech

        return FrameSpeech().flood(path, seconds)


def open_other_site(site: Site) -> Path:
    """Another site's engine listened for the same user."""
    from tests.deployment.engine_socket import find_socket

    return find_socket(site)


def open_link(federation: Federation, port: int) -> Callable[[], str]:
    """A second `rhe-client start` of site a, with the same keys, to another port."""
    site = federation.sites["a"]
    folder = HOME / f"to-{port}"
    copy = partial(shutil.copytree, ignore=shutil.ignore_patterns("*.sock"))
    site.host.perform("root", copy, site.folder, folder)
    site.host.run("root", "chown", "-R", str(site.host.users[site.engine_user]), folder)
    address = ("--address", f"{NAME}:{port}")
    process = federation.begin(site.host, site.engine_user, "rhe-client", "start", folder, *address)
    return process.read


def find_control(federation: Federation) -> Door:
    """The SuperLink's port."""
    return Door(NAME, PORT, federation.read_authority().decode())


def ship(federation: Federation, client: str) -> list[str]:
    """Order a run of a bundle whose ServerApp, which the SuperLink starts, sends to every node."""
    from tests.deployment.shipped_code import SENDER, start_run, take_loot

    coordinator = federation.coordinator
    connection = {"address": f"{NAME}:{PORT}", "root-certificates": str(OFFICE / "tls" / "authority.crt")}
    program = federation.find_program("flwr")
    coordinator.perform(COORDINATOR, start_run, program, client, SENDER, connection, timeout_s=90)
    loot: list[bytes] = []

    def is_there() -> bool:
        taken = coordinator.perform("root", take_loot)
        loot.extend([taken] if taken is not None else [])
        return bool(loot)

    wait_until(is_there, 60, "no reply came to the coordinator")
    replies: list[str] = json.loads(loot[0])
    return replies


WAYS = Ways(GrpcSpeech(), find_control, ship, open_other_site, open_link)
