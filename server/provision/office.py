"""The coordinator's folder: keys, certificates, plan and the cards of the hospitals that are enrolled."""

from __future__ import annotations

import os
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

from common.errors import PlanError, StorageError
from common.messages.enrolment import Invitation, SiteCard, load_handout
from common.plan.study import StudyPlan, load_plan
from common.runtime.accounts import account_of
from common.runtime.processes import LOOPBACK
from common.runtime.settings_file import Section, load_settings
from common.runtime.sockets import shorten_socket_path
from common.runtime.storage import make_private_folder, write_atomically
from server.provision.authority import (
    CertifiedKey,
    create_authority,
    issue_server_certificate,
    load_certified_key,
)

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class OfficeSettings(Section):
    """How the coordinator is reached (`server.toml`)."""

    host: str
    """Name or address under which hospitals reach the coordinator."""
    port: int = Field(ge=1, le=65535)
    """Port at which hospitals reach the coordinator."""


@dataclass(frozen=True)
class Office:
    """The coordinator's folder of one study.

    Attributes
    ----------
    folder : Path
        Only its owner may read it.
    settings : OfficeSettings
        How the coordinator is reached.
    plan : StudyPlan
        The plan that everybody agreed on.
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
        """File with the certificate of the study's certificate authority."""
        return self.folder / "tls" / "authority.crt"

    @property
    def certificate(self) -> Path:
        """File with the server's certificate."""
        return self.folder / "tls" / "server.crt"

    @property
    def certificate_key(self) -> Path:
        """File with the server's private key."""
        return self.folder / "tls" / "server.key"

    @property
    def roster_file(self) -> Path:
        """File with the roster that the authority signed."""
        return self.folder / "study.roster"

    @property
    def work(self) -> Path:
        """Folder that the process which runs the study holds."""
        return self.folder / "work"

    @property
    def logs(self) -> Path:
        """Folder of the child processes' output."""
        return self.folder / "logs"

    @property
    def state(self) -> Path:
        """Folder of Flower's own files."""
        return self.folder / "flower"

    @property
    def control_socket(self) -> Path:
        """Where the coordinator's own commands reach the SuperLink; no other user of the host may."""
        return shorten_socket_path(self.state / "control.sock")

    @property
    def fleet_socket(self) -> Path:
        """Where the gateway hands over what hospitals send."""
        return shorten_socket_path(self.state / "fleet.sock")

    @property
    def address(self) -> str:
        """Address on this machine alone, where no gateway of ours stands before the SuperLink."""
        return f"{LOOPBACK}:{self.settings.port}"

    @property
    def public_address(self) -> str:
        """Host and port at which hospitals reach the coordinator."""
        return f"{self.settings.host}:{self.settings.port}"

    def load_key(self) -> Ed25519PrivateKey:
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

    def load_cards(self) -> tuple[SiteCard, ...]:
        """The card of every enrolled hospital, sorted by name."""
        return tuple(load_handout(path, SiteCard) for path in sorted((self.folder / "sites").glob("*.card")))

    @property
    def enrolled(self) -> frozenset[str]:
        """Names of the enrolled hospitals."""
        return frozenset(path.stem for path in (self.folder / "sites").glob("*.card"))

    def card_file(self, name: str) -> Path:
        """File with a site's card."""
        return self.folder / "sites" / f"{name}.card"

    def key_file(self, name: str) -> Path:
        """File with a site's public key, for Flower."""
        return self.folder / "sites" / f"{name}.pub"

    def at_port(self, port: int) -> Office:
        """The same study's folder, reached at another port; `server.toml` stays until `keep_settings`."""
        return replace(self, settings=self.settings.model_copy(update={"port": port}))

    def keep_settings(self) -> None:
        """Keep how the coordinator is reached, if it has changed.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        if load_settings(self.folder / "server.toml", OfficeSettings, PlanError) != self.settings:
            _save_settings(self)

    def insist_own(self) -> None:
        """Refuse to work in another user's folder: its owner could not read what is left there.

        Raises
        ------
        StorageError
            If the folder is another user's.
        """
        owner = self.folder.stat().st_uid
        if owner != os.getuid():
            name = account_of(owner).name
            raise StorageError(
                f"{self.folder} belongs to user {name} -> run this command as that user (sudo -u {name} …)"
            )

    def enrol(self, card: SiteCard) -> None:
        """Store a hospital's card and key; a running SuperLink registers it within a second.

        Raises
        ------
        PlanError
            If the plan has no site of that name, or the site is enrolled with another key.
        ProtocolError
            If the site was invited to another plan.
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


def create_office(folder: Path, plan_file: Path, settings: OfficeSettings, signer: str = "") -> Office:
    """Make a coordinator's folder with new keys, certificates, plan and invitation.

    Parameters
    ----------
    folder : Path
        Must not hold a study yet.
    plan_file : Path
        The study plan, a TOML file.
    settings : OfficeSettings
        How the coordinator is reached.
    signer : str
        Raw public key of the authority that will sign the roster, hexadecimal; needed if the plan hides
        sums.

    Raises
    ------
    PlanError
        If the plan is invalid, or the host is neither a name nor an address.
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
    make_private_folder(folder)
    office = Office(folder, settings, plan)
    _make_secrets(office)
    text = plan_file.read_text(encoding="utf-8")
    write_atomically(folder / "study.toml", text.encode())
    Invitation(
        address=office.public_address,
        authority=office.authority.read_text(encoding="ascii"),
        coordinator=office.load_key()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        signer=signer,
        plan=text,
    ).save(office.invitation)
    # Last: a folder without this file is unfinished, and may be made again.
    _save_settings(office)
    return office


def renew_certificate(office: Office) -> None:
    """A new server certificate for the office's host, from the study's authority, in place of the old one.

    Raises
    ------
    StorageError
        If the authority's key cannot be read, or nothing can be written.
    """
    path = office.folder / "tls" / "authority.key"
    try:
        authority = load_certified_key(office.authority.read_bytes(), path.read_bytes())
    except (OSError, ValueError) as failure:
        raise StorageError(f"{path}: the authority's key cannot be read ({failure}) -> restore it") from None
    _write_server_certificate(office, authority)


def open_office(folder: Path) -> Office:
    """The coordinator's folder that `create_office` made.

    Raises
    ------
    PlanError
        If the folder holds no study, or a file in it is damaged.
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
        make_private_folder(office.folder / name)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(_coordinator_key(office.folder), key, private=True)
    authority = create_authority(office.plan.name)
    write_atomically(office.folder / "tls" / "authority.key", authority.key_pem, private=True)
    write_atomically(office.authority, authority.certificate_pem)
    _write_server_certificate(office, authority)


def _write_server_certificate(office: Office, authority: CertifiedKey) -> None:
    server = issue_server_certificate(authority, sorted({office.settings.host, "localhost", LOOPBACK}))
    write_atomically(office.certificate_key, server.key_pem, private=True)
    write_atomically(office.certificate, server.certificate_pem)
