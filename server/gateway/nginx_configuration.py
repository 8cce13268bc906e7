"""The configuration of nginx as the study's gateway: of one that rhe starts, or of an administrator's own."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from common.errors import PlanError, StorageError
from server.gateway.fleet_paths import (
    CONNECTIONS,
    CONNECTIONS_PER_ADDRESS,
    FLEET_CALLS,
    FLEET_HEADERS,
    FLEET_PREFIX,
    HEALTH_PATH,
    LARGEST_BODY_BYTES,
    REFUSED_PER_S,
    REQUESTS_PER_S,
)
from server.provision.office import Office

_TEMPLATE = Path(__file__).with_name("nginx.conf.jinja")
_EXTERNAL_FOLDER = "/etc/nginx/rhe"
_BURST = 2 * REQUESTS_PER_S
_REFUSED_BURST = 20
_HOST = re.compile(r"[a-z0-9.-]+")
_LISTEN = re.compile(r"(?:(?P<address>[0-9.]+|\[[0-9a-f:]+\]):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class NginxFiles:
    """Where an nginx that rhe starts has its files, all inside the coordinator's private folder.

    Attributes
    ----------
    folder : Path
        Configuration, process number and a folder that stays empty.
    log : Path
        One line for each request that was no poll: who, what, how long, never a body; and nginx's own words.
    """

    folder: Path
    log: Path

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.folder / "nginx.conf"


def locate_nginx_files(office: Office) -> NginxFiles:
    """Where the nginx of a study has its files."""
    return NginxFiles(office.state.resolve() / "gateway", office.logs / "gateway.log")


def write_own_configuration(office: Office, client_authority: Path | None = None) -> str:
    """The whole configuration of an nginx that rhe starts: from the study's port to the SuperLink's socket.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    client_authority : Path, optional
        Certificate authority, PEM, whose certificates hospitals have to show.

    Raises
    ------
    StorageError
        If a path cannot be written into a configuration of nginx.
    """
    files = locate_nginx_files(office)
    own = {
        "pid": _quote(files.folder / "nginx.pid"),
        "unused": _quote(files.folder / "unused"),
        "user": _name_user(),
    }
    return _render(
        office,
        {
            "own": own,
            "external": None,
            "upstream": _quote(office.fleet_socket.resolve(), "unix:"),
            "listen": _list_addresses(office.settings.port),
            "names": ["_"],
            "access_log": "/dev/stdout",
            "certificate": _quote(office.certificate.resolve()),
            "certificate_key": _quote(office.certificate_key.resolve()),
            "client_authority": _quote(client_authority.resolve()) if client_authority else "",
        },
    )


def write_external_configuration(
    office: Office, listen: str, *, with_client_certificates: bool = False
) -> str:
    """What an administrator puts into their own nginx: from a public port to the SuperLink on 127.0.0.1.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    listen : str
        PORT or ADDRESS:PORT that hospitals reach.
    with_client_certificates : bool
        Whether hospitals have to show a certificate.

    Raises
    ------
    PlanError
        If nginx could not listen there because rhe itself does.
    StorageError
        If a path cannot be written into a configuration of nginx.
    """
    port = office.settings.port
    parts = _LISTEN.fullmatch(listen)
    if parts is None or not 1 <= int(parts["port"]) <= 65535:
        raise PlanError(f"--listen {listen!r} is no port -> PORT or ADDRESS:PORT, for example 443")
    if int(parts["port"]) == port and (parts["address"] or "0.0.0.0") in {"0.0.0.0", "127.0.0.1"}:  # noqa: S104
        raise PlanError(
            f"--listen {listen}: rhe itself listens on {office.address} -> another port, or the one address "
            f"that hospitals reach, for example --listen 192.0.2.10:{port}"
        )
    copied = (office.authority, office.certificate, office.certificate_key)
    originals = " ".join(shlex.quote(str(_check(path.resolve()))) for path in copied)
    external = {
        "folder": _EXTERNAL_FOLDER,
        "originals": originals,
        "port": port,
        "invited": office.public_address,
    }
    return _render(
        office,
        {
            "own": None,
            "external": external,
            "upstream": office.address,
            "listen": [listen],
            "names": _read_names(office),
            "access_log": "/var/log/nginx/rhe.log",
            "certificate": f"{_EXTERNAL_FOLDER}/{office.certificate.name}",
            "certificate_key": f"{_EXTERNAL_FOLDER}/{office.certificate_key.name}",
            "client_authority": f"{_EXTERNAL_FOLDER}/clients.crt" if with_client_certificates else "",
        },
    )


def _render(office: Office, values: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - no page: what could change a configuration is quoted or refused
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        values,
        study=re.sub(r"[^\w .,:()-]", " ", office.plan.name),
        prefix=FLEET_PREFIX,
        calls=FLEET_CALLS,
        health=HEALTH_PATH,
        headers=FLEET_HEADERS,
        hosts=[re.escape(name) for name in _read_names(office)],
        body_bytes=LARGEST_BODY_BYTES,
        connections=CONNECTIONS_PER_ADDRESS,
        all_connections=CONNECTIONS,
        refused_rate=REFUSED_PER_S,
        refused_burst=_REFUSED_BURST,
        rate=REQUESTS_PER_S,
        burst=_BURST,
    )


def _read_names(office: Office) -> Sequence[str]:
    """Names and addresses in the server's certificate: what a link that verified it can have asked for.

    Raises
    ------
    StorageError
        If the certificate cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(office.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as failure:
        raise StorageError(f"{office.certificate}: is no server certificate ({failure})") from None
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    bracketed = [f"[{address}]" if ":" in address else address for address in addresses]
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return [*filter(_HOST.fullmatch, hosts), *bracketed]


def _quote(path: Path, scheme: str = "") -> str:
    """A path as nginx reads it."""
    return f'"{scheme}{_check(path)}"'


def _check(path: Path) -> Path:
    r"""The path itself.

    Raises
    ------
    StorageError
        If it has a character with which nginx would read something else: ``" \ $`` or an invisible one.
    """
    if re.search(r'["\\$]', str(path)) or not str(path).isprintable():
        raise StorageError(
            f'{path}: nginx cannot be told a path with " \\ $ or an invisible character -> rename the '
            "folder, or start with --gateway external"
        )
    return path


def _list_addresses(port: int) -> Sequence[str]:
    """Every address of this machine, of IPv6 too where it has that."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return [f"0.0.0.0:{port}"]
    return [f"0.0.0.0:{port}", f"[::]:{port}"]


def _name_user() -> str:
    """As whom nginx's workers run if root starts it: as root, for nobody else may use the study's folder."""
    return "root" if os.geteuid() == 0 else ""
