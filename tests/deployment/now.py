"""The study as this code commands it: a gateway at the coordinator, two users at each hospital."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.deployment.engine_socket import FrameSpeech, open_other_socket
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
from tests.deployment.hosts import Process, WorkError
from tests.deployment.wire import Door

_START_S, _COMMAND_S, _REPLY_S = 90.0, 120.0, 30.0


def open_federation(
    code: Path, visible: Sequence[Path], plan: str, data: Mapping[str, Path], identities: Mapping[str, bytes]
) -> Federation:
    """Coordinator and hospitals, connected.

    Parameters
    ----------
    code : Path
        Checkout of the program.
    visible : sequence of Path
        Folders that every user may read.
    plan : str
        The study's plan.
    data : mapping of str to Path
        Each site's folder.
    identities : mapping of str to bytes
        Each site's key in the protocol of hidden sums: that of the simulation in one process.
    """
    federation = make_federation(code, WAYS, visible, list(data), two_users=True)
    provision(federation, plan, data, identities)
    federation.server = federation.begin(federation.coordinator, COORDINATOR, "rhe-server", "start", OFFICE)
    for site in federation.sites.values():
        site.process = federation.begin(site.host, "root", "rhe-client", "start", site.folder)
    for site in federation.sites.values():
        if site.process is not None:
            site.process.wait_for(": connected", _START_S)
    return federation


def provision(
    federation: Federation, plan: str, data: Mapping[str, Path], identities: Mapping[str, bytes]
) -> None:
    """Make keys, invitation, cards and roster, as the guide says; both hospitals at a time."""
    coordinator, authority, sites = (
        federation.coordinator,
        federation.authority,
        list(federation.sites.values()),
    )
    proposal, roster = HOME / "study.proposal", HOME / "study.roster"
    federation.run(authority, SIGNER, "rhe-authority", "init", AUTHORITY)
    send_file(authority, AUTHORITY / "authority.pub", coordinator, COORDINATOR, HOME / "authority.pub")
    coordinator.write(COORDINATOR, HOME / "study.toml", plan.encode())
    office = (
        "--plan",
        HOME / "study.toml",
        "--host",
        NAME,
        "--port",
        str(PORT),
        "--authority",
        HOME / "authority.pub",
    )
    federation.run(coordinator, COORDINATOR, "rhe-server", "init", OFFICE, *office)
    for site in sites:
        copy_folder(data[site.name], site)
        if site.name in identities:
            site.host.write(site.engine_user, site.state / "keys" / "identity.key", identities[site.name])
            site.host.perform("root", site.state.chmod, 0o700)
        send_file(coordinator, OFFICE / "study.invitation", site.host, "root", HOME / "study.invitation")
    for site in sites:
        site.host.perform("root", (HOME / "study.invitation").chmod, 0o644)
    _run_everywhere(federation, "rhe-client", "init", options=("--invitation", HOME / "study.invitation"))
    for site in sites:
        card = HOME / f"{site.name}.card"
        send_file(site.host, site.state / card.name, coordinator, COORDINATOR, card)
        federation.run(coordinator, COORDINATOR, "rhe-server", "enrol", OFFICE, card)
    federation.run(coordinator, COORDINATOR, "rhe-server", "roster", OFFICE, "--out", proposal)
    send_file(coordinator, proposal, authority, SIGNER, proposal)
    federation.run(authority, SIGNER, "rhe-authority", "sign", AUTHORITY, proposal, "--yes", "--out", roster)
    send_file(authority, roster, coordinator, COORDINATOR, roster)
    federation.run(coordinator, COORDINATOR, "rhe-server", "roster", OFFICE, "--signed", roster)
    for site in sites:
        send_file(coordinator, OFFICE / "study.roster", site.host, "root", roster)
        site.host.perform("root", roster.chmod, 0o644)
    _run_everywhere(federation, "rhe-client", "approve", options=("--yes", "--roster", roster))


def find_control(_: Federation) -> Door:
    """The SuperLink's private socket."""
    return Door("superlink", path=OFFICE / "flower" / "control.sock")


def ship(federation: Federation, client: str) -> list[str]:
    """Start a run with a bundle of one's own over the private socket, and send to every node."""
    replies: list[str] = federation.coordinator.perform(
        COORDINATOR, send_with_bundle, OFFICE / "flower" / "control.sock", client, timeout_s=_REPLY_S + 30
    )
    return replies


def send_with_bundle(control: Path, client: str) -> list[str]:
    """The replies, as text, to messages of a run that carries a bundle of one's own."""
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.cli.build import build_fab_from_disk
    from flwr.common.serde import run_from_proto
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.proto.fab_pb2 import Fab
    from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
    from flwr.supercore.constant import TaskType
    from flwr.supercore.task_identity import TaskIdentity

    from common.messages.protocol import to_record
    from server.process.flower_socket import SocketGrid, open_control, open_runtime
    from tests.deployment.shipped_code import SENDER, write_app

    app = Path.home() / "app"
    write_app(app, client, SENDER)
    with open_control(control) as orders, open_runtime(control) as runtime:
        run = orders.StartRun(StartRunRequest(fab=Fab(content=build_fab_from_disk(app)))).run_id
        answer = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
        while not (answer.token and answer.task.run_id == run):
            time.sleep(0.1)
            answer = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
    grid = SocketGrid(control, answer.token)
    task = grid.runtime.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    TaskIdentity.node_id = task.context.node_id
    grid.set_run(run_from_proto(task.run))
    contents = (
        to_record(b"read the hospital's files"),
        RecordDict({"rhe": ConfigRecord({"message": b"read"})}),
    )
    messages = [
        Message(content, dst_node_id=node, message_type=kind)
        for node in grid.get_node_ids() for kind in ("query", "train") for content in contents
    ]  # fmt: skip
    replies = grid.send_and_receive(messages, timeout=_REPLY_S)
    return [
        repr(reply.content) if reply.has_content() else f"error {reply.error.reason}" for reply in replies
    ]


def open_link(federation: Federation, port: int) -> Callable[[], str]:
    """A second link of site a, with the same key, to another port."""
    site = federation.sites["a"]
    folder = HOME / f"to-{port}"
    site.host.perform("root", shutil.copytree, site.link_state, folder)
    site.host.run(
        "root", "chown", "-R", f"{site.host.users[site.link_user]}:{site.host.users[site.link_user]}", folder
    )
    process = federation.begin(
        site.host, site.link_user, "rhe-client", "link", folder,
        "--engine", "/run/nobody.sock", "--address", f"{NAME}:{port}",
    )  # fmt: skip
    return process.read


def _run_everywhere(federation: Federation, *command: str, options: Sequence[str | Path]) -> None:
    processes: list[tuple[Site, Process]] = [
        (
            site,
            federation.begin(site.host, "root", *command, site.folder, *options, *_place_link(site, command)),
        )
        for site in federation.sites.values()
    ]
    for site, process in processes:
        if process.wait(_COMMAND_S):
            raise WorkError(f"{site.name}: {' '.join(command)} ended with {process.poll()}: {process.read()}")


def _place_link(site: Site, command: Sequence[str]) -> Sequence[str | Path]:
    """Where the link's folder does not lie where it lies by default."""
    is_chosen = "init" in command and site.link_state.parent == HOME
    return ("--link-state", site.link_state) if is_chosen else ()


WAYS = Ways(FrameSpeech(), find_control, ship, open_other_socket, open_link)
