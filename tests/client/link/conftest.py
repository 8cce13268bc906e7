"""Flower's own SuperLink in this process, with TLS on a free port: what the link has to get along with."""

from __future__ import annotations

import ctypes
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, MessageType
from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid, http_grid
from flwr.superlink.main import create_app

from client.link.carry import keep_link
from client.link.connection import EngineWait
from client.link.credentials import Door, make_tls
from client.link.session_file import SessionFile
from common.messages.bundle import make_bundle
from common.messages.protocol import to_record
from server.provision.authority import CertifiedKey, create_authority, issue_server_certificate

HOST = "127.0.0.1"


class EndError(BaseException):
    """Ends a link that a test runs in a thread: where a command would get a signal."""


@dataclass
class Coordinator:
    """A SuperLink, and what its operator does with it."""

    folder: Path
    authority: CertifiedKey
    port: int
    app: object
    grid: HttpGrid | None = None
    runtime: RuntimeHttpClient | None = None
    heart: HeartbeatSender | None = None
    run: int = 0

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def state(self):
        return self.app.state.linkstate_factory.state()

    def door(self, key: ec.EllipticCurvePrivateKey, largest: int = 2**26) -> Door:
        return Door(self.address, key, make_tls(self.folder / "authority.crt"), largest)

    def enrol(self) -> tuple[ec.EllipticCurvePrivateKey, int]:
        key = ec.generate_private_key(ec.SECP256R1())
        return key, self.admit(key)

    def admit(self, key: ec.EllipticCurvePrivateKey) -> int:
        return self.state.create_node("<id:none>", "none", public_key_to_bytes(key.public_key()), 0)

    def begin_run(self, bundle: bytes | None = None) -> None:
        """Start a run and take its task, as the coordinator's own process does."""
        url, pem = f"https://{self.address}", self.authority.certificate_pem
        with ControlHttpClient(url, verify=make_tls(self.folder / "authority.crt")) as control:
            self.run = control.StartRun(StartRunRequest(fab=Fab(content=bundle or make_bundle()))).run_id
        runtime = RuntimeHttpClient.from_server_address(self.address, False, pem, [])
        with runtime:
            task = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
        assert task.task.run_id == self.run
        token = RuntimeTokenHttpInterceptor(task.token)
        self.runtime = RuntimeHttpClient.from_server_address(self.address, False, pem, [token])
        run = run_from_proto(self.runtime.PullTaskInput(PullTaskInputRequest()).run)
        self.heart = HeartbeatSender(make_task_heartbeat_fn_http(self.runtime))
        self.heart.start()
        self.grid = HttpGrid(self.address, root_certificates=pem, token=task.token)
        self.grid.set_run(run)

    def leave_run(self) -> None:
        """Close what `begin_run` opened."""
        self.heart.stop()
        self.runtime.close()
        self.grid.close()

    def ask(self, node: int, body: bytes, patience_s: float = 60.0) -> Message:
        """A node's answer to a message."""
        identifier = self.send(node, body)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for reply in self.grid.pull_messages([identifier]):
                return reply
            time.sleep(0.002)
        raise TimeoutError("no answer")

    def send(self, node: int, body: bytes) -> str:
        while node not in self.state.get_nodes(self.run):
            time.sleep(0.005)
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = self.run, 1, self.run
        message = Message(to_record(body), dst_node_id=node, message_type=MessageType.QUERY, ttl=60.0)
        (identifier,) = self.grid.push_messages([message])
        return identifier


@dataclass
class RunningLink:
    """A link in a thread of this process."""

    lines: list[str] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    failure: BaseException | None = None

    def has_said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def wait_for(self, words: str, patience_s: float = 60.0) -> str:
        deadline = time.monotonic() + patience_s
        while not self.has_said(words):
            if time.monotonic() > deadline or self.failure is not None:
                raise TimeoutError(f"{words!r} was not said: {self.lines}, {self.failure!r}")
            time.sleep(0.005)
        return next(line for line in self.lines if words in line)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory) -> Iterator[Coordinator]:
    """A SuperLink of this release with a run of this release, which end with the module."""
    folder = tmp_path_factory.mktemp("superlink")
    authority = create_authority("links")
    impatient = partial(http_grid.pull_objects, initial_backoff=0.01, backoff_cap=0.05)
    with pytest.MonkeyPatch.context() as patch, serve(create_app(), folder, authority) as started:
        # Flower's grid sleeps for a second when it meets a reply whose objects are still on their way
        patch.setattr(http_grid, "pull_objects", impatient)
        started.begin_run()
        try:
            yield started
        finally:
            started.leave_run()


@contextmanager
def serve(app: object, folder: Path, authority: CertifiedKey, port: int = 0) -> Iterator[Coordinator]:
    """An ASGI application with TLS, until the context ends."""
    server_key = issue_server_certificate(authority, [HOST])
    (folder / "authority.crt").write_bytes(authority.certificate_pem)
    (folder / "server.crt").write_bytes(server_key.certificate_pem)
    (folder / "server.key").write_bytes(server_key.key_pem)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        loop="asyncio",
        timeout_graceful_shutdown=1,
        ssl_certfile=str(folder / "server.crt"),
        ssl_keyfile=str(folder / "server.key"),
    )
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield Coordinator(folder, authority, bound.getsockname()[1], app)
        finally:
            server.should_exit = True
            for connection in list(server.server_state.connections):
                connection.loop.call_soon_threadsafe(connection.transport.abort)
            thread.join(30.0)


@contextmanager
def link(
    door: Door,
    folder: Path,
    answer: Callable[[bytes], bytes] = lambda question: question,
    wait: EngineWait | None = None,
) -> Iterator[RunningLink]:
    """A link that runs until the context ends, then signs off."""
    running = RunningLink()

    def engine(question: bytes) -> bytes:
        running.asked.append(question)
        return answer(question)

    def work() -> None:
        try:
            keep_link(door, SessionFile(folder), engine, running.lines.append, wait)
        except EndError:
            pass
        except BaseException as failure:  # noqa: BLE001 - a test looks at it
            running.failure = failure

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        if thread.is_alive():
            # As a signal does in a command's main thread
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(EndError)
            )
        thread.join(30.0)
        assert not thread.is_alive()


@pytest.fixture
def run_link() -> Callable[..., AbstractContextManager[RunningLink]]:
    """Runs a link in a thread."""
    return link


@pytest.fixture
def run_server() -> Callable[..., AbstractContextManager[Coordinator]]:
    """Runs an ASGI application with TLS."""
    return serve
