"""The site's own key in the protocol that hides sums."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from common.errors import SiteError
from common.secagg.wire.roster import Identity


def read_identity(path: Path, site: int) -> Identity:
    """The key in a file, and the site's number in the roster.

    Parameters
    ----------
    path : Path
        PEM, as `generate_identity` makes it.
    site : int
        The plan's number of the site.

    Raises
    ------
    SiteError
        If the key cannot be read.
    """
    return Identity(_read_key(path), site)


def generate_identity() -> bytes:
    """A new private key, PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise SiteError(f"{path}: the site's identity cannot be read ({failure})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SiteError(f"{path}: is not an Ed25519 key -> restore the file from its backup")
    return key
