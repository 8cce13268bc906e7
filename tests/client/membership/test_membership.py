"""What a hospital keeps about the study that it joined."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from sites.handmade import make_site

from client.membership.membership import Membership, join_study
from common.errors import ProtocolError, SiteError
from common.messages.enrolment import SiteCard, load_handout
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
[[sites]]
name = "a"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def invitation(tmp_path) -> Path:
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=1)
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings).invitation


@pytest.fixture
def site(tmp_path) -> Path:
    return make_site(tmp_path / "a", "a", 1)


def test_the_card_carries_the_public_half_of_the_private_key(site, invitation):
    member = join_study(site, site / ".rhe", invitation)
    private = load_ssh_private_key(member.link.node_key.read_bytes(), None)
    public = load_ssh_public_key(load_handout(member.card, SiteCard).node_key.encode())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == public


def test_a_socket_path_is_never_longer_than_a_socket_allows(site, tmp_path):
    near = Membership(site, Path("/s/.rhe")).socket
    assert near == Path("/s/.rhe/run/engine.sock")
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    far = Membership(site, deep).socket
    assert len(str(far)) < 108
    assert far == Membership(site, deep).socket
    assert far != Membership(site, deep / "other").socket


def test_a_damaged_key_is_told_and_kept(site, invitation):
    member = join_study(site, site / ".rhe", invitation)
    member.link.node_key.write_text("x")
    with pytest.raises(SiteError, match="key cannot be read"):
        join_study(site, site / ".rhe", invitation)
    assert member.link.node_key.read_text() == "x"


def test_a_damaged_invitation_joins_nothing(site, invitation):
    invitation.write_bytes(invitation.read_bytes()[:-9])
    with pytest.raises(ProtocolError, match="ask for the file again"):
        join_study(site, site / ".rhe", invitation)
    assert not (site / ".rhe").exists()


def test_joining_that_was_interrupted_is_joined_again(site, invitation):
    first = join_study(site, site / ".rhe", invitation)
    key = first.link.node_key.read_bytes()
    (site / ".rhe" / "study.invitation").unlink()
    with pytest.raises(SiteError, match="has not joined"):
        _ = first.invitation
    assert join_study(site, site / ".rhe", invitation).link.node_key.read_bytes() == key
