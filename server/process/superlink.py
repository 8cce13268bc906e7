"""The SuperLink as the coordinator's child process: started, asked whether it answers, told whom to admit."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from common.errors import ExchangeError
from common.messages.enrolment import SiteCard
from common.runtime.processes import Child, flower_environment, start_child, stop_child
from common.runtime.storage import make_private_folder
from server.provision.office import Office

_POLL_S = 0.1
_START_S = 120.0
_HEALTH_S = 5.0
_KNOWN = "already in use"


def start_superlink(
    office: Office,
    *,
    on_loopback: bool,
    patience_s: float = _START_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> Child:
    """Start the SuperLink and wait until it answers.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    on_loopback : bool
        Whether its Fleet API listens on 127.0.0.1 with TLS, instead of the gateway's Unix socket.
    patience_s : float
        How long it may take to answer, in seconds.
    meanwhile : callable
        What is done several times a second until then; if it raises, the SuperLink is ended.

    Raises
    ------
    ExchangeError
        If it does not come up, and is ended; its log says why.
    """
    if is_listening(office):
        raise ExchangeError(f"another SuperLink of {office.folder} is at work -> end it first")
    program = str(Path(sys.executable).with_name("rhe-server"))
    command = [program, "superlink", str(office.folder), "--port", str(office.settings.port)]
    command += ["--on-loopback"] if on_loopback else []
    environment = flower_environment(make_private_folder(office.state / "superlink"))
    log = office.logs / "superlink.log"
    child = start_child("SuperLink", command, environment, log)
    try:
        _await_answer(office, child, patience_s, meanwhile)
    except BaseException:
        stop_child(child)
        raise
    return child


def _await_answer(office: Office, child: Child, patience_s: float, meanwhile: Callable[[], None]) -> None:
    deadline = time.monotonic() + patience_s
    while not is_listening(office):
        if not child.running or time.monotonic() > deadline:
            lines = child.tail().strip().splitlines()
            silent = f"it does not answer after {patience_s:.0f} s"
            reason = silent if child.running else (lines or ["it ended"])[-1]
            raise ExchangeError(f"the SuperLink does not come up: {reason} -> see {child.log}")
        time.sleep(_POLL_S)
        meanwhile()


def is_listening(office: Office) -> bool:
    """Whether this study's SuperLink answers on its socket."""
    import httpx

    if not office.control_socket.exists():
        return False
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(office.control_socket)), timeout=_HEALTH_S
    ) as client:
        try:
            return client.get("http://superlink/health").is_success
        except httpx.HTTPError:
            return False


def register_site(office: Office, card: SiteCard) -> None:
    """Permit a site's node to connect; one that is permitted already stays so.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    from flwr.proto.control_pb2 import RegisterNodeRequest

    from server.process.flower_socket import explain_failures, open_control

    with open_control(office.control_socket) as control:
        try:
            with explain_failures():
                control.RegisterNode(RegisterNodeRequest(public_key=card.key_as_pem(), name=card.name))
        except ExchangeError as failure:
            if _KNOWN not in str(failure):
                raise ExchangeError(f"{card.name} cannot be registered: {failure}") from None


def cancel_runs(office: Office) -> None:
    """End every run that was left unfinished, so that no site works for it any more.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses.
    """
    from server.process.flower_run import stop_runs
    from server.process.flower_socket import explain_failures, open_control

    with explain_failures(), open_control(office.control_socket) as control:
        stop_runs(control)
