"""The SuperLink as the coordinator's child process, and what Flower's command line tells it to do."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ExchangeError
from common.messages.enrolment import SiteCard
from common.runtime.processes import LOOPBACK, Child, flower_environment, start_child
from common.runtime.storage import make_private_folder, write_atomically
from server.process.job import OFFICE_VARIABLE
from server.provision.office import Office

_CONNECTION = "study"
_POLL_S = 0.2
_START_S = 120.0
_COMMAND_S = 60.0
_ALREADY_REGISTERED = "already in use"


class ListedRun(BaseModel):
    """A run as the SuperLink knows it."""

    model_config = ConfigDict(frozen=True)

    number: str = Field(alias="run-id")
    """Flower's identifier of the run."""
    status: str
    """Flower's status: "running", "finished:completed" and the like."""


class FlowerReply(BaseModel):
    """The fields that we read of what ``flwr … --format json`` prints."""

    model_config = ConfigDict(frozen=True)

    success: bool
    """Whether the SuperLink did what the command asked."""
    error: str = Field(default="", alias="error-message")
    """Why it did not; empty if it did."""
    run: str = Field(default="", alias="run-id")
    """The new run's number, if the command started one."""
    runs: tuple[ListedRun, ...] = ()
    """Every run, if the command listed them."""


def start_superlink(office: Office) -> Child:
    """Start the SuperLink and wait until it listens, on loopback only.

    Returns
    -------
    Child
        The running process.

    Raises
    ------
    ExchangeError
        If it does not start to listen: the port is taken, or its log says why.
    """
    make_private_folder(office.state)
    command = [
        str(Path(sys.executable).with_name("flower-superlink")),
        *("--host", LOOPBACK, "--port", str(office.settings.port)),
        *("--ssl-certfile", str(office.certificate), "--ssl-keyfile", str(office.certificate_key)),
        *("--ssl-ca-certfile", str(office.authority)),
        *("--database", str(office.state / "superlink.sqlite")),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]
    environment = {
        **flower_environment(office.state / "superlink"),
        OFFICE_VARIABLE: str(office.folder.resolve()),
    }
    if is_listening(office):
        raise ExchangeError(
            f"something already listens on {office.address} -> end it, or change server.toml's port"
        )
    child = start_child("SuperLink", command, environment, office.logs / "superlink.log")
    deadline = time.monotonic() + _START_S
    while not is_listening(office):
        if not child.running or time.monotonic() > deadline:
            raise ExchangeError(f"the SuperLink does not come up on {office.address} -> see {child.log}")
        time.sleep(_POLL_S)
    return child


def is_listening(office: Office) -> bool:
    """Whether this study's SuperLink listens."""
    context = ssl.create_default_context(cafile=str(office.authority))
    connection = http.client.HTTPSConnection(LOOPBACK, office.settings.port, timeout=5.0, context=context)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def register_site(office: Office, card: SiteCard) -> None:
    """Permit a site's node to connect.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    reply = _run_flwr(
        office, "supernode", "register", str(office.key_file(card.name)), _CONNECTION, "--name", card.name
    )
    if not reply.success and _ALREADY_REGISTERED not in reply.error:
        raise ExchangeError(f"{card.name} cannot be registered: {reply.error}")


def submit_run(office: Office, bundle: Path, job: str) -> str:
    """Start a run of the bundle, and return its number.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    bundle : Path
        Folder that `write_bundle` filled.
    job : str
        Number of the job, for the run's configuration.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    reply = _run_flwr(office, "run", str(bundle), _CONNECTION, "--run-config", f'job="{job}"')
    if not reply.success:
        raise ExchangeError(f"the SuperLink refused the run: {reply.error}")
    return reply.run


def cancel_run(office: Office, run: str) -> None:
    """End a run; one that has already ended stays as it is."""
    _run_flwr(office, "stop", run, _CONNECTION)


def cancel_all_runs(office: Office) -> None:
    """End every run that a killed SuperLink left unfinished, so that no site works for it any more."""
    for run in _run_flwr(office, "list", _CONNECTION).runs:
        if not run.status.startswith("finished"):
            cancel_run(office, run.number)


def _run_flwr(office: Office, *arguments: str) -> FlowerReply:
    home = make_private_folder(office.state / "flwr")
    configuration: Mapping[str, str] = {
        "address": office.address,
        "root-certificates": str(office.authority.resolve()),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in configuration.items()]
    text = "\n".join(
        [f"[superlink]\ndefault = {json.dumps(_CONNECTION)}\n\n[superlink.{_CONNECTION}]", *lines]
    )
    write_atomically(home / "config.toml", f"{text}\n".encode())
    try:
        completed = subprocess.run(
            [str(Path(sys.executable).with_name("flwr")), *arguments, "--format", "json"],
            capture_output=True,
            env={**os.environ, **flower_environment(home)},
            timeout=_COMMAND_S,
            check=False,
            text=True,
        )
        return FlowerReply.model_validate_json(completed.stdout)
    except subprocess.TimeoutExpired:
        raise ExchangeError(
            f"the SuperLink on {office.address} does not answer -> see {office.logs}"
        ) from None
    except ValidationError:
        output = (completed.stderr or completed.stdout).strip()[-400:]
        raise ExchangeError(f"flwr {arguments[0]} failed: {output}") from None
