"""The SuperLink as the coordinator's child process, and the orders that Flower's command line gives it."""

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

from common.enrolment import SiteCard
from common.errors import ExchangeError
from common.processes import Child, flower_environment, start
from common.storage import private_folder, write_atomically
from server.job import OFFICE_VARIABLE
from server.provision.office import LOOPBACK, Office

_CONNECTION = "study"
_POLL_S = 0.2
_START_S = 120.0
_COMMAND_S = 60.0
_ALREADY_REGISTERED = "already in use"


class ListedRun(BaseModel):
    """A run as the SuperLink knows it."""

    model_config = ConfigDict(frozen=True)

    number: str = Field(alias="run-id")
    """Flower's."""
    status: str
    """"running", "finished:completed" and the like."""


class Answer(BaseModel):
    """What ``flwr … --format json`` prints, as far as it concerns us."""

    model_config = ConfigDict(frozen=True)

    success: bool
    """Whether the SuperLink did it."""
    error: str = Field(default="", alias="error-message")
    """Why not."""
    run: str = Field(default="", alias="run-id")
    """The new run's number."""
    runs: tuple[ListedRun, ...] = ()
    """Every run, if they were asked for."""


def start_superlink(office: Office) -> Child:
    """The running SuperLink; it listens on loopback only.

    Raises
    ------
    ExchangeError
        If it does not come up: the port is taken, or its log says why.
    """
    private_folder(office.state)
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
    if answers(office):
        raise ExchangeError(
            f"something already listens on {office.address} -> end it, or change server.toml's port"
        )
    child = start("SuperLink", command, environment, office.logs / "superlink.log")
    deadline = time.monotonic() + _START_S
    while not answers(office):
        if not child.running or time.monotonic() > deadline:
            raise ExchangeError(f"the SuperLink does not come up on {office.address} -> see {child.log}")
        time.sleep(_POLL_S)
    return child


def answers(office: Office) -> bool:
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


def register(office: Office, card: SiteCard) -> None:
    """Lets a site's node sign in.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    answer = _command(
        office, "supernode", "register", str(office.key_file(card.name)), _CONNECTION, "--name", card.name
    )
    if not answer.success and _ALREADY_REGISTERED not in answer.error:
        raise ExchangeError(f"{card.name} cannot be registered: {answer.error}")


def submit(office: Office, bundle: Path, job: str) -> str:
    """Number of the run that the SuperLink began.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    answer = _command(office, "run", str(bundle), _CONNECTION, "--run-config", f'job="{job}"')
    if not answer.success:
        raise ExchangeError(f"the SuperLink refused the run: {answer.error}")
    return answer.run


def cancel(office: Office, run: str) -> None:
    """Ends a run; one that has ended already stays as it is."""
    _command(office, "stop", run, _CONNECTION)


def cancel_all(office: Office) -> None:
    """Ends every run that a killed SuperLink left unfinished, so that no site works for it any more."""
    for run in _command(office, "list", _CONNECTION).runs:
        if not run.status.startswith("finished"):
            cancel(office, run.number)


def _command(office: Office, *arguments: str) -> Answer:
    home = private_folder(office.state / "flwr")
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
        done = subprocess.run(
            [str(Path(sys.executable).with_name("flwr")), *arguments, "--format", "json"],
            capture_output=True,
            env={**os.environ, **flower_environment(home)},
            timeout=_COMMAND_S,
            check=False,
            text=True,
        )
        return Answer.model_validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        raise ExchangeError(
            f"the SuperLink on {office.address} does not answer -> see {office.logs}"
        ) from None
    except ValidationError:
        said = (done.stderr or done.stdout).strip()[-400:]
        raise ExchangeError(f"flwr {arguments[0]} failed: {said}") from None
