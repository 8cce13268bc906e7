"""The keys of all parties in a simulation: they derive from the plan, since it has no secrets to keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.membership.party import HidingParty
from common.messages.enrolment import study_name
from common.plan.study import StudyPlan
from common.secagg.site.rules import SimulatedRandomness
from common.secagg.wire.roster import Identity, Member, Roster, minimum_sites, read_roster, sign_roster


def derive_simulated_key(plan: StudyPlan, of: str = "") -> Ed25519PrivateKey:
    """The signing key of a party: the coordinator by default, a site or the authority where `of` names it."""
    return Ed25519PrivateKey.from_private_bytes(_derive_secret(plan, of))


def as_pem(key: Ed25519PrivateKey) -> bytes:
    """The key in the file format in which a site stores its own."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def derive_simulated_roster(plan: StudyPlan) -> Roster | None:
    """The signed roster of the plan's sites, or None where the plan hides no sum."""
    if not plan.hides_sums:
        return None
    return read_roster(_make_signed_roster(plan), _encode_public(derive_simulated_key(plan, "authority")))


def derive_simulated_parties(plan: StudyPlan, states: Mapping[str, Path]) -> dict[str, HidingParty]:
    """Each site's party in the protocol of hidden sums, by the site's name; empty if the plan hides no sum.

    Parameters
    ----------
    plan : StudyPlan
    states : mapping of str to Path
        Each site's state folder by the site's name.
    """
    if not plan.hides_sums:
        return {}
    roster, authority = _make_signed_roster(plan), _encode_public(derive_simulated_key(plan, "authority"))
    return {
        name: HidingParty(
            Identity(derive_simulated_key(plan, f"site {name}"), plan.number_of(name)),
            authority,
            roster,
            state / "sa1",
            SimulatedRandomness(_derive_secret(plan, f"masks of {name}")),
        )
        for name, state in states.items()
    }


def _make_signed_roster(plan: StudyPlan) -> bytes:
    members = tuple(
        Member(
            id=plan.number_of(name),
            name=name,
            key=_encode_public(derive_simulated_key(plan, f"site {name}")).hex(),
        )
        for name in plan.site_names
    )
    roster = Roster(
        study=study_name(plan),
        version=1,
        plan=plan.digest(),
        minimum=minimum_sites(len(members), plan.privacy.colluders),
        colluders=plan.privacy.colluders,
        sites=members,
        coordinator=_encode_public(derive_simulated_key(plan)).hex(),
    )
    return sign_roster(roster, derive_simulated_key(plan, "authority"))


def _encode_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _derive_secret(plan: StudyPlan, of: str) -> bytes:
    name = f"rhe/{plan.digest()}" + (f"/{of}" if of else "")
    return hashlib.sha256(name.encode()).digest()
