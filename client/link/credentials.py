"""What the link shows and whom it trusts: the node's key, the study's authority, a client certificate."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from client.membership.link_folder import LinkFolder
from common.errors import SiteError

_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


@dataclass(frozen=True)
class ClientCertificate:
    """What a gateway may want to see before it lets anybody speak.

    Attributes
    ----------
    certificate : Path
        PEM file of the certificate, and of those that lead to the gateway's authority.
    key : Path
        PEM file of its private key, without a password.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Door:
    """Where the coordinator is, and how the link proves who it is.

    Attributes
    ----------
    address : str
        HOST:PORT.
    key : EllipticCurvePrivateKey
        The node's.
    tls : ssl.SSLContext
        Trusts the study's authority alone.
    largest_message : int
        Most bytes of a message.
    """

    address: str
    key: EllipticCurvePrivateKey
    tls: ssl.SSLContext
    largest_message: int


def open_door(
    folder: LinkFolder, address: str | None = None, client: ClientCertificate | None = None
) -> Door:
    """Whom the link of this folder calls, and with what.

    Parameters
    ----------
    folder : LinkFolder
        What the link has on disk.
    address : str, optional
        HOST:PORT, if not the invitation's.
    client : ClientCertificate, optional
        What to show to a gateway that asks; by default client.crt and client.key of the folder, if any.

    Raises
    ------
    SiteError
        If a file is missing or damaged, or the address is none.
    """
    settings = folder.load()
    called = address or settings.address
    if not _ADDRESS.fullmatch(called):
        raise SiteError(f"{called!r} is no address -> HOST:PORT, as in the invitation ({settings.address})")
    kept = ClientCertificate(folder.root / "client.crt", folder.root / "client.key")
    if client is None and kept.certificate.exists():
        client = kept
    key, tls = read_node_key(folder.node_key), make_tls(folder.authority, client)
    return Door(called, key, tls, settings.largest_message)


def make_tls(authority: Path, client: ClientCertificate | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, with a server that the study's authority certified, and no other authority's.

    Parameters
    ----------
    authority : Path
        PEM file of the study's authority.
    client : ClientCertificate, optional
        What to show to a gateway that asks.

    Raises
    ------
    SiteError
        If a file is missing or damaged.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=authority)
    except (OSError, ssl.SSLError) as failure:
        raise SiteError(
            f"{authority}: the study's authority cannot be read ({_describe(failure)}) -> "
            "rhe-client init the site again"
        ) from None
    if client is not None:
        _load_client(context, client)
    return context


def read_node_key(path: Path) -> EllipticCurvePrivateKey:
    """The key with which the site's node signs in.

    Raises
    ------
    SiteError
        If it is missing or damaged.
    """
    remedy = "restore it, or rhe-client init the site again and send the new card"
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as failure:
        raise SiteError(f"{path}: the node's key cannot be read ({_describe(failure)}) -> {remedy}") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SiteError(f"{path}: is not an ECDSA key -> {remedy}")
    return key


def _load_client(context: ssl.SSLContext, client: ClientCertificate) -> None:
    """Show the client certificate to a gateway that asks.

    Raises
    ------
    SiteError
        If the files are missing or damaged, or do not belong together.
    """
    try:
        # An empty password: OpenSSL would otherwise ask for one on the terminal
        context.load_cert_chain(client.certificate, client.key, password="")
    except (OSError, ssl.SSLError) as failure:
        raise SiteError(
            f"{client.certificate} and {client.key}: cannot be used as client certificate "
            f"({_describe(failure)}) -> both are PEM files that belong together, the key without a password"
        ) from None


def _describe(failure: Exception) -> str:
    if isinstance(failure, ssl.SSLError):
        return failure.reason or "no PEM"
    return (failure.strerror if isinstance(failure, OSError) else "") or type(failure).__name__
