"""The SuperLink as a process: what answers on its private socket, what hospitals reach, how a run ends."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import time
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import Message, MessageType

from client.link.supervise import find_free_port
from common.errors import ExchangeError
from common.messages.enrolment import SiteCard
from common.messages.protocol import to_record
from common.runtime.processes import stop_child
from server.process.flower_run import open_run
from server.process.flower_socket import explain_failures, open_control, open_runtime
from server.process.superlink import cancel_runs, is_listening, register_site, start_superlink
from server.provision.office import Office, OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
[[sites]]
name = "A"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    (folder / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=find_free_port())
    made = create_office(folder / "office", folder / "study.toml", settings)
    child = start_superlink(made, on_loopback=True)
    yield made
    stop_child(child)
    assert not made.control_socket.exists()


@pytest.fixture
def hospital(office: Office) -> Iterator[httpx.Client]:
    """What a hospital has: the study's certificate and the port."""
    trust = ssl.create_default_context(cafile=str(office.authority))
    with httpx.Client(base_url=f"https://{office.address}", verify=trust) as client:
        yield client


def make_card(office: Office) -> SiteCard:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return SiteCard(name="A", plan_hash=office.plan.digest(), node_key=text)


def test_it_listens_and_a_second_one_is_refused(office):
    assert is_listening(office)
    with pytest.raises(ExchangeError, match="another SuperLink"):
        start_superlink(office, on_loopback=True)


def test_its_sockets_are_its_owners_alone(office):
    assert stat.S_IMODE(office.control_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(office.control_socket.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_of_the_host_does_not_reach_it(office):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            socket.socket(socket.AF_UNIX).connect(str(office.control_socket))
            os.write(writer, b"connected")
        except OSError as failure:
            os.write(writer, type(failure).__name__.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert os.read(reader, 100) == b"PermissionError"


def test_hospitals_reach_its_fleet_and_nothing_else(office, hospital):
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(office.control_socket))) as private:
        paths = private.get("http://superlink/openapi.json").json()["paths"]
    assert len(paths) > 50
    assert hospital.get("/health").status_code == 200
    answered = {
        (method, path): hospital.request(method, path).status_code
        for path in [*paths, "/docs", "/openapi.json"]
        for method in ("GET", "POST")
    }
    passed = {path for (_, path), code in answered.items() if code != 404}
    assert {path for path in passed if not path.startswith("/v1/fleet/")} == {"/health"}
    assert answered["POST", "/v1/fleet/get-fab"] == 404


def test_a_node_is_registered_once(office):
    card = make_card(office)
    register_site(office, card)
    register_site(office, card)


def test_a_run_begins_ends_and_leaves_no_task(office):
    with open_run(office) as grid:
        assert list(grid.get_node_ids()) == []
        with explain_failures(), open_runtime(office.control_socket) as runtime:
            from flwr.proto.runtime_pb2 import AcquireTaskRequest

            request = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
            assert not runtime.AcquireTask(request).token
        assert states(office)[0] == "running"
    assert states(office)[0] == "finished:completed"


def states(office: Office) -> list[str]:
    from flwr.proto.control_pb2 import ListRunsRequest

    with open_control(office.control_socket) as control:
        runs = control.ListRuns(ListRunsRequest()).run_dict.values()
        newest = sorted(runs, key=lambda run: run.pending_at, reverse=True)
        return [f"{run.status.status}:{run.status.sub_status}".rstrip(":") for run in newest]


def test_a_study_that_stops_ends_its_run_and_the_next_one_ends_what_is_left(office):
    with pytest.raises(KeyboardInterrupt), open_run(office):
        raise KeyboardInterrupt
    assert states(office)[0].startswith("finished")
    with open_run(office), open_run(office) as second:
        assert states(office)[:2] == ["running", "finished:stopped"]
        cancel_runs(office)
        # Its run has ended: it can send nothing any more
        message = Message(to_record(b"x"), dst_node_id=1, message_type=MessageType.QUERY)
        with pytest.raises(ExchangeError):
            second.push_messages([message])
    assert all(state.startswith("finished") for state in states(office))


# httpcore leaves a Unix socket open whose connection was refused
@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_superlink_that_dies_is_told_at_once(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=find_free_port())
    office = create_office(tmp_path / "office", tmp_path / "study.toml", settings)
    child = start_superlink(office, on_loopback=True)
    try:
        with open_run(office) as grid:
            child.process.kill()
            child.process.wait()
            start = time.monotonic()
            with pytest.raises(ExchangeError, match="does not answer"):
                grid.get_node_ids()
            # Flower's own patience is minutes; a loaded machine takes seconds
            assert time.monotonic() - start < 20
    finally:
        stop_child(child)


def test_a_port_that_is_taken_is_told(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = OfficeSettings(host="localhost", port=taken.getsockname()[1])
        office = create_office(tmp_path / "office", tmp_path / "study.toml", settings)
        with pytest.raises(ExchangeError, match="cannot listen"):
            start_superlink(office, on_loopback=True)
