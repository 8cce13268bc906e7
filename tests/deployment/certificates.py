"""Servers that pretend to be the coordinator: what a link tells them, and what it tells its user."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.deployment.federation import COORDINATOR, NAME, OFFICE, TEST_PORTS, Federation
from tests.deployment.table import Attack, Seen

_WAIT_S = 25.0


@dataclass(frozen=True)
class Pretender:
    """A server that a hospital must not talk to.

    Attributes
    ----------
    port : int
    word : str
        What the link must tell its user.
    make : callable
        Certificate and key, PEM, from the study's authority; None for a server without TLS.
    """

    port: int
    word: str
    make: Callable[[bytes, bytes], bytes | None]


def make_expired(authority: bytes, key: bytes) -> bytes:
    return _issue(authority, key, NAME, -30, -1)


def make_early(authority: bytes, key: bytes) -> bytes:
    return _issue(authority, key, NAME, 1, 30)


def make_foreign(authority: bytes, key: bytes) -> bytes:
    return _issue(b"", b"", NAME, -1, 30)


def make_misnamed(authority: bytes, key: bytes) -> bytes:
    return _issue(authority, key, "other.example.org", -1, 30)


def make_none(authority: bytes, key: bytes) -> None:
    return None


PRETENDERS = {
    "expired": Pretender(TEST_PORTS[0], "expired-certificate", make_expired),
    "not yet valid": Pretender(TEST_PORTS[1], "early-certificate", make_early),
    "of a foreign authority": Pretender(TEST_PORTS[2], "foreign-authority", make_foreign),
    "for another name": Pretender(TEST_PORTS[3], "host-name", make_misnamed),
    "missing (no TLS)": Pretender(TEST_PORTS[4], "no-tls", make_none),
}


def listen_as(pretender: Pretender, authority: bytes, key: bytes, address: str, seconds: float) -> bytes:
    """All that clients say to a pretender once they trust it."""
    pem = pretender.make(authority, key)
    heard = bytearray()
    context = None
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = Path.home() / f"{pretender.port}.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    deadline = time.monotonic() + seconds
    with socket.create_server((address, pretender.port)) as server:
        server.settimeout(0.5)
        while time.monotonic() < deadline and not heard:
            with suppress(OSError):
                plain, _ = server.accept()
                plain.settimeout(2)
                with context.wrap_socket(plain, server_side=True) if context else plain as client:
                    part = client.recv(65536)
                    # A client without trust begins TLS with a server that has none: that tells nothing
                    heard += b"" if context is None and part[:1] == b"\x16" else part
                    if context is None:
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    return bytes(heard)


def start_pretenders(federation: Federation) -> None:
    """Begin every pretender, and a link to each, so that they need not wait for each other."""
    host = federation.coordinator
    authority, key = (host.read(OFFICE / "tls" / f"authority.{kind}") for kind in ("crt", "key"))
    for name, pretender in PRETENDERS.items():
        listening = host.begin(COORDINATOR, listen_as, pretender, authority, key, host.address, _WAIT_S)
        federation.pretenders[name] = (listening, federation.ways.open_link(federation, pretender.port))


def judge_pretender(federation: Federation, name: str) -> Seen:
    """Success if the link said anything to it, or did not tell its user what was wrong."""
    listening, read_words = federation.pretenders[name]
    pretender = PRETENDERS[name]
    heard = listening.result(_WAIT_S + 10)
    words = " ".join(read_words().split())
    if heard:
        return Seen(True, f"the link said {len(heard)} bytes: {heard[:40]!r}")
    if pretender.word.lower() not in words.lower():
        return Seen(True, f"it is not trusted, but that is not told: {words[-120:]!r}")
    return Seen(False, f"told: {words[words.find(pretender.word) :][:170]}")


def _issue(authority: bytes, key: bytes, name: str, first_day: int, last_day: int) -> bytes:
    """A server's certificate and key; of an authority of its own if none is given."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )
    from cryptography.x509.oid import NameOID

    own = ec.generate_private_key(ec.SECP256R1())
    signer = load_pem_private_key(key, None) if key else ec.generate_private_key(ec.SECP384R1())
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the study's authority has a key of another kind")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.load_pem_x509_certificate(authority).subject if authority else subject
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first_day))
        .not_valid_after(now + timedelta(days=last_day))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA384())
    )
    return certificate.public_bytes(Encoding.PEM) + own.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


ATTACKS = tuple(
    Attack(
        f"a server whose certificate is {name}: trusted, or not told as that",
        "succeeded: not trusted, but told as 'not enrolled yet', after minutes",
        partial(judge_pretender, name=name),
    )
    for name in PRETENDERS
)
