"""Everybody's keys in a simulation: they derive from the plan, because it has no secrets to keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.party import HidingParty
from common.enrolment import study_name
from common.secagg.policy import SimulatedRandomness
from common.secagg.roster import Identity, Member, Roster, minimum_sites, read_roster, sign_roster
from common.study import StudyPlan


def simulated_key(plan: StudyPlan, of: str = "") -> Ed25519PrivateKey:
    """The coordinator's key, or that of a site or the authority."""
    return Ed25519PrivateKey.from_private_bytes(_secret(plan, of))


def as_pem(key: Ed25519PrivateKey) -> bytes:
    """The key as a site keeps its own."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def simulated_roster(plan: StudyPlan) -> Roster | None:
    """Who takes part; None where the plan hides no sum."""
    if not plan.hides_sums:
        return None
    return read_roster(_signed(plan), _public(simulated_key(plan, "authority")))


def simulated_parties(plan: StudyPlan, states: Mapping[str, Path]) -> dict[str, HidingParty]:
    """Every site in the protocol, by name; empty where the plan hides no sum.

    Parameters
    ----------
    plan : StudyPlan
    states : mapping of str to Path
        Each site's folder for its state.
    """
    if not plan.hides_sums:
        return {}
    roster, authority = _signed(plan), _public(simulated_key(plan, "authority"))
    return {
        name: HidingParty(
            Identity(simulated_key(plan, f"site {name}"), plan.number_of(name)),
            authority,
            roster,
            state / "sa1",
            SimulatedRandomness(_secret(plan, f"masks of {name}")),
        )
        for name, state in states.items()
    }


def _signed(plan: StudyPlan) -> bytes:
    members = tuple(
        Member(id=plan.number_of(name), name=name, key=_public(simulated_key(plan, f"site {name}")).hex())
        for name in plan.site_names
    )
    roster = Roster(
        study=study_name(plan),
        version=1,
        plan=plan.digest(),
        minimum=minimum_sites(len(members), plan.privacy.colluders),
        colluders=plan.privacy.colluders,
        sites=members,
        coordinator=_public(simulated_key(plan)).hex(),
    )
    return sign_roster(roster, simulated_key(plan, "authority"))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _secret(plan: StudyPlan, of: str) -> bytes:
    name = f"rhe/{plan.digest()}" + (f"/{of}" if of else "")
    return hashlib.sha256(name.encode()).digest()
