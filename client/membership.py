"""What a hospital keeps about the study that it joined: the pinned invitation, its key, its consent."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
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

from client.disclosure import check_plan
from client.roster import identity_of, new_identity, offered_roster
from client.site import SiteSettings, load_site
from common.enrolment import Invitation, SiteCard, load_handout
from common.errors import PlanError, PolicyError, SiteError
from common.secagg.roster import make_card
from common.settings import Section
from common.storage import private_folder, write_atomically
from common.study import StudyPlan

STATE = ".rhe"
"""Where a site keeps its state, unless it says otherwise."""

_SOCKET_LIMIT = 100
"""Unix-domain socket paths may have at most 107 bytes."""


class Approval(Section):
    """The hospital's consent to one plan."""

    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the plan that was shown."""
    approved_at: datetime
    """When."""
    roster: int = -1
    """Number of the roster that was shown; -1 where the plan hides no sum."""


@dataclass(frozen=True)
class Membership:
    """A site folder that takes part in a study.

    Attributes
    ----------
    folder : Path
        Holds site.toml.
    state : Path
        Where keys, cache, models and logs are kept; nobody but its owner may enter.
    """

    folder: Path
    state: Path

    @property
    def link_key(self) -> Path:
        """The node's private key."""
        return self.state / "keys" / "node.key"

    @property
    def identity_key(self) -> Path:
        """The site's private key of the protocol that hides sums; it never leaves."""
        return self.state / "keys" / "identity.key"

    @property
    def roster_file(self) -> Path:
        """The roster that the hospital approved."""
        return self.state / "study.roster"

    @property
    def protocol_files(self) -> Path:
        """What the site remembers of the protocol; the hospital's backup leaves it out."""
        return self.state / "sa1"

    @property
    def authority(self) -> Path:
        """The only certificate authority that the link trusts."""
        return self.state / "keys" / "authority.crt"

    @property
    def logs(self) -> Path:
        """What engine and link write."""
        return self.state / "logs"

    @property
    def link_home(self) -> Path:
        """Flower's own files."""
        return self.state / "flower"

    @property
    def settings(self) -> SiteSettings:
        """The site's settings."""
        return load_site(self.folder)

    @property
    def card(self) -> Path:
        """The file to send to the coordinator."""
        return self.state / f"{self.settings.name}.card"

    @property
    def socket(self) -> Path:
        """Where the engine listens: in the state, or where paths are short if the state's is too long."""
        path = (self.state / "run" / "engine.sock").resolve()
        if len(str(path).encode()) <= _SOCKET_LIMIT:
            return path
        name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"rhe-{name}" / "engine.sock"

    @property
    def joined(self) -> bool:
        """Whether the site has joined a study."""
        return _pinned(self.state).exists()

    @property
    def invitation(self) -> Invitation:
        """The pinned invitation.

        Raises
        ------
        SiteError
            If the site has not joined a study.
        """
        path = _pinned(self.state)
        if not self.joined:
            raise SiteError(
                f"{self.folder} has not joined a study -> rhe-client init {self.folder} --invitation FILE"
            )
        return load_handout(path, Invitation)

    @property
    def approval(self) -> Approval | None:
        """The hospital's consent, if it was given."""
        try:
            return Approval.model_validate_json(_consent(self.state).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as failure:
            raise SiteError(
                f"{_consent(self.state)} is damaged ({failure}) -> approve the plan again"
            ) from None

    def approve(self, roster: Path | None = None) -> None:
        """Records the hospital's consent to the pinned plan, and to who takes part.

        Parameters
        ----------
        roster : Path, optional
            The file that the authority signed; needed once, where the plan hides sums.

        Raises
        ------
        PolicyError
            If site.toml does not allow what the plan asks, or a roster is missing.
        SecAggError
            If the roster may not be approved.
        """
        plan = self.invitation.study_plan()
        self._check_policy(plan)
        offered = offered_roster(self, roster)
        number = -1
        if offered is not None:
            number = offered[0].version
            write_atomically(self.roster_file, offered[1], private=True)
        approval = Approval(plan_hash=plan.digest(), approved_at=datetime.now(UTC), roster=number)
        write_atomically(_consent(self.state), approval.model_dump_json(indent=1).encode(), private=True)

    def approved_plan(self) -> StudyPlan:
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


def join(folder: Path, state: Path, invitation: Path) -> Membership:
    """The site's membership in the invitation's study; a key that it already has is kept.

    Raises
    ------
    SiteError
        If the folder is none, or has joined another study.
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
    if member.joined and member.invitation != received:
        raise SiteError(
            f"{folder} has joined another study ({_pinned(state)}) -> give this one its own --state"
        )
    private_folder(state)
    private_folder(state / "keys")
    if not member.link_key.exists():
        write_atomically(member.link_key, _new_key(), private=True)
    write_atomically(member.authority, received.authority.encode())
    if plan.hides_sums and not member.identity_key.exists():
        write_atomically(member.identity_key, new_identity(), private=True)
    SiteCard(
        name=settings.name,
        plan_hash=plan.digest(),
        node_key=_public_key(member.link_key),
        identity=make_card(identity_of(member, plan), settings.name).hex() if plan.hides_sums else "",
    ).save(member.card)
    received.save(_pinned(state))
    return member


def _pinned(state: Path) -> Path:
    return state / "study.invitation"


def _consent(state: Path) -> Path:
    return state / "approval.json"


def _new_key() -> bytes:
    """Flower accepts ECDSA keys on NIST's curves, in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public_key(path: Path) -> str:
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise SiteError(f"{path}: the node's key cannot be read ({failure})") from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
