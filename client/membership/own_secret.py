"""The secret that a site mixes into every lot that it draws among its patients, once per site and study.

With the plan's seed alone anybody could say in which part and fold a known patient is.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from client.membership.membership import Approval, Membership
from client.membership.site import is_synthetic
from common.errors import SiteError
from common.plan.study import StudyPlan
from common.runtime.storage import write_atomically
from common.seeds import mix_secret

_LENGTH = 32


def decide_secret(member: Membership, plan: StudyPlan, *, has_begun: bool) -> str:
    """SHA-256 of the secret with which the site draws in the study; empty if it has none.

    It draws by the plan's seed alone where all patients are simulated, and where its approval says that its
    study began before there was a secret: nobody changes parts in the middle of it. A secret stays.

    Parameters
    ----------
    member : Membership
    plan : StudyPlan
        Which is about to be approved.
    has_begun : bool
        Whether numbers have left under the plan.

    Raises
    ------
    SiteError
        If the marker of simulated patients, or the secret, cannot be read; if numbers have left, and neither
        the secret nor the approval that told of it is there any more.
    StorageError
        If a new secret cannot be written.
    """
    try:
        earlier = _read_earlier(member, plan)
    except SiteError:
        # Damaged, which is why the plan is approved again
        earlier = None
    if earlier is not None and earlier.secret:
        return earlier.secret
    path = member.secret_file
    if not path.exists():
        if is_synthetic(member.settings, member.folder) or (has_begun and earlier is not None):
            return ""
        if has_begun:
            raise SiteError(f"{path}: numbers of this study have left, and it is lost -> {_REMEDY}")
        write_atomically(path, secrets.token_bytes(_LENGTH), private=True)
    return hashlib.sha256(_read_secret(path)).hexdigest()


def read_own_seed(member: Membership, plan: StudyPlan) -> int:
    """With which seed the site draws among its patients: the plan's, with the secret mixed in if it has one.

    Raises
    ------
    SiteError
        If the secret of its approval is lost, or is another.
    """
    approval = _read_earlier(member, plan)
    if approval is None or not approval.secret:
        return plan.seed
    path = member.secret_file
    secret = _read_secret(path)
    if hashlib.sha256(secret).hexdigest() != approval.secret:
        raise SiteError(f"{path}: is not the secret with which this site divided its patients -> {_REMEDY}")
    return mix_secret(plan.seed, secret)


_REMEDY = (
    "restore the file from the backup; without it the patients would be divided anew, and this site cannot "
    "go on in the study"
)


def _read_earlier(member: Membership, plan: StudyPlan) -> Approval | None:
    """The approval of this very plan, if there is one."""
    approval = member.approval
    return approval if approval is not None and approval.plan_hash == plan.digest() else None


def _read_secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except OSError as failure:
        raise SiteError(
            f"{path}: the secret with which this site divided its patients cannot be read "
            f"({failure.strerror}) -> {_REMEDY}"
        ) from None
    if len(secret) != _LENGTH:
        raise SiteError(f"{path}: has {len(secret)} bytes instead of {_LENGTH} -> {_REMEDY}")
    return secret
