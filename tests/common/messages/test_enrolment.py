"""Invitations and site cards: what is damaged or forged is refused before it is used."""

from __future__ import annotations

import base64
import errno
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import PlanError, ProtocolError
from common.messages.enrolment import Invitation, Proposal, SiteCard, load_handout
from common.plan.study import StudyPlan
from common.runtime.accounts import account_of
from common.secagg.crypto.keys import fingerprint
from common.secagg.wire.roster import Identity, make_card, read_card
from server.provision.authority import create_authority

PLAN_TEXT = """
name = "s"
seed = 1
[[sites]]
name = "A"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


def public(key) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def plan():
    import tomllib

    return StudyPlan.model_validate(tomllib.loads(PLAN_TEXT))


@pytest.fixture(scope="module")
def card(plan):
    key = ec.generate_private_key(ec.SECP384R1())
    return SiteCard(name="A", plan_hash=plan.digest(), node_key=public(key))


def test_a_card_survives_its_file(tmp_path, card):
    card.save(tmp_path / "A.card")
    loaded = load_handout(tmp_path / "A.card", SiteCard)
    assert loaded == card
    assert loaded.fingerprint() == card.fingerprint()


def test_another_key_has_another_fingerprint(card):
    other = card.model_copy(update={"node_key": public(ec.generate_private_key(ec.SECP384R1()))})
    assert other.fingerprint() != card.fingerprint()


def sign_card(card, name="A"):
    identity = Identity(Ed25519PrivateKey.generate(), 1)
    return card.model_copy(update={"identity": make_card(identity, name).hex()}).sign(identity.key)


WEAK = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
"""A point of order 8."""


def test_an_invitation_s_keys_are_none_for_which_anybody_signs():
    certificate = create_authority("s").certificate.public_bytes(Encoding.PEM).decode()
    weak = Ed25519PublicKey.from_public_bytes(WEAK)
    weak_pem = weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    fields = {"address": "h:1", "authority": certificate, "plan": PLAN_TEXT}
    sound = Ed25519PrivateKey.generate()

    assert Invitation(coordinator=pem(sound), signer=sound.public_key().public_bytes_raw().hex(), **fields)
    with pytest.raises(ValidationError, match="coordinator\n.*small order"):
        Invitation(coordinator=weak_pem, **fields)
    with pytest.raises(ValidationError, match="signer\n.*small order"):
        Invitation(coordinator=pem(sound), signer=WEAK.hex(), **fields)


def test_a_fingerprint_has_eight_groups_of_four_which_are_160_bits(card):
    for handout in (card, sign_card(card)):
        groups = handout.fingerprint().split(" ")
        assert [len(group) for group in groups] == [4] * 8
        assert len(base64.b32decode("".join(groups))) * 8 == 160


def test_a_card_has_the_fingerprint_of_the_key_that_signed_it(card):
    signed = sign_card(card)
    key = read_card(bytes.fromhex(signed.identity)).key
    assert signed.fingerprint() == fingerprint(bytes.fromhex(key))


def test_a_card_that_proves_another_site_is_refused(card, plan):
    with pytest.raises(ProtocolError, match="proves the identity of 'B'"):
        sign_card(card, "B").member(plan)


@pytest.mark.parametrize("part", ["node_key", "plan_hash", "name", "signature", "identity"])
def test_a_signed_card_that_was_changed_on_its_way_has_no_fingerprint(card, part):
    signed, other = sign_card(card), sign_card(card.model_copy(update={"name": "B", "plan_hash": "0" * 64}))
    key = public(ec.generate_private_key(ec.SECP384R1()))
    changed = signed.model_copy(update={part: key if part == "node_key" else getattr(other, part)})
    with pytest.raises(ProtocolError, match="proves no identity"):
        changed.fingerprint()


def test_a_card_of_another_plan_or_site_is_refused(card, plan):
    assert card.check(plan) is card
    with pytest.raises(ProtocolError, match="another|invited"):
        card.model_copy(update={"plan_hash": "0" * 64}).check(plan)
    with pytest.raises(PlanError, match="no site"):
        card.model_copy(update={"name": "Z"}).check(plan)


@pytest.mark.parametrize("key", ["", "ssh-ed25519 AAAA", "nonsense"])
def test_a_card_without_a_usable_key_is_refused(plan, key):
    with pytest.raises(ValidationError):
        SiteCard(name="A", plan_hash=plan.digest(), node_key=key)


def test_an_rsa_key_is_refused(plan):
    key = rsa.generate_private_key(65537, 2048)
    with pytest.raises(ValidationError, match="ECDSA"):
        SiteCard(name="A", plan_hash=plan.digest(), node_key=public(key))


def test_an_invitation_refuses_keys_of_another_kind_and_broken_plans():
    authority = create_authority("s").certificate_pem.decode()
    wrong = pem(ec.generate_private_key(ec.SECP384R1()))
    good = {"address": "host.example:8443", "authority": authority, "plan": PLAN_TEXT}
    with pytest.raises(ValidationError, match="Ed25519"):
        Invitation.model_validate({**good, "coordinator": wrong})
    for name, value in {"plan": "name = 3", "authority": "x", "address": "https://a/b"}.items():
        with pytest.raises(ValidationError, match=name):
            Invitation.model_validate({**good, "coordinator": wrong, name: value})


@given(st.binary(max_size=60))
def test_whatever_a_file_holds_it_is_a_card_or_one_clear_refusal(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("cards") / "x.card"
    path.write_bytes(content)
    with pytest.raises(ProtocolError, match="ask for the file again"):
        load_handout(path, SiteCard)


def test_a_truncated_or_exchanged_file_is_refused(tmp_path, card):
    path = tmp_path / "A.card"
    card.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ProtocolError, match="site card"):
        load_handout(path, SiteCard)
    path.write_text(json.dumps({"kind": "rhe-invitation", "version": 1}))
    with pytest.raises(ProtocolError, match="kind"):
        load_handout(path, SiteCard)
    with pytest.raises(ProtocolError, match="no such file"):
        load_handout(tmp_path / "absent", SiteCard)


@pytest.mark.parametrize("kind", [Invitation, SiteCard, Proposal])
def test_nobody_waits_for_a_pipe_or_reads_a_device_in_place_of_a_handout(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(
            ProtocolError, match=rf"{name}: cannot be read \(it is no file\) -> give the file"
        ):
            load_handout(tmp_path / name, kind)


def test_a_handout_that_is_closed_to_this_user_names_the_user_and_what_to_do(tmp_path, card, monkeypatch):
    card.save(tmp_path / "A.card")

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("common.messages.handed_file.read_regular", refuse)
    user = account_of(os.geteuid()).name
    with pytest.raises(ProtocolError, match=rf"A.card: user {user} may not read it.* -> .*chmod a\+r A.card"):
        load_handout(tmp_path / "A.card", SiteCard)
