"""Another user of the coordinator's machine, and of a hospital's: no part of the study is theirs."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from tests.deployment.engine_socket import list_sockets
from tests.deployment.federation import COORDINATOR, HOME, NEIGHBOUR, TEST_PORTS, Federation
from tests.deployment.hosts import Host
from tests.deployment.link_user import (
    judge_files,
    list_files_of,
    list_folders,
    read_files,
    read_process,
    signal_process,
    trace_process,
    write_into,
)
from tests.deployment.superlink_paths import list_tcp_ports
from tests.deployment.table import Attack, Seen
from tests.deployment.wire import Door, ask

_HANDED_OUT = (".invitation", ".card", ".roster", ".pub", ".proposal")
"""Files that everybody gets anyway."""


def try_ports_on_loopback(federation: Federation) -> Seen:
    """Orders to the SuperLink over a port of the machine itself."""
    host = federation.coordinator
    listening = host.perform("root", list_tcp_ports)
    ports = sorted({port for _, port in listening if port not in TEST_PORTS})
    answered = host.perform(
        NEIGHBOUR, order_over_ports, ports, host.address, federation.read_authority().decode()
    )
    return Seen(
        bool(answered),
        f"list-runs was answered on {answered}" if answered else f"ports {ports}: no order was taken",
    )


def try_sockets(federation: Federation) -> Seen:
    return _knock_at_sockets(federation, NEIGHBOUR)


def control_sockets(federation: Federation) -> Seen:
    """The coordinator's own user: it must be answered."""
    return _knock_at_sockets(federation, COORDINATOR)


def try_files(federation: Federation) -> Seen:
    host = federation.coordinator
    files = [
        path
        for path in host.perform("root", list_files_of, host.users[COORDINATOR])
        if path.suffix not in _HANDED_OUT
    ]
    return judge_files(host.perform(NEIGHBOUR, read_files, files), files, "read")


def control_files(federation: Federation) -> Seen:
    """The coordinator's own user: it must read them."""
    host = federation.coordinator
    files = host.perform("root", list_files_of, host.users[COORDINATOR])
    return judge_files(host.perform(COORDINATOR, read_files, files), files, "read")


def try_folders(federation: Federation) -> Seen:
    host = federation.coordinator
    folders = host.perform("root", list_folders, HOME)
    return judge_files(host.perform(NEIGHBOUR, write_into, folders), folders, "written into")


def try_processes(federation: Federation) -> Seen:
    return _attack_processes(federation, NEIGHBOUR)


def control_processes(federation: Federation) -> Seen:
    """The coordinator's own user, on a process of its own."""
    host = federation.coordinator
    victim = host.start(COORDINATOR, ["sleep", "31"])
    try:
        number = host.find_process(["sleep", "31"])
        done = host.perform(COORDINATOR, attack_processes, [number])
    finally:
        victim.stop()
    return Seen(bool(done), ", ".join(done))


def try_hospital(federation: Federation) -> Seen:
    """At a hospital: the site's files, folders and processes."""
    site = federation.sites["a"]
    host = site.host
    users = {host.users[site.engine_user], host.users[site.link_user]}
    files = [path for user in sorted(users) for path in host.perform("root", list_files_of, user)]
    files = [path for path in files if path.suffix not in _HANDED_OUT]
    folders = host.perform("root", list_folders, site.folder)
    numbers = [number for number, (user, _) in host.list_processes().items() if user in users]
    done = [
        *map(str, host.perform(NEIGHBOUR, read_files, files)),
        *map(str, host.perform(NEIGHBOUR, write_into, folders)),
        *host.perform(NEIGHBOUR, attack_processes, numbers),
    ]
    told = f"{len(files)} files, {len(folders)} folders, {len(numbers)} processes"
    return Seen(bool(done), f"of {told}: {done[:4]}" if done else f"{told}: nothing was allowed")


def order_over_ports(ports: Sequence[int], address: str, authority: str) -> list[str]:
    """Where a request for the list of runs is answered."""
    doors = [
        Door(host, port, trust)
        for port in ports
        for host in ("localhost", address)
        for trust in (authority, "")
    ]
    return [
        f"{door.host}:{door.port}"
        for door in doors
        if ask(door, "POST", "/v1/control/list-runs").status == 200
    ]


def attack_processes(numbers: Sequence[int]) -> list[str]:
    """What this user can do to processes, or read of them."""
    return [
        f"{number}: {what}"
        for number in numbers
        for attack in (read_process, trace_process, signal_process)
        for what in attack(number)
    ]


def knock_at_sockets(paths: Sequence[Path]) -> list[str]:
    """Which Unix sockets this user can connect to."""
    opened = []
    for path in paths:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            if connection.connect_ex(str(path)) == 0:
                opened.append(str(path))
    return opened


def _knock_at_sockets(federation: Federation, user: str) -> Seen:
    host = federation.coordinator
    paths = host.perform("root", list_sockets)
    opened = host.perform(user, knock_at_sockets, paths)
    return Seen(
        bool(opened),
        f"of {len(paths)} sockets {len(opened)} let it in" + (f": {', '.join(opened)}" if opened else ""),
    )


def _attack_processes(federation: Federation, user: str) -> Seen:
    host: Host = federation.coordinator
    owner = host.users[COORDINATOR]
    numbers = [number for number, (who, _) in host.list_processes().items() if who in (owner, 0)]
    done = host.perform(user, attack_processes, numbers)
    return Seen(bool(done), ", ".join(done[:5]) or f"{len(numbers)} processes: nothing was allowed")


ATTACKS = (
    Attack(
        "another user at the coordinator: orders over the machine's own ports",
        "succeeded: list-runs was answered on localhost:8443",
        try_ports_on_loopback,
    ),
    Attack(
        "another user at the coordinator: the SuperLink's sockets",
        "no socket: the port above took every order",
        try_sockets,
        control_sockets,
    ),
    Attack(
        "another user at the coordinator: the study's files",
        "refused: 0 of 26 read, before a study ran",
        try_files,
        control_files,
    ),
    Attack("another user at the coordinator: the study's folders", "refused: 0 of 13", try_folders),
    Attack(
        "another user at the coordinator: the processes",
        "refused: nothing was allowed",
        try_processes,
        control_processes,
    ),
    Attack(
        "another user at a hospital: files, folders, processes", "refused: nothing was allowed", try_hospital
    ),
)
