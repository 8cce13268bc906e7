"""The authority that says who takes part: its key, which never lies on the coordinator's machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from common.enrolment import Proposal
from common.errors import ProtocolError, StorageError
from common.secagg.keys import fingerprint, public_bytes
from common.secagg.messages import NO_DIGEST
from common.secagg.roster import Roster, Waiver, read_roster, sign_roster, sign_waiver
from common.storage import private_folder, write_atomically


@dataclass(frozen=True)
class Consent:
    """What the authority is asked to waive.

    Attributes
    ----------
    sites : tuple of str
        Which may be absent from the phase's sums, or the one that was restored from a backup.
    phase : str or None
        Of the sums; None for a restored site.
    number : int
        Serial, so that each consent is given once.
    """

    sites: tuple[str, ...]
    phase: str | None
    number: int


@dataclass(frozen=True)
class Authority:
    """The folder of a study's authority.

    Attributes
    ----------
    folder : Path
        Nobody but its owner may read it.
    """

    folder: Path

    @property
    def public_file(self) -> Path:
        """What the coordinator puts into its invitation."""
        return self.folder / "authority.pub"

    @property
    def fingerprint(self) -> str:
        """Of the public key, for the telephone."""
        return fingerprint(self._key().public_key().public_bytes_raw())

    def sign(self, proposal: Proposal, path: Path) -> Roster:
        """Writes the signed roster that the proposal's plan and cards give.

        Raises
        ------
        PlanError, ProtocolError
            If they give none.
        StorageError
            If the key cannot be read, or the roster not written.
        """
        roster = proposal.roster()
        write_atomically(path, sign_roster(roster, self._key()))
        return roster

    def waive(self, roster_file: Path, consent: Consent, path: Path) -> Waiver:
        """Writes a signed waiver of what the release rules forbid.

        Raises
        ------
        SecAggError
            If this authority did not sign the roster.
        ProtocolError
            If the roster cannot be read, or does not name a site.
        StorageError
            If the key cannot be read, or the waiver not written.
        """
        key = self._key()
        roster = read_roster(_contents(roster_file), key.public_key().public_bytes_raw())
        numbers = tuple(sorted(roster.named(name).id for name in consent.sites))
        absent = consent.phase is not None
        if not absent and len(numbers) != 1:
            raise ProtocolError("one restored site at a time -> give one --site, or --phase for absent ones")
        waiver = Waiver(
            study=roster.study,
            roster=roster.digest,
            kind="absent" if absent else "restored",
            phase=consent.phase or "any",
            absent=numbers if absent else (),
            definition=NO_DIGEST,
            site=0 if absent else numbers[0],
            number=consent.number,
        )
        write_atomically(path, sign_waiver(waiver, key))
        return waiver

    def _key(self) -> Ed25519PrivateKey:
        path = _secret(self.folder)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as failure:
            raise StorageError(
                f"{path}: the authority's key cannot be read ({failure}) -> rhe-authority init, or restore it"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StorageError(f"{path}: is not an Ed25519 key -> restore the file from its backup")
        return key


def found_authority(folder: Path) -> Authority:
    """A new authority's folder.

    Raises
    ------
    StorageError
        If there is one already, or it cannot be written.
    """
    if _secret(folder).exists():
        raise StorageError(f"{folder} already holds an authority's key -> choose another folder")
    private_folder(folder)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(_secret(folder), pem, private=True)
    authority = Authority(folder)
    write_atomically(authority.public_file, f"{key.public_key().public_bytes_raw().hex()}\n".encode())
    return authority


def read_public_key(path: Path) -> str:
    """An authority's raw public key, hexadecimal.

    Raises
    ------
    ProtocolError
        If the file holds none.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        public_bytes(text)
    except OSError as failure:
        raise ProtocolError(f"{path}: cannot be read ({failure.strerror})") from None
    except (ValueError, ProtocolError):
        raise ProtocolError(f"{path}: is no authority's public key -> ask for authority.pub again") from None
    return text


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise ProtocolError(f"{path}: cannot be read ({failure.strerror})") from None


def _secret(folder: Path) -> Path:
    return folder / "authority.key"
