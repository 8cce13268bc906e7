"""The coordinator's folder: keys, certificates, plan and the cards of the hospitals that were let in."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import Field

from common.enrolment import Invitation, SiteCard, load_handout
from common.errors import PlanError, StorageError
from common.settings import Section, load_settings
from common.storage import private_folder, write_atomically
from common.study import StudyPlan, load_plan
from server.provision.authority import create_authority, issue_server

LOOPBACK = "127.0.0.1"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class OfficeSettings(Section):
    """How the coordinator is reached (`server.toml`)."""

    host: str
    """Name or address under which hospitals reach the coordinator."""
    port: int = Field(ge=1, le=65535)
    """Of the SuperLink, on this machine and for hospitals."""


@dataclass(frozen=True)
class Office:
    """What a coordinator has for one study.

    Attributes
    ----------
    folder : Path
        Nobody but its owner may read it.
    settings : OfficeSettings
    plan : StudyPlan
    """

    folder: Path
    settings: OfficeSettings
    plan: StudyPlan

    @property
    def invitation(self) -> Path:
        """The file to hand to every hospital."""
        return self.folder / "study.invitation"

    @property
    def authority(self) -> Path:
        """The study's certificate authority."""
        return self.folder / "tls" / "authority.crt"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "tls" / "server.crt"

    @property
    def certificate_key(self) -> Path:
        """The server's private key."""
        return self.folder / "tls" / "server.key"

    @property
    def roster_file(self) -> Path:
        """The roster that the authority signed."""
        return self.folder / "study.roster"

    @property
    def jobs(self) -> Path:
        """What was asked of the study's ServerApp, and how it ended."""
        return self.folder / "jobs"

    @property
    def logs(self) -> Path:
        """The child processes' output."""
        return self.folder / "logs"

    @property
    def state(self) -> Path:
        """Flower's own files."""
        return self.folder / "flower"

    @property
    def address(self) -> str:
        """The SuperLink's on this machine."""
        return f"{LOOPBACK}:{self.settings.port}"

    def key(self) -> Ed25519PrivateKey:
        """The coordinator's key, which signs every request.

        Raises
        ------
        StorageError
            If it cannot be read.
        """
        path = _coordinator_key(self.folder)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as failure:
            raise StorageError(f"{path}: the coordinator's key cannot be read ({failure})") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StorageError(f"{path}: is not an Ed25519 key -> restore the file from its backup")
        return key

    def cards(self) -> tuple[SiteCard, ...]:
        """Every hospital that was let in, by name."""
        return tuple(load_handout(path, SiteCard) for path in sorted((self.folder / "sites").glob("*.card")))

    @property
    def enrolled(self) -> frozenset[str]:
        """Names of the hospitals that were let in."""
        return frozenset(path.stem for path in (self.folder / "sites").glob("*.card"))

    def card_file(self, name: str) -> Path:
        """Where a site's card is kept."""
        return self.folder / "sites" / f"{name}.card"

    def key_file(self, name: str) -> Path:
        """Where a site's public key is kept for Flower."""
        return self.folder / "sites" / f"{name}.pub"

    def moved(self, port: int) -> Office:
        """The same study's folder with another port in `server.toml`.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        office = replace(self, settings=self.settings.model_copy(update={"port": port}))
        _save_settings(office)
        return office

    def enrol(self, card: SiteCard) -> None:
        """Lets a hospital in from the next start on.

        Raises
        ------
        PlanError
            If the plan has no site of that name, or it came with another key before.
        ProtocolError
            If it was invited to another plan.
        """
        card.check(self.plan)
        known = self.card_file(card.name)
        if known.exists() and load_handout(known, SiteCard).node_key != card.node_key:
            raise PlanError(
                f"site {card.name} is enrolled with another key -> if the hospital made a new one, remove "
                f"{known} first"
            )
        write_atomically(self.key_file(card.name), card.node_key.encode())
        card.save(known)


def found_office(folder: Path, plan_file: Path, settings: OfficeSettings, signer: str = "") -> Office:
    """A new coordinator's folder with keys, certificates, plan and invitation.

    Parameters
    ----------
    folder : Path
    plan_file : Path
    settings : OfficeSettings
    signer : str
        Raw key, hexadecimal, of the authority that will sign the roster; needed if the plan hides sums.

    Raises
    ------
    PlanError
        If the plan is invalid, or the host is no name or address.
    StorageError
        If the folder already holds a study, or cannot be written.
    """
    plan = load_plan(plan_file)
    if not _HOST.fullmatch(settings.host):
        raise PlanError(f"--host {settings.host!r} is no host name or IPv4 address -> e.g. study.example.org")
    if plan.hides_sums and not signer:
        raise PlanError(
            "the plan hides sums among the sites that an authority names -> rhe-authority init FOLDER on "
            "another machine, then --authority FOLDER/authority.pub here"
        )
    if (folder / "server.toml").exists():
        raise StorageError(
            f"{folder} already holds a study -> choose another folder, or `rhe-server start` it"
        )
    private_folder(folder)
    office = Office(folder, settings, plan)
    _make_secrets(office)
    text = plan_file.read_text(encoding="utf-8")
    write_atomically(folder / "study.toml", text.encode())
    Invitation(
        address=f"{settings.host}:{settings.port}",
        authority=office.authority.read_text(encoding="ascii"),
        coordinator=office.key()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        signer=signer,
        plan=text,
    ).save(office.invitation)
    # Last: a folder without it is unfinished and may be made anew.
    _save_settings(office)
    return office


def open_office(folder: Path) -> Office:
    """The coordinator's folder that `found_office` made.

    Raises
    ------
    PlanError
        If it is none, or a file in it is damaged.
    """
    if not (folder / "server.toml").exists():
        raise PlanError(f"{folder} holds no study -> rhe-server init {folder} --plan study.toml --host NAME")
    settings = load_settings(folder / "server.toml", OfficeSettings, PlanError)
    return Office(folder, settings, load_plan(folder / "study.toml"))


def _save_settings(office: Office) -> None:
    text = f'host = "{office.settings.host}"\nport = {office.settings.port}\n'
    write_atomically(office.folder / "server.toml", text.encode())


def _coordinator_key(folder: Path) -> Path:
    return folder / "keys" / "coordinator.key"


def _make_secrets(office: Office) -> None:
    for name in ("keys", "tls"):
        shutil.rmtree(office.folder / name, ignore_errors=True)
        private_folder(office.folder / name)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(_coordinator_key(office.folder), key, private=True)
    authority = create_authority(office.plan.name)
    server = issue_server(authority, sorted({office.settings.host, "localhost", LOOPBACK}))
    write_atomically(office.folder / "tls" / "authority.key", authority.key_pem, private=True)
    write_atomically(office.authority, authority.certificate_pem)
    write_atomically(office.certificate_key, server.key_pem, private=True)
    write_atomically(office.certificate, server.certificate_pem)
