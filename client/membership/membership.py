"""What a hospital keeps about the study that it joined: the pinned invitation, its keys, its consent."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from pydantic import Field, ValidationError

from client.membership.identity import generate_identity, read_identity
from client.membership.link_folder import LinkFolder, LinkSettings
from client.membership.policy import check_plan
from client.membership.site import SITE_FILE, SiteSettings, load_site
from client.membership.site_users import (
    LinkSide,
    SiteUsers,
    choose_users,
    make_folder_for,
    refuse_closed_folder,
    refuse_open_files,
)
from common.errors import PlanError, PolicyError, SiteError
from common.messages.enrolment import Invitation, SiteCard, load_handout
from common.plan.study import StudyPlan
from common.runtime.accounts import account_of, act_as
from common.runtime.settings_file import Section
from common.runtime.sockets import shorten_socket_path
from common.runtime.storage import make_private_folder, write_atomically
from common.secagg.wire.roster import make_card

MEETING_PLACE = Path("/run/rhe")
"""Holds the socket's folder where engine and link are two users; only root makes folders in it."""


class Approval(Section):
    """The hospital's consent to one plan."""

    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the plan that was shown."""
    approved_at: datetime
    """When the hospital consented, UTC."""
    roster: int = -1
    """Version of the roster that was shown; -1 if the plan hides no sum."""
    secret: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the secret with which the site draws among its patients; empty if it draws by the plan's
    seed alone: all are simulated, or the plan was approved before there was a secret."""


@dataclass(frozen=True)
class Membership:
    """A site folder that takes part in a study.

    Attributes
    ----------
    folder : Path
        Holds site.toml.
    state : Path
        The engine's folder: identity, cache, models and logs; only the engine's user may enter.
    chosen_link_state : Path or None
        The link's folder, if it is not the one that was chosen when the site joined.
    """

    folder: Path
    state: Path
    chosen_link_state: Path | None = None

    @property
    def link(self) -> LinkFolder:
        """The link's folder: as chosen when the site joined, by default beside the state."""
        side = None if self.chosen_link_state else LinkSide.load(self.state)
        beside = self.state.with_name(f"{self.state.name}-link")
        return LinkFolder(self.chosen_link_state or (Path(side.folder) if side else beside))

    @property
    def users(self) -> SiteUsers:
        """As whom engine and link run: the owners of their folders.

        Raises
        ------
        SiteError
            If the site has not joined a study, or was made by an older rhe, when the link had no folder.
        """
        owner = self._find_owner()
        with act_as(account_of(owner)):
            side = LinkSide.load(self.state)
        if side is None:
            raise SiteError(
                f"{self.state} was made before engine and link had a folder each -> run rhe-client init "
                "again with the same invitation: the keys stay as they are"
            )
        return SiteUsers(account_of(owner), account_of(side.uid))

    def _find_owner(self) -> int:
        try:
            return self.state.stat().st_uid
        except OSError:
            raise SiteError(
                f"{self.folder} has not joined a study -> rhe-client init {self.folder} --invitation FILE"
            ) from None

    @property
    def identity_key(self) -> Path:
        """File of the site's private key in the protocol that hides sums; the key never leaves."""
        return self.state / "keys" / "identity.key"

    @property
    def secret_file(self) -> Path:
        """File of the secret with which the site draws among its patients; it never leaves."""
        return self.state / "keys" / "own.secret"

    @property
    def roster_file(self) -> Path:
        """File of the roster that the hospital approved."""
        return self.state / "study.roster"

    @property
    def protocol_files(self) -> Path:
        """Folder of the protocol's state; the hospital's backup leaves it out."""
        return self.state / "sa1"

    @property
    def ledger(self) -> Path:
        """Folder of the ledger of what has left."""
        return self.state / "ledger"

    @property
    def log(self) -> Path:
        """File of the engine's output."""
        return self.state / "logs" / "engine.log"

    @property
    def settings(self) -> SiteSettings:
        """The settings in site.toml."""
        return load_site(self.folder)

    @property
    def card(self) -> Path:
        """The file to send to the coordinator."""
        return self.state / f"{self.settings.name}.card"

    @property
    def socket(self) -> Path:
        """Where the engine listens: in the state, or where two users meet and paths are short."""
        if not self.state.is_dir() or not self.users.are_two:
            return shorten_socket_path(self.state / "run" / "engine.sock")
        name = hashlib.sha256(os.fsencode(self.state.resolve())).hexdigest()[:8]
        return MEETING_PLACE / f"{self.settings.name}-{name}" / "engine.sock"

    @property
    def has_joined(self) -> bool:
        """Whether the site has joined a study."""
        return _invitation_path(self.state).exists()

    @property
    def invitation(self) -> Invitation:
        """The pinned invitation.

        Raises
        ------
        SiteError
            If the site has not joined a study.
        """
        path = _invitation_path(self.state)
        if not self.has_joined:
            raise SiteError(
                f"{self.folder} has not joined a study -> rhe-client init {self.folder} --invitation FILE"
            )
        return load_handout(path, Invitation)

    @property
    def approval(self) -> Approval | None:
        """The hospital's consent; None if it was not given.

        Raises
        ------
        SiteError
            If the file is damaged.
        """
        try:
            return Approval.model_validate_json(_approval_path(self.state).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as failure:
            raise SiteError(
                f"{_approval_path(self.state)} is damaged ({failure}) -> approve the plan again"
            ) from None

    def record_approval(self, approval: Approval) -> None:
        """Keep the hospital's consent; it replaces an earlier one."""
        write_atomically(
            _approval_path(self.state), approval.model_dump_json(indent=1).encode(), private=True
        )

    def read_approved_plan(self) -> StudyPlan:
        """The pinned plan, once the hospital has approved it.

        Raises
        ------
        PolicyError
            If it was not approved, or site.toml does not allow what it asks.
        PlanError
            If another plan was approved.
        """
        plan = self.invitation.study_plan()
        if self.approval is None:
            raise PolicyError(
                f"the plan {plan.digest()[:12]} is not approved -> rhe-client approve {self.folder}"
            )
        if self.approval.plan_hash != plan.digest():
            raise PlanError(
                f"plan {self.approval.plan_hash[:12]} was approved, the invitation has {plan.digest()[:12]} "
                f"-> rhe-client approve {self.folder}"
            )
        self._check_policy(plan)
        return plan

    def _check_policy(self, plan: StudyPlan) -> None:
        check_plan(self.settings, self.folder, plan)


def join_study(
    folder: Path,
    state: Path,
    invitation: Path,
    link_state: Path | None = None,
    users: SiteUsers | None = None,
) -> Membership:
    """The site's membership in the invitation's study; keys that it already has are kept.

    Parameters
    ----------
    folder : Path
        Holds site.toml.
    state : Path
        The engine's folder.
    invitation : Path
        The file that the coordinator sent.
    link_state : Path, optional
        The link's folder; by default beside the state.
    users : SiteUsers, optional
        As whom engine and link run; by default this process' user.

    Raises
    ------
    SiteError
        If the folder is not a site's, or has joined another study, or a folder is another user's.
    PlanError
        If the plan has no site of this name.
    ProtocolError
        If the invitation is damaged.
    """
    users = users or choose_users(None, None, same_user=True)
    received = load_handout(invitation, Invitation)
    plan = received.study_plan()
    if folder.is_dir():
        refuse_closed_folder(folder, users.engine, f"give it to {users.engine.name} (chown -R)")
    with act_as(users.engine):
        settings = load_site(folder)
    plan.site(settings.name)
    make_folder_for(state, users.engine, "--state")
    with act_as(users.engine):
        member = Membership(folder, state, link_state)
        if member.has_joined and member.invitation != received:
            raise SiteError(
                f"{folder} has joined another study ({_invitation_path(state)}) -> give this one its own "
                "--state"
            )
        link, old_key = member.link, _read_old_key(state)
        told = _describe_link(member, users, received)
        is_named = link_state is None and LinkSide.load(state) is not None
    if is_named and users.are_two and not link.root.is_dir():
        # Else whoever is the engine's user could have root make a folder anywhere
        raise SiteError(f"{link.root}: the link's folder is gone -> say where it is to be, with --link-state")
    make_folder_for(link.root, users.link, "--link-state")
    refuse_open_files(users, (folder, folder / SITE_FILE, folder / settings.table))
    with act_as(users.link):
        node_key = _equip_link(link, told, received, old_key)
    with act_as(users.engine):
        _keep_membership(member, received, settings.name, node_key)
        LinkSide(uid=users.link.uid, folder=str(link.root)).save(state)
        # What the link keeps now lay here before it had a folder
        for left in ("node.key", "authority.crt"):
            (state / "keys" / left).unlink(missing_ok=True)
    return member


def _describe_link(member: Membership, users: SiteUsers, received: Invitation) -> LinkSettings:
    """What the link has to know."""
    from common.plan.message_size import largest_message

    plan = received.study_plan()
    return LinkSettings(
        site=member.settings.name,
        study=plan.name,
        address=received.address,
        largest_message=largest_message(plan),
        engine_uid=users.engine.uid if users.are_two else None,
        state=str(member.state.resolve()) if users.are_two else "",
    )


def _equip_link(link: LinkFolder, told: LinkSettings, received: Invitation, old_key: bytes | None) -> str:
    """Write all that the link needs into its folder; the public half of its key."""
    if not link.node_key.exists():
        write_atomically(link.node_key, old_key or _generate_link_key(), private=True)
    node_key = _read_public_key(link.node_key)
    write_atomically(link.authority, received.authority.encode(), private=True)
    link.save(told)
    return node_key


def _keep_membership(member: Membership, received: Invitation, name: str, node_key: str) -> None:
    """Write all that the engine needs, and the card to send to the coordinator."""
    plan = received.study_plan()
    make_private_folder(member.state / "keys")
    if plan.hides_sums and not member.identity_key.exists():
        write_atomically(member.identity_key, generate_identity(), private=True)
    card = SiteCard(name=name, plan_hash=plan.digest(), node_key=node_key)
    if plan.hides_sums:
        identity = read_identity(member.identity_key, plan.number_of(name))
        proof = make_card(identity, name).hex()
        card = card.model_copy(update={"identity": proof}).sign(identity.key)
    card.save(member.card)
    received.save(_invitation_path(member.state))


def _read_old_key(state: Path) -> bytes | None:
    """The node's key, which the coordinator may know already, where an older rhe kept it; or None."""
    try:
        return (state / "keys" / "node.key").read_bytes()
    except OSError:
        return None


def _invitation_path(state: Path) -> Path:
    return state / "study.invitation"


def _approval_path(state: Path) -> Path:
    return state / "approval.json"


def _generate_link_key() -> bytes:
    """A new private key; Flower accepts ECDSA keys on NIST's curves, in OpenSSH's format.

    Every request is signed with it and verified twice: on P-256 in a quarter of the time of P-384.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _read_public_key(path: Path) -> str:
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise SiteError(f"{path}: the node's key cannot be read ({failure})") from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
