"""What hospitals reach: nginx that rhe starts, another program's proxy, or nobody but this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from common.errors import PlanError
from server.gateway.nginx import run_nginx
from server.provision.office import Office


class GatewayMode(StrEnum):
    """What stands between hospitals and the SuperLink."""

    NGINX = "nginx"
    """nginx, which rhe configures, starts and ends; hospitals reach its port."""
    EXTERNAL = "external"
    """A reverse proxy of the hospital's or university's own, on this machine."""
    LOOPBACK = "loopback"
    """Nothing: the SuperLink's Fleet API is for this machine alone."""

    @property
    def on_loopback(self) -> bool:
        """Whether the SuperLink's Fleet API listens with TLS on 127.0.0.1 instead of a Unix socket."""
        return self is not GatewayMode.NGINX


def choose_mode(name: str) -> GatewayMode:
    """The mode of this name.

    Raises
    ------
    PlanError
        If there is none.
    """
    try:
        return GatewayMode(name)
    except ValueError:
        raise PlanError(f"--gateway {name!r} -> one of {', '.join(GatewayMode)}") from None


@contextmanager
def open_gateway(
    office: Office, mode: GatewayMode, client_authority: Path | None = None
) -> Iterator[Callable[[], None]]:
    """A context in which the gateway is open; yields what to call every second or so to look after it.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    mode : GatewayMode
        What stands between hospitals and the SuperLink.
    client_authority : Path, optional
        Certificate authority, PEM, whose certificates hospitals have to show nginx.

    Raises
    ------
    ExchangeError
        If nginx does not come up; also from what looks after it, if nginx dies again and again.
    PlanError
        If client certificates are asked for where rhe does not run the proxy that would check them.
    """
    if mode is GatewayMode.NGINX:
        with run_nginx(office, client_authority) as nginx:
            yield nginx.look_after
        return
    if client_authority is not None:
        raise PlanError(f"--client-authority is for --gateway nginx, not for {mode}")
    yield _do_nothing


def _do_nothing() -> None:
    pass
