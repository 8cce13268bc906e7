import pytest
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from common.errors import SiteError
from common.messages.protocol import from_record, to_record
from simulations.backends.local_grid import LocalGrid


@pytest.fixture
def grid():
    return LocalGrid({"b": lambda message: b"b:" + message, "a": lambda message: b"a:" + message})


def messages(grid, *bodies):
    return [
        Message(to_record(body), dst_node_id=node, message_type=MessageType.QUERY)
        for node, body in zip(grid.get_node_ids(), bodies, strict=True)
    ]


def test_it_is_one_of_flower_s_grids(grid):
    assert isinstance(grid, Grid)


def test_each_site_is_a_node_and_answers_its_own_message(grid):
    replies = grid.send_and_receive(messages(grid, b"1", b"2"))

    assert [from_record(reply.content) for reply in replies] == [b"a:1", b"b:2"]


def test_replies_are_matched_to_messages_as_over_a_network(grid):
    identifiers = list(grid.push_messages(messages(grid, b"1", b"2")))

    replies = [*grid.pull_messages(identifiers), *grid.pull_messages(identifiers)]

    assert [reply.metadata.reply_to_message_id for reply in replies] == identifiers
    assert list(grid.pull_messages(identifiers)) == []


def test_messages_are_made_as_by_any_grid(grid):
    message = grid.create_message(to_record(b"x"), "train", 2, "group")

    (reply,) = grid.send_and_receive([message])

    assert reply.metadata.message_type == "train"
    assert from_record(reply.content) == b"a:x"


def test_the_run_can_be_described(grid):
    grid.set_run(Run.create_empty(5))

    assert grid.run.run_id == 5


@pytest.mark.parametrize("size", [0, 1, 5 * 2**20 + 1])
def test_every_size_passes(size):
    grid = LocalGrid({"a": lambda message: message})
    (reply,) = grid.send_and_receive(messages(grid, bytes(size)))
    assert from_record(reply.content) == bytes(size)


def test_an_engine_that_fails_is_told_by_its_code_alone(caplog):
    def fail(_: bytes) -> bytes:
        raise SiteError("/data/patients/engine.sock: does not answer")

    grid = LocalGrid({"a": fail})
    (reply,) = grid.send_and_receive(messages(grid, b"x"))
    assert (reply.error.code, reply.error.reason) == (2, "E_SITE")
    assert "/data/patients" in caplog.text


def test_a_message_that_is_not_ours_is_told_by_its_code_alone():
    grid = LocalGrid({"a": lambda message: message})
    (node,) = grid.get_node_ids()
    (reply,) = grid.send_and_receive([Message(RecordDict(), node, MessageType.QUERY)])
    assert (reply.error.code, reply.error.reason) == (2, "E_CONTEXT")
