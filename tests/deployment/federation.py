"""Coordinator, authority and two hospitals on four hosts: who is who there, and where their files lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.deployment.hosts import Host, Process, Work, World
from tests.deployment.wire import Door, ask, load_node_key

NAME, PORT = "study.example.org", 8443
"""How hospitals reach the coordinator."""

SECRET = "a-secret-of-who-starts-the-site"
"""Stands in the environment of `rhe-client start`."""

TEST_PORTS = range(9440, 9460)
"""Where servers of the test itself listen at the coordinator; no part of the study."""

HOME = Path("/srv/rhe")
"""Where every host keeps what belongs to the study, as in the guide."""

OFFICE, AUTHORITY = HOME / "study", HOME / "authority"
COORDINATOR, SIGNER, NEIGHBOUR = "rhe", "signer", "neighbour"
"""Users: of the coordinator, of the authority, and one on each host who has no part in the study."""

ENGINE, LINK = "rhe-engine", "rhe-link"
OTHER_ENGINE, OTHER_LINK = "other-engine", "other-link"
"""Users at a hospital: of this study's site, and of another site on the same machine."""

_COMMAND_S = 120.0


@dataclass
class Site:
    """A hospital's host and what the study keeps there.

    Attributes
    ----------
    name : str
    host : Host
    engine_user, link_user : str
        Who runs the engine, and who runs the link.
    link_state : Path
        Folder of the link's key and log.
    node_key : Path
        File of the key with which the link signs in.
    process : Process or None
        Its `rhe-client start`.
    """

    name: str
    host: Host
    engine_user: str
    link_user: str
    link_state: Path
    node_key: Path
    process: Process | None = None

    @property
    def folder(self) -> Path:
        return HOME / self.name

    @property
    def state(self) -> Path:
        return self.folder / ".rhe"

    def find_process(self, word: str) -> int:
        """Identifier, inside the host, of the process whose command has this word.

        Raises
        ------
        LookupError
            If there is none.
        """
        processes = self.host.list_processes()
        for number, (_, command) in sorted(processes.items(), reverse=True):
            if str(self.folder) in command and word in [Path(part).name for part in command]:
                return number
        raise LookupError(f"{self.name}: no process {word} among {processes}")


class EngineSpeech(Protocol):
    """How messages reach an engine's socket."""

    def ask(self, path: Path, timeout_s: float) -> bytes:
        """The kind of answer to a question that makes no sense."""

    def is_answer(self, answer: bytes) -> bool:
        """Whether the engine worked on the question."""

    def hold(self, path: Path, seconds: float) -> None:
        """Keep a connection open and say nothing."""

    def pour(self, path: Path, size: int) -> int:
        """How many bytes of a message of this size the engine takes."""

    def drip(self, path: Path, seconds: float) -> float:
        """For how many seconds the engine is held by a message that comes a byte at a time."""

    def flood(self, path: Path, seconds: float) -> int:
        """How many connections, with garbage, a user makes."""


@dataclass(frozen=True)
class Ways:
    """What is done otherwise by the code before.

    Attributes
    ----------
    speech : EngineSpeech
        How messages reach an engine's socket.
    find_control : callable
        Where the coordinator's own user orders the SuperLink.
    ship : callable
        Ships a ClientApp to every site, and returns the replies as text.
    open_other_site : callable
        Where the engine of another site on a hospital's machine listens.
    open_link : callable
        Starts a link of site a to another port; returns what reads its words to the user.
    """

    speech: EngineSpeech
    find_control: Callable[[Federation], Door]
    ship: Callable[[Federation, str], list[str]]
    open_other_site: Callable[[Site], Path]
    open_link: Callable[[Federation, int], Callable[[], str]]


@dataclass
class Federation:
    """A study on hosts of its own.

    Attributes
    ----------
    world : World
    code : Path
        Checkout of the program, with its environment.
    coordinator, authority : Host
    sites : dict of str to Site
        By their names.
    server : Process or None
        The coordinator's `rhe-server start`.
    begun : dict of str to Work
        Attacks that take long, begun before they are judged.
    pretenders : dict
        What pretenders hear, and what links say of them, by the pretenders' names.
    """

    world: World
    code: Path
    ways: Ways
    coordinator: Host
    authority: Host
    sites: dict[str, Site] = field(default_factory=dict)
    server: Process | None = None
    begun: dict[str, Work] = field(default_factory=dict)
    pretenders: dict[str, tuple[Work, Callable[[], str]]] = field(default_factory=dict)

    def find_program(self, name: str) -> str:
        """Where an installed command lies."""
        return str(self.code / ".venv" / "bin" / name)

    def begin(self, host: Host, user: str, program: str, *arguments: str | Path) -> Process:
        """Start a command of the program."""
        return host.start(
            user,
            [self.find_program(program), *arguments],
            {"API_PASSWORD": SECRET},
            name=" ".join(map(str, (program, *arguments)))[:30].replace("/", "_"),
        )

    def run(self, host: Host, user: str, program: str, *arguments: str | Path) -> str:
        """What a command prints that ends with 0."""
        return host.run(user, self.find_program(program), *arguments, timeout_s=_COMMAND_S)

    def read_authority(self) -> bytes:
        """Certificate of the study's certificate authority, which every hospital holds."""
        return self.coordinator.read(OFFICE / "tls" / "authority.crt")


def find_node(federation: Federation, site: Site) -> int:
    """The number of a site's node, as the SuperLink knows it.

    Raises
    ------
    LookupError
        If it is not registered.
    """
    key = site.host.read(site.node_key)
    number: int = federation.coordinator.perform(
        COORDINATOR, _look_up_node, federation.ways.find_control(federation), key
    )
    return number


def _look_up_node(door: Door, node_key: bytes) -> int:
    from flwr.proto.control_pb2 import ListNodesResponse
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    public = public_key_to_bytes(load_node_key(node_key).public_key())
    nodes = ListNodesResponse.FromString(ask(door, "POST", "/v1/control/list-nodes").body).nodes_info
    for node in nodes:
        if node.public_key == public:
            return int(node.node_id)
    raise LookupError(f"no node of this key among {len(nodes)}")


def make_federation(
    code: Path, ways: Ways, visible: Sequence[Path], names: Sequence[str], *, two_users: bool
) -> Federation:
    """Hosts on one switch, and nothing on them yet."""
    world = World()
    world.open_switch()
    coordinator = world.add_host("coordinator", (COORDINATOR, NEIGHBOUR), visible, {NAME: "127.0.0.1"})
    federation = Federation(
        world, code, ways, coordinator, world.add_host("authority", (SIGNER,), visible, {})
    )
    for name in names:
        users = (ENGINE, LINK, OTHER_ENGINE, OTHER_LINK, NEIGHBOUR)
        host = world.add_host(name, users, visible, {NAME: coordinator.address})
        if not two_users:
            state = HOME / name / ".rhe"
            federation.sites[name] = Site(name, host, ENGINE, ENGINE, state, state / "keys" / "node.key")
            continue
        state = HOME / name / ".rhe-link" if name == names[0] else HOME / f"{name}-link"
        federation.sites[name] = Site(name, host, ENGINE, LINK, state, state / "node.key")
    for host, user in ((coordinator, COORDINATOR), (federation.authority, SIGNER)):
        host.perform("root", make_folder, HOME, host.users[user])
    return federation


def copy_folder(source: Path, site: Site) -> None:
    """Give a site its data: the files of a folder of this machine, as its engine's."""
    files = {
        path.relative_to(source): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()
    }
    site.host.perform("root", _unpack, site.folder, files, site.host.users[site.engine_user])


def send_file(source: Host, path: Path, target: Host, user: str, place: Path) -> None:
    """Bring a file from one host to another, as by mail."""
    target.write(user, place, source.read(path))


def make_folder(folder: Path, owner: int, mode: int = 0o755) -> None:
    """Make a folder that belongs to a user."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, owner, owner)
    folder.chmod(mode)


def _unpack(folder: Path, files: Mapping[Path, bytes], owner: int) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)
        path.chmod(0o700 if path.is_dir() else 0o600)
    # The link may pass, to a folder of its own below, and not look around
    folder.chmod(0o711)
