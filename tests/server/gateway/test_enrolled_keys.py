"""A hospital's key is known from the moment at which its card lies there, and no longer than that."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from common.messages.enrolment import SiteCard
from server.gateway.enrolled_keys import EnrolledKeys
from server.gateway.fleet_signature import AHEAD_S, BEHIND_S
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def office(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="study.example.org", port=8443)
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings)


def enrol(office, name):
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    office.enrol(SiteCard(name=name, plan_hash=office.plan.digest(), node_key=text))
    return public_key_to_bytes(key)


def test_who_is_enrolled_is_known_at_once_and_who_is_removed_is_not(office):
    keys = EnrolledKeys(office)
    assert b"" not in keys
    first = enrol(office, "a")
    assert first in keys
    second = enrol(office, "b")
    assert second in keys
    assert first in keys
    office.card_file("a").unlink()
    assert first not in keys
    assert enrol(office, "a") in keys
    assert first not in keys


def test_a_card_that_is_written_over_is_read_again_soon(office, monkeypatch):
    monkeypatch.setattr("server.gateway.enrolled_keys._LOOK_S", 0.05)
    keys = EnrolledKeys(office)
    first, second = enrol(office, "a"), enrol(office, "b")
    assert first in keys
    card = office.card_file("b").read_text()
    office.card_file("b").unlink()
    assert second not in keys
    office.card_file("a").write_text(card.replace('"b"', '"a"'))
    time.sleep(0.06)
    assert first not in keys
    assert second in keys


def test_a_damaged_card_lets_nobody_in_and_shuts_nobody_out(office, caplog):
    keys = EnrolledKeys(office)
    first = enrol(office, "a")
    assert first in keys
    office.card_file("b").write_text("{}")
    assert first in keys
    assert "b.card" in caplog.text
    office.card_file("b").unlink()
    assert enrol(office, "b") in keys


def test_a_clock_may_differ_as_flower_allows():
    assert (AHEAD_S, BEHIND_S) == (SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE)
