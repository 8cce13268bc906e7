"""The coordinator's folder: keys that only it can read, a certificate that TLS accepts, fitting cards."""

from __future__ import annotations

import ssl
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from common.errors import PlanError, ProtocolError, StorageError
from common.messages.enrolment import Invitation, SiteCard, load_handout
from common.plan.study import StudyPlan
from server.provision.authority import create_authority, issue_server_certificate
from server.provision.office import OfficeSettings, create_office, open_office, renew_certificate

PLAN_TEXT = """
name = "A study"
seed = 1
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "A"
role = "train"
[[sites]]
name = "B"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
"""
SETTINGS = OfficeSettings(host="study.example.org", port=8443)


@pytest.fixture
def plan_file(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(PLAN_TEXT)
    return path


@pytest.fixture
def office(tmp_path, plan_file):
    return create_office(tmp_path / "office", plan_file, SETTINGS)


def card(name: str = "A", text: str = PLAN_TEXT) -> SiteCard:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    plan = StudyPlan.model_validate(tomllib.loads(text))
    return SiteCard(
        name=name,
        plan_hash=plan.digest(),
        node_key=key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


def verify(authority: x509.Certificate, leaf: x509.Certificate, host: str) -> None:
    """By cryptography's own path validation, which knows nothing of how ours are made."""
    subject = x509.DNSName(host)
    PolicyBuilder().store(Store([authority])).build_server_verifier(subject).verify(leaf, [])


def test_the_certificate_is_valid_for_its_hosts_and_nothing_else():
    authority = create_authority("s")
    server = issue_server_certificate(authority, ("localhost", "study.example.org", "10.0.0.7"))
    verify(authority.certificate, server.certificate, "study.example.org")
    verify(authority.certificate, server.certificate, "localhost")
    with pytest.raises(VerificationError):
        verify(authority.certificate, server.certificate, "evil.example.org")
    with pytest.raises(VerificationError):
        verify(create_authority("s").certificate, server.certificate, "localhost")


def test_a_server_certificate_cannot_sign_another():
    authority = create_authority("s")
    server = issue_server_certificate(authority, ("localhost",))
    forged = issue_server_certificate(server, ("localhost",))
    subject = x509.DNSName("localhost")
    verifier = PolicyBuilder().store(Store([authority.certificate])).build_server_verifier(subject)
    with pytest.raises(VerificationError):
        verifier.verify(forged.certificate, [server.certificate])


def test_tls_accepts_the_files(office):
    ssl.create_default_context(cafile=str(office.authority))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(office.certificate, office.certificate_key)


def test_nobody_else_can_read_a_secret(office):
    assert stat.S_IMODE(office.folder.stat().st_mode) == 0o700
    keys = [*office.folder.rglob("*.key")]
    assert {path.name for path in keys} == {"coordinator.key", "authority.key", "server.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in keys} == {0o700}


def test_the_invitation_holds_what_a_hospital_needs_and_no_secret(office):
    text = office.invitation.read_text()
    assert "PRIVATE" not in text
    invitation = load_handout(office.invitation, Invitation)
    assert invitation.study_plan() == office.plan
    assert invitation.address == "study.example.org:8443"
    message = b"request"
    invitation.coordinator_key().verify(office.load_key().sign(message), message)


def test_the_folder_is_opened_as_it_was_founded(office):
    opened = open_office(office.folder)
    assert (opened.settings, opened.plan) == (office.settings, office.plan)
    moved = opened.at_port(9000)
    assert moved.settings.port == 9000
    assert open_office(office.folder).settings.port == office.settings.port
    moved.keep_settings()
    assert open_office(office.folder).settings.port == 9000


def test_a_new_server_certificate_is_of_the_same_authority(office):
    old = office.certificate.read_bytes()
    renew_certificate(office)
    new = x509.load_pem_x509_certificate(office.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(office.authority.read_bytes())
    new.verify_directly_issued_by(authority)
    assert office.certificate.read_bytes() != old
    key = load_pem_private_key(office.certificate_key.read_bytes(), password=None)
    assert key.public_key() == new.public_key()


def test_without_the_authority_s_key_no_certificate_is_made(office):
    (office.folder / "tls" / "authority.key").write_text("damaged")
    old = office.certificate.read_bytes()
    with pytest.raises(StorageError, match="authority's key cannot be read"):
        renew_certificate(office)
    assert office.certificate.read_bytes() == old


def test_another_user_s_folder_is_not_worked_in(office, monkeypatch):
    office.insist_own()
    monkeypatch.setattr("os.getuid", lambda: 4242)
    with pytest.raises(StorageError, match="belongs to user root -> run this command as that user"):
        office.insist_own()


def test_a_study_is_never_overwritten(office, plan_file):
    before = office.load_key().private_bytes_raw()
    with pytest.raises(StorageError, match="already holds a study"):
        create_office(office.folder, plan_file, SETTINGS)
    assert office.load_key().private_bytes_raw() == before


def test_a_founding_that_was_interrupted_starts_anew(office, plan_file):
    (office.folder / "server.toml").unlink()
    with pytest.raises(PlanError, match="holds no study"):
        open_office(office.folder)
    again = create_office(office.folder, plan_file, SETTINGS)
    assert load_handout(again.invitation, Invitation).study_plan() == again.plan


@pytest.mark.parametrize("host", ["https://x", "a b", "", "-x", "x:80"])
def test_a_host_that_is_none_is_refused(tmp_path, plan_file, host):
    with pytest.raises(PlanError, match="no host name"):
        create_office(tmp_path / "other", plan_file, OfficeSettings(host=host, port=1))
    assert not (tmp_path / "other").exists()


def test_enrolling_keeps_the_card_and_its_key(office):
    mine = card()
    office.enrol(mine)
    office.enrol(mine)
    assert office.load_cards() == (mine,)
    assert office.enrolled == {"A"}
    assert office.key_file("A").read_text() == mine.node_key


def test_a_second_key_a_stranger_and_another_plan_are_refused(office):
    office.enrol(card())
    with pytest.raises(PlanError, match="another key"):
        office.enrol(card())
    with pytest.raises(PlanError, match="no site"):
        office.enrol(card("C"))
    with pytest.raises(ProtocolError, match="invited to plan"):
        office.enrol(card("B", PLAN_TEXT.replace("seed = 1", "seed = 2")))
    assert office.enrolled == {"A"}


def test_a_damaged_key_is_told(office):
    (office.folder / "keys" / "coordinator.key").write_text("x")
    with pytest.raises(StorageError, match="coordinator's key"):
        office.load_key()
