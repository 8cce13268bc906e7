"""The study's own certificate authority: it signs one server certificate, and sites trust no other."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
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
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=5 * 365)
_CLOCK_TOLERANCE = timedelta(days=1)
"""A certificate is valid from this long before it was made: a site's clock may be behind."""


@dataclass(frozen=True)
class CertifiedKey:
    """A certificate with its private key.

    Attributes
    ----------
    certificate : x509.Certificate
        The certificate of the public key.
    key : ec.EllipticCurvePrivateKey
        The private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, PEM, unencrypted: its file's permissions protect it."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def create_authority(study: str) -> CertifiedKey:
    """A new certificate authority that may sign servers' certificates, but no further authority's.

    Parameters
    ----------
    study : str
        The study's title.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    name = _make_name(f"rhe study: {study}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _start_certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return CertifiedKey(builder.sign(key, hashes.SHA384()), key)


def load_certified_key(certificate_pem: bytes, key_pem: bytes) -> CertifiedKey:
    """A certificate and its key as they lie on the disk.

    Raises
    ------
    ValueError
        If they are none, or the key is of another kind.
    """
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("no key of an elliptic curve")  # noqa: TRY004 - what a file holds
    return CertifiedKey(x509.load_pem_x509_certificate(certificate_pem), key)


def issue_server_certificate(authority: CertifiedKey, hosts: Sequence[str]) -> CertifiedKey:
    """A server certificate for these host names and addresses.

    Parameters
    ----------
    authority : CertifiedKey
        Who signs the certificate.
    hosts : sequence of str
        DNS names or IP addresses under which sites reach the server.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    signer = authority.certificate.subject
    names = x509.SubjectAlternativeName([_parse_host(host) for host in hosts])
    server_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _start_certificate(_make_name("rhe coordinator"), signer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(server_only, critical=False)
        .add_extension(issuer_id, critical=False)
    )
    return CertifiedKey(builder.sign(authority.key, hashes.SHA384()), key)


def _start_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + _LIFETIME)
    )


def _make_name(common_name: str) -> x509.Name:
    """A name with this common name, cut to the 64 characters that X.520 allows."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _parse_host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
