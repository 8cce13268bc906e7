"""What an attacker sends: raw HTTP over TLS or a Unix socket, signed with a node's key or not."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PROTOBUF = {"Content-Type": "application/protobuf", "Accept": "application/protobuf"}

_WAIT_S = 15.0
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Door:
    """Where an attacker knocks.

    Attributes
    ----------
    host : str
        Name or address; what the certificate must say.
    port : int
    authority : str
        Certificate of the authority that the attacker trusts, as every hospital has it; empty for plain text.
    path : Path or None
        A Unix socket instead of host and port.
    protocols : tuple of str
        What is offered in TLS' ALPN.
    """

    host: str
    port: int = 0
    authority: str = ""
    path: Path | None = None
    protocols: tuple[str, ...] = ()

    def connect(self) -> socket.socket:
        """An open connection."""
        if self.path is not None:
            local = socket.socket(socket.AF_UNIX)
            local.settimeout(_WAIT_S)
            local.connect(str(self.path))
            return local
        plain = socket.create_connection((self.host, self.port), timeout=_WAIT_S)
        if not self.authority:
            return plain
        context = ssl.create_default_context(cadata=self.authority)
        if self.protocols:
            context.set_alpn_protocols(list(self.protocols))
        return context.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : int
        Of HTTP; 0 if the connection was closed without one.
    head, body : bytes
    """

    status: int
    head: bytes = b""
    body: bytes = b""

    @property
    def came_from_superlink(self) -> bool:
        """Whether Flower's application wrote it: a protobuf message, its page, or one of its errors."""
        content = re.search(rb"(?im)^content-type:\s*([^\r\n;]+)", self.head)
        kind = content.group(1).strip().lower() if content else b""
        return (
            kind == b"application/protobuf"
            or (
                kind == b"application/json"
                and (b'"detail"' in self.body or b'"code"' in self.body or b"openapi" in self.body)
            )
            or b"swagger" in self.body
        )


def send(door: Door, request: bytes) -> Answer:
    """The answer to bytes that are sent as they are."""
    try:
        with door.connect() as connection:
            connection.sendall(request)
            return _receive(connection)
    except OSError as failure:
        return Answer(0, body=str(failure).encode())


def ask(
    door: Door, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """The answer to a well-formed request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {door.host}:{door.port}", f"Content-Length: {len(body)}"]
    lines += [
        f"{name}: {value}" for name, value in {**PROTOBUF, "Connection": "close", **(headers or {})}.items()
    ]
    return send(door, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def sign_headers(node_key: bytes, shift_s: float = 0.0) -> dict[str, str]:
    """The headers with which a node signs in to Flower's Fleet API, by a clock that is wrong by so much."""
    from datetime import timedelta

    from flwr.common.constant import TIMESTAMP_HEADER
    from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
    from flwr.supercore.date import now
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

    key = load_node_key(node_key)
    timestamp = (now() + timedelta(seconds=shift_s)).isoformat()
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(public_key_to_bytes(key.public_key())).decode(),
        TIMESTAMP_HEADER: timestamp,
        FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(sign_message(key, timestamp.encode())).decode(),
    }


def load_node_key(content: bytes) -> EllipticCurvePrivateKey:
    """A node's key.

    Raises
    ------
    TypeError
        If it is of another kind.
    """
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    key = load_ssh_private_key(content, None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError(f"a node's key is not {type(key).__name__}")
    return key


def _receive(connection: socket.socket) -> Answer:
    received = b""
    while len(received) < _LARGEST:
        part = connection.recv(65536)
        received += part
        if not part or _is_complete(received):
            break
    head, _, body = received.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/[\d.]+ (\d{3})", head)
    return Answer(int(status.group(1)) if status else 0, head, body)


def _is_complete(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    return bool(end and length and len(body) >= int(length.group(1)))
