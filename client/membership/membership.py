"""What a hospital keeps about the study that it joined: the pinned invitation, its keys, its consent."""

from __future__ import annotations

import hashlib
import os
import tempfile
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
from client.membership.policy import check_plan
from client.membership.site import SiteSettings, load_site
from common.errors import PlanError, PolicyError, SiteError
from common.messages.enrolment import Invitation, SiteCard, load_handout
from common.plan.study import StudyPlan
from common.runtime.settings_file import Section
from common.runtime.storage import make_private_folder, write_atomically
from common.secagg.wire.roster import make_card

STATE = ".rhe"
"""Where a site keeps its state, unless it says otherwise."""

_SOCKET_LIMIT = 100
"""Unix-domain socket paths may have at most 107 bytes."""


class Approval(Section):
    """The hospital's consent to one plan."""

    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the plan that was shown."""
    approved_at: datetime
    """When the hospital consented, UTC."""
    roster: int = -1
    """Version of the roster that was shown; -1 if the plan hides no sum."""


@dataclass(frozen=True)
class Membership:
    """A site folder that takes part in a study.

    Attributes
    ----------
    folder : Path
        Holds site.toml.
    state : Path
        Folder of keys, cache, models and logs; only its owner may enter.
    """

    folder: Path
    state: Path

    @property
    def link_key(self) -> Path:
        """File of the private key with which the site's node signs in to the coordinator."""
        return self.state / "keys" / "node.key"

    @property
    def identity_key(self) -> Path:
        """File of the site's private key in the protocol that hides sums; the key never leaves."""
        return self.state / "keys" / "identity.key"

    @property
    def roster_file(self) -> Path:
        """File of the roster that the hospital approved."""
        return self.state / "study.roster"

    @property
    def protocol_files(self) -> Path:
        """Folder of the protocol's state; the hospital's backup leaves it out."""
        return self.state / "sa1"

    @property
    def authority(self) -> Path:
        """File of the only certificate authority that the link trusts."""
        return self.state / "keys" / "authority.crt"

    @property
    def logs(self) -> Path:
        """Folder of the logs of engine and link."""
        return self.state / "logs"

    @property
    def link_home(self) -> Path:
        """Folder of Flower's own files."""
        return self.state / "flower"

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
        """Where the engine listens: in the state, or where paths are short if the state's is too long."""
        path = (self.state / "run" / "engine.sock").resolve()
        if len(os.fsencode(path)) <= _SOCKET_LIMIT:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"rhe-{name}" / "engine.sock"

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


def join_study(folder: Path, state: Path, invitation: Path) -> Membership:
    """The site's membership in the invitation's study; keys that it already has are kept.

    Raises
    ------
    SiteError
        If the folder is not a site's, or has joined another study.
    PlanError
        If the plan has no site of this name.
    ProtocolError
        If the invitation is damaged.
    """
    settings = load_site(folder)
    received = load_handout(invitation, Invitation)
    plan = received.study_plan()
    plan.site(settings.name)
    member = Membership(folder, state)
    if member.has_joined and member.invitation != received:
        raise SiteError(
            f"{folder} has joined another study ({_invitation_path(state)}) -> give this one its own --state"
        )
    make_private_folder(state)
    make_private_folder(state / "keys")
    if not member.link_key.exists():
        write_atomically(member.link_key, _generate_link_key(), private=True)
    write_atomically(member.authority, received.authority.encode())
    if plan.hides_sums and not member.identity_key.exists():
        write_atomically(member.identity_key, generate_identity(), private=True)
    card = b""
    if plan.hides_sums:
        identity = read_identity(member.identity_key, plan.number_of(settings.name))
        card = make_card(identity, settings.name)
    SiteCard(
        name=settings.name,
        plan_hash=plan.digest(),
        node_key=_read_public_key(member.link_key),
        identity=card.hex(),
    ).save(member.card)
    received.save(_invitation_path(state))
    return member


def _invitation_path(state: Path) -> Path:
    return state / "study.invitation"


def _approval_path(state: Path) -> Path:
    return state / "approval.json"


def _generate_link_key() -> bytes:
    """A new private key; Flower accepts ECDSA keys on NIST's curves, in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _read_public_key(path: Path) -> str:
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise SiteError(f"{path}: the node's key cannot be read ({failure})") from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
