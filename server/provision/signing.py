"""The authority that says who takes part: its key, which is never on the coordinator's machine."""

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

from common.errors import ProtocolError, StorageError
from common.messages.enrolment import Proposal
from common.messages.handed_file import name_in_faults, read_handed_file
from common.runtime.storage import make_private_folder, write_atomically
from common.secagg.crypto.keys import decode_public_key, fingerprint
from common.secagg.wire.messages import NO_DIGEST
from common.secagg.wire.roster import Roster, Waiver, read_roster, sign_roster, sign_waiver


@dataclass(frozen=True)
class Consent:
    """What the authority is asked to waive.

    Attributes
    ----------
    sites : tuple of str
        Names of the sites that may be absent from the phase's sums, or of the one restored from a backup.
    phase : str or None
        The phase whose sums they may be absent from; None for a restored site.
    number : int
        Serial number, so that each waiver is used once.
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
        Holds the key; only its owner may read it.
    """

    folder: Path

    @property
    def public_file(self) -> Path:
        """File with the public key, which the coordinator puts into its invitation."""
        return self.folder / "authority.pub"

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the public key, to compare on the telephone."""
        return fingerprint(self._load_key().public_key().public_bytes_raw())

    def insist_on_key(self) -> None:
        """Read the key, before anybody is asked for a consent that it could not sign.

        Raises
        ------
        StorageError
            If it cannot be read.
        """
        self._load_key()

    def sign(self, proposal: Proposal, path: Path) -> Roster:
        """Write the signed roster that follows from the proposal's plan and cards, and return it.

        Raises
        ------
        PlanError, ProtocolError
            If no roster follows from them.
        StorageError
            If the key cannot be read, or the roster cannot be written.
        """
        roster = proposal.roster()
        write_atomically(path, sign_roster(roster, self._load_key()))
        return roster

    def draw_waiver(self, roster_file: Path, consent: Consent) -> Waiver:
        """The waiver of what the release rules forbid, which is not signed yet.

        Parameters
        ----------
        roster_file : Path
            The roster that this authority signed.
        consent : Consent
            What is waived.

        Raises
        ------
        SecAggError
            If this authority did not sign the roster.
        ProtocolError
            If the roster cannot be read or lacks a site, or several restored sites are named.
        StorageError
            If the key cannot be read.
        """
        key = self._load_key()
        message = read_handed_file(roster_file)
        with name_in_faults(roster_file, "roster that this authority signed, study.roster"):
            roster = read_roster(message, key.public_key().public_bytes_raw())
        numbers = tuple(sorted(roster.find_by_name(name).id for name in consent.sites))
        absent = consent.phase is not None
        if not absent and len(numbers) != 1:
            raise ProtocolError("one restored site at a time -> give one --site, or --phase for absent ones")
        return Waiver(
            study=roster.study,
            roster=roster.digest,
            kind="absent" if absent else "restored",
            phase=consent.phase or "any",
            absent=numbers if absent else (),
            definition=NO_DIGEST,
            site=0 if absent else numbers[0],
            number=consent.number,
        )

    def waive(self, waiver: Waiver, path: Path) -> None:
        """Write a waiver, signed.

        Raises
        ------
        StorageError
            If the key cannot be read, or the waiver cannot be written.
        """
        write_atomically(path, sign_waiver(waiver, self._load_key()))

    def _load_key(self) -> Ed25519PrivateKey:
        path = _key_file(self.folder)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as failure:
            raise StorageError(
                f"{path}: the authority's key cannot be read ({failure}) -> rhe-authority init, or restore it"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StorageError(f"{path}: is not an Ed25519 key -> restore the file from its backup")
        return key


def create_signing_authority(folder: Path) -> Authority:
    """Make an authority's folder with a new key.

    Raises
    ------
    StorageError
        If the folder already holds a key, or cannot be written.
    """
    if _key_file(folder).exists():
        raise StorageError(f"{folder} already holds an authority's key -> choose another folder")
    make_private_folder(folder)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(_key_file(folder), pem, private=True)
    authority = Authority(folder)
    write_atomically(authority.public_file, f"{key.public_key().public_bytes_raw().hex()}\n".encode())
    return authority


def read_public_key(path: Path) -> str:
    """An authority's raw public key, hexadecimal.

    Raises
    ------
    ProtocolError
        If the file cannot be read, or holds no key.
    """
    content = read_handed_file(path)
    try:
        text = content.decode("ascii").strip()
        decode_public_key(text)
    except (ValueError, ProtocolError):
        raise ProtocolError(f"{path}: is no authority's public key -> ask for authority.pub again") from None
    return text


def _key_file(folder: Path) -> Path:
    return folder / "authority.key"
