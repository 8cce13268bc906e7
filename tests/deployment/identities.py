"""Who signs in: clocks that are wrong, signatures and cards sent again, one hospital in another's name."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
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
    find_node,
    send_file,
)
from tests.deployment.superlink_paths import find_open_ports, list_tcp_ports
from tests.deployment.table import Attack, Seen
from tests.deployment.wire import Answer, Door, ask, load_node_key, sign_headers

_FAR_S = 600.0


def try_clock(federation: Federation, shift_s: float) -> Seen:
    """A hospital whose clock is wrong signs in."""
    answer = _activate(federation, federation.sites["a"], shift_s)
    return Seen(answer.status not in (0, 401), f"activate-node: {answer.status}")


def control_clock(federation: Federation) -> Seen:
    """With the right clock the signature is taken; the node itself is signed in already."""
    answer = _activate(federation, federation.sites["a"], 0.0)
    return Seen(answer.status not in (0, 401, 404), f"activate-node: {answer.status}")


def try_stranger(federation: Federation) -> Seen:
    """A key that nobody enrolled."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answer = site.host.perform(site.link_user, activate, door, key, 0.0)
    return Seen(answer.status == 200, f"activate-node: {answer.status}")


def try_other_hospitals_messages(federation: Federation) -> Seen:
    """Hospital a asks, with its own key, for what is meant for hospital b."""
    site, other = federation.sites["a"], federation.sites["b"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answers = site.host.perform(
        site.link_user, ask_as, door, site.host.read(site.node_key), find_node(federation, other)
    )
    taken = [
        f"{path} {answer.status}" for path, answer in answers.items() if answer.status not in (0, 401, 403)
    ]
    return Seen(bool(taken), ", ".join(taken) or f"{len(answers)} calls in b's name: 401")


def control_own_messages(federation: Federation) -> Seen:
    """The same calls in its own name: they must be answered."""
    site = federation.sites["a"]
    door = Door(NAME, PORT, federation.read_authority().decode())
    answers = site.host.perform(
        site.link_user, ask_as, door, site.host.read(site.node_key), find_node(federation, site)
    )
    taken = [path for path, answer in answers.items() if answer.status == 200]
    return Seen(bool(taken), f"{len(taken)} of {len(answers)} calls answered")


def try_other_hospitals_ports(federation: Federation) -> Seen:
    """Hospital a tries every port on which hospital b listens, and some more."""
    site, other = federation.sites["a"], federation.sites["b"]
    listening = other.host.perform("root", list_tcp_ports)
    ports = sorted({port for _, port in listening} | {22, 80, 443, PORT, 9091, 9092, 9093, 9094})
    opened = site.host.perform(site.link_user, find_open_ports, other.host.address, ports)
    return Seen(
        bool(opened),
        f"open at b: {opened}"
        if opened
        else f"b listens on {sorted({p for _, p in listening}) or 'no port'}; {len(ports)} tried",
    )


def try_changed_card(federation: Federation) -> Seen:
    """A card that was captured on its way, with the thief's node key in it; nobody is enrolled yet."""
    said = enrol_elsewhere(federation, _steal_card)
    return Seen(said.startswith("0"), said[:200])


def control_genuine_card(federation: Federation) -> Seen:
    """The genuine card, at the same coordinator: it must be enrolled."""
    said = enrol_elsewhere(federation, lambda card: card)
    return Seen(said.startswith("0"), said[:200])


def try_recorded_connection(federation: Federation) -> Seen:
    """Whoever records a hospital's sign-in on the network sends the same bytes again."""
    site = federation.sites["a"]
    recorder = federation.coordinator.begin(COORDINATOR, record_connection, federation.coordinator.address)
    time.sleep(0.3)
    key, authority = site.host.read(site.node_key), federation.read_authority().decode()
    site.host.perform(site.link_user, activate, Door(NAME, PORT + 1, authority), key, 0.0)
    recorded = recorder.result(20)
    if b"/v1/fleet" in recorded or not recorded:
        return Seen(bool(recorded), "the sign-in can be read on the network")
    answer = federation.sites["b"].host.perform("root", send_again, federation.coordinator.address, recorded)
    return Seen(
        b"HTTP/" in answer,
        f"{len(recorded)} bytes again: {'answered' if b'HTTP/' in answer else 'TLS refuses them'}",
    )


def enrol_elsewhere(federation: Federation, change: Callable[[bytes], bytes]) -> str:
    """Exit code and words of `rhe-server enrol` of site a's card, changed, where nobody is enrolled yet."""
    host, site = federation.coordinator, federation.sites["a"]
    second, card = HOME / "second", HOME / "captured.card"
    if not host.perform("root", second.exists):
        settings = ("--plan", HOME / "study.toml", "--host", NAME, "--authority", HOME / "authority.pub")
        federation.run(host, COORDINATOR, "rhe-server", "init", second, *settings)
    host.perform(COORDINATOR, forget_cards, second / "sites")
    host.write(COORDINATOR, card, change(site.host.read(site.state / "a.card")))
    process = federation.begin(host, COORDINATOR, "rhe-server", "enrol", second, card)
    return f"{process.wait(60)} {' '.join(process.read().split())}"


def forget_cards(folder: Path) -> None:
    """Remove every card of a folder."""
    for path in folder.glob("*"):
        path.unlink()


def activate(door: Door, key: bytes, shift_s: float) -> Answer:
    """The answer to signing in with a node's key."""
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    public = public_key_to_bytes(load_node_key(key).public_key())
    body = ActivateNodeRequest(public_key=public, heartbeat_interval=30).SerializeToString()
    return ask(door, "POST", "/v1/fleet/activate-node", body, sign_headers(key, shift_s))


def ask_as(door: Door, key: bytes, node: int) -> dict[str, Answer]:
    """The answers to calls in the name of a node."""
    from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
    from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
    from flwr.proto.node_pb2 import Node

    own = Node(node_id=node)
    calls = {
        "pull-messages": PullMessagesRequest(node=own).SerializeToString(),
        "push-messages": PushMessagesRequest(node=own).SerializeToString(),
        "send-node-heartbeat": SendNodeHeartbeatRequest(node=own, heartbeat_interval=30).SerializeToString(),
    }
    return {
        name: ask(door, "POST", f"/v1/fleet/{name}", body, sign_headers(key)) for name, body in calls.items()
    }


def record_connection(address: str) -> bytes:
    """All that a client sends through a stranger's line to the gateway, which passes it on."""
    recorded = bytearray()
    with socket.create_server((address, PORT + 1)) as server:
        near, _ = server.accept()
    far = socket.create_connection(("127.0.0.1", PORT))
    thread = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
    thread.start()
    near.settimeout(10)
    try:
        while part := near.recv(65536):
            recorded += part
            far.sendall(part)
    except OSError:
        pass
    return bytes(recorded)


def send_again(address: str, recorded: bytes) -> bytes:
    """What comes back when recorded bytes are sent to the gateway."""
    with socket.create_connection((address, PORT), timeout=5) as connection:
        answer = bytearray()
        try:
            connection.sendall(recorded)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
    return bytes(answer)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _activate(federation: Federation, site: Site, shift_s: float) -> Answer:
    door = Door(NAME, PORT, federation.read_authority().decode())
    answer: Answer = site.host.perform(site.link_user, activate, door, site.host.read(site.node_key), shift_s)
    return answer


def _steal_card(card: bytes) -> bytes:
    """The card with another key for the node."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    content = json.loads(card)
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    content["node_key"] = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return json.dumps(content).encode()


def try_old_roster(federation: Federation) -> Seen:
    """Somebody hands hospital b an earlier roster, after it has approved a later one."""
    code, words = _approve_again(federation, "study.roster")
    return Seen(code == 0, f"approve ended with {code}: {words}")


def control_new_roster(federation: Federation) -> Seen:
    """A later roster: it must be approved."""
    coordinator, authority = federation.coordinator, federation.authority
    proposal, signed = HOME / "second.proposal", HOME / "second.roster"
    federation.run(coordinator, COORDINATOR, "rhe-server", "roster", OFFICE, "--out", proposal)
    send_file(coordinator, proposal, authority, SIGNER, proposal)
    federation.run(authority, SIGNER, "rhe-authority", "sign", AUTHORITY, proposal, "--yes", "--out", signed)
    send_file(authority, signed, federation.sites["b"].host, "root", signed)
    federation.sites["b"].host.perform("root", signed.chmod, 0o644)
    code, words = _approve_again(federation, "second.roster")
    return Seen(code == 0, f"approve ended with {code}: {words}")


def _approve_again(federation: Federation, name: str) -> tuple[int, str]:
    site = federation.sites["b"]
    user = "root" if site.engine_user != site.link_user else site.engine_user
    roster = HOME / name if user == "root" or name != "study.roster" else site.folder / name
    process = federation.begin(
        site.host, user, "rhe-client", "approve", site.folder, "--yes", "--roster", roster
    )
    code = process.wait(60)
    return code, " ".join(process.read().split())[-160:]


ATTACKS = (
    Attack(
        "a hospital's clock is 10 minutes fast",
        "refused: 401",
        lambda federation: try_clock(federation, _FAR_S),
        control_clock,
    ),
    Attack(
        "a hospital's clock is 10 minutes slow: a signature of then",
        "refused: 401",
        lambda federation: try_clock(federation, -_FAR_S),
        control_clock,
    ),
    Attack("a key that nobody enrolled signs in", "refused: 412", try_stranger, control_clock),
    Attack(
        "a hospital's sign-in, recorded on the network and sent again",
        "refused: TLS does not take them twice",
        try_recorded_connection,
    ),
    Attack(
        "a hospital's card, captured, with the thief's key in it",
        "succeeded: enrolled",
        try_changed_card,
        control_genuine_card,
    ),
    Attack(
        "an earlier roster, handed out again", "refused: E_ROSTER_OLD", try_old_roster, control_new_roster
    ),
    Attack(
        "hospital a fetches and answers in hospital b's name",
        "refused: 401",
        try_other_hospitals_messages,
        control_own_messages,
    ),
    Attack(
        "hospital a at hospital b's ports",
        "refused: its one port listened on loopback alone",
        try_other_hospitals_ports,
    ),
)
