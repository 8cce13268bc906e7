"""The SuperLink's own process: Flower's app on a Unix socket, and its Fleet API alone where hospitals arrive.

The whole app, which starts runs and hands out tasks, answers on a socket in the coordinator's private folder:
no port of the host leads to it, so neither a hospital nor another user of the host reaches it. What hospitals
reach goes through `FleetOnly`, whatever stands before it. Nothing that a run brings is executed.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from common.errors import StorageError
from common.plan.message_size import largest_message
from common.runtime.processes import LOOPBACK
from common.runtime.storage import make_private_folder
from server.gateway.enrolled_keys import EnrolledKeys
from server.gateway.fleet_filter import AsgiApp, FleetOnly
from server.process.flower_logs import quieten_flower
from server.provision.office import Office

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 128
_IDLE_S = 75
"""How long a connection may be idle: longer than any pause of a link or of the gateway."""


def serve_superlink(office: Office, *, on_loopback: bool) -> None:
    """Serve until SIGTERM.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    on_loopback : bool
        Whether hospitals of this machine, or another program's proxy on it, come to 127.0.0.1 with TLS;
        otherwise they come by the gateway's Unix socket.

    Raises
    ------
    StorageError
        If a socket cannot be made.
    """
    app = _make_app(office)
    keys = EnrolledKeys(office)
    fleet = FleetOnly(app, is_known=keys.__contains__, largest_message=largest_message(office.plan))
    with _bind_private(office.control_socket) as control, _bind_fleet(office, on_loopback) as door:
        hospitals = _make_server(fleet, lifespan="off", tls=office if on_loopback else None)
        thread = threading.Thread(target=hospitals.run, args=([door],), name="fleet", daemon=True)
        thread.start()
        try:
            _make_server(app).run([control])
        finally:
            hospitals.should_exit = True
            thread.join(timeout=5.0)


def _make_server(
    app: AsgiApp, lifespan: Literal["auto", "off"] = "auto", tls: Office | None = None
) -> uvicorn.Server:
    """A server of the app; with the office's certificate if `tls` names the office."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan=lifespan,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_S,
            # Stricter than the alternative, which takes absolute addresses and fragments
            http="h11",
            ws="none",
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.certificate_key if tls else None,
        )
    )


def _make_app(office: Office) -> AsgiApp:
    """Flower's app; sites must sign in with a key that was registered, and tasks are acquired, not started.

    Its state is in memory: a run does not outlive its SuperLink, and no message of a site lies on this disk.
    """
    from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
    from flwr.superlink.main import create_app

    from server.process.quick_dependencies import answer_without_threads, look_first_at_rounds
    from server.process.whole_answers import hand_on_whole_answers

    config = SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=LOOPBACK,
        port=office.settings.port,
        insecure=False,
        certificates=None,
        superexec_auth_secret=None,
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type="grpc-rere",
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=None,
        ssl_keyfile=None,
        database=FLWR_IN_MEMORY_DB_NAME,
        isolation="process",
        runtime_dependency_install=False,
    )
    quieten_flower()
    app = create_app(config, SuperLinkLifespan)
    hand_on_whole_answers(app)
    look_first_at_rounds(app)
    answer_without_threads(app)
    return app


@contextmanager
def _bind_fleet(office: Office, on_loopback: bool) -> Iterator[socket.socket]:  # noqa: FBT001
    """Where hospitals arrive.

    Raises
    ------
    StorageError
        If something else listens there.
    """
    if not on_loopback:
        with _bind_private(office.fleet_socket) as bound:
            yield bound
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, office.settings.port))
        except OSError as failure:
            raise StorageError(f"{office.address}: cannot listen ({failure.strerror})") from None
        yield bound


@contextmanager
def _bind_private(path: Path) -> Iterator[socket.socket]:
    """A listening Unix socket that only this user may use; it is gone at the end.

    Raises
    ------
    StorageError
        If its folder belongs to somebody else, or it cannot be made.
    """
    folder = make_private_folder(path.parent)
    if folder.stat().st_uid != os.getuid():
        raise StorageError(f"{folder} belongs to another user -> choose another folder")
    with suppress(FileNotFoundError):
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        try:
            bound.bind(str(path))
            path.chmod(0o600)
            bound.listen(_BACKLOG)
        except OSError as failure:
            raise StorageError(f"{path}: cannot listen ({failure.strerror})") from None
        try:
            yield bound
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
