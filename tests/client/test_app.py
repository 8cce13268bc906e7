"""The thin ClientApp: bytes through, and no text of an error to the coordinator."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from flwr.app import Message, MessageType

from common.errors import SiteError
from common.messages.protocol import from_record, to_record
from simulations.backends.local_grid import LocalGrid


def ask(engine, body: bytes) -> Message:
    grid = LocalGrid({"a": engine})
    (node,) = grid.get_node_ids()
    message = Message(to_record(body), dst_node_id=node, message_type=MessageType.QUERY, ttl=10.0)
    (reply,) = grid.send_and_receive([message])
    return reply


def test_bytes_pass_unread():
    reply = ask(lambda request: request[::-1], b"\x00abc")
    assert from_record(reply.content) == b"cba\x00"


def test_an_absent_engine_is_told_by_its_code_alone(caplog):
    def absent(_: bytes) -> bytes:
        raise SiteError("/data/patients/engine.sock: does not answer")

    with caplog.at_level(logging.ERROR):
        reply = ask(absent, b"x")

    assert reply.has_error()
    assert (reply.error.code, reply.error.reason) == (2, "E_SITE")
    assert "/data/patients" in caplog.text


def test_a_message_that_is_not_ours_is_told_by_its_code_alone():
    from flwr.app import RecordDict

    grid = LocalGrid({"a": lambda request: request})
    (node,) = grid.get_node_ids()
    message = Message(RecordDict(), dst_node_id=node, message_type=MessageType.QUERY, ttl=10.0)
    (reply,) = grid.send_and_receive([message])
    assert (reply.error.code, reply.error.reason) == (2, "E_CONTEXT")


@pytest.mark.parametrize("size", [0, 1, 5 * 2**20])
def test_every_size_passes(size):
    body = bytes(size)
    assert from_record(ask(lambda request: request, body).content) == body


def test_the_link_loads_no_science():
    """Flower starts a process for each message."""
    science = {"scipy", "torch", "monai", "SimpleITK", "pandas", "sklearn"}
    code = f"import sys, client.app; print({science} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "set()"
