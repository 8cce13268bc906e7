"""A message's bytes from its objects: as the coordinator made them, or refused whatever they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flwr.app import ConfigRecord, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from hypothesis import given
from hypothesis import strategies as st

from client.link.announced_message import assemble_body
from common.errors import ProtocolError
from common.messages.protocol import FEW_BYTES, to_record

MOST = 2**23
LARGE = bytes(range(256)) * (6 * 2**12)
"""Two pieces."""


METADATA = Metadata(
    run_id=7,
    message_id="",
    src_node_id=1,
    dst_node_id=5,
    reply_to_message_id="",
    group_id="",
    created_at=0.0,
    ttl=3600.0,
    message_type="query",
)


def announce(content: RecordDict) -> tuple[ObjectTree, dict[str, bytes]]:
    message = make_message(metadata=METADATA, content=content)
    objects = get_all_nested_objects(message)
    return get_object_tree(message), {number: thing.deflate() for number, thing in objects.items()}


def take(content: RecordDict, change: dict[str, bytes] | None = None, most: int = MOST) -> bytes:
    """The body; `change` by the name with which an object begins."""
    tree, objects = announce(content)
    for number, held in objects.items():
        for kind, other in (change or {}).items():
            if held.startswith(kind.encode() + b" "):
                objects[number] = other
    asked: list[str] = []

    def give(numbers: list[str]) -> Iterator[bytes]:
        asked.extend(numbers)
        yield from (objects[number] for number in numbers)

    body = assemble_body(tree, give, most)
    assert set(asked) == set(objects), "a message is confirmed only when all of it has come"
    return body


@pytest.mark.parametrize(
    "body", [b"", b"x", bytes(FEW_BYTES), bytes(FEW_BYTES + 1), LARGE, LARGE + b"x"], ids=len
)
def test_the_bytes_are_those_that_were_sent(body):
    assert take(to_record(body)) == body


@pytest.mark.parametrize("body", [b"x" * 101, LARGE])
def test_a_message_larger_than_any_of_the_plan_is_refused(body):
    with pytest.raises(ProtocolError, match="of more than 100 bytes"):
        take(to_record(body), most=100)


def test_more_pieces_than_the_plan_needs_are_not_asked_for():
    """An announcement of 4 MiB could name two million."""
    pieces = [ObjectTree(object_id=f"{number:064x}") for number in range(MOST // 2**16 + 2)]
    tree = ObjectTree()
    for children in (pieces, None, None, None):
        tree = ObjectTree(object_id="f" * 64, children=[tree] if children is None else children)
    with pytest.raises(ProtocolError, match="of more than"):
        assemble_body(tree, lambda numbers: pytest.fail(f"asked for {len(numbers)}"), MOST)


@pytest.mark.parametrize(
    "record",
    [
        ConfigRecord({}),
        ConfigRecord({"message": "text"}),
        ConfigRecord({"message": [b"a", b"b"]}),
        ConfigRecord({"message": b"a", "other": b"b"}),
        ConfigRecord({"message": bytes(FEW_BYTES + 2**10)}),
    ],
    ids=["nothing", "text", "list", "two", "large"],
)
def test_a_configuration_that_is_not_ours_is_refused(record):
    with pytest.raises(ValueError):
        take(RecordDict({"message": record}))


@given(st.binary(max_size=64))
def test_no_bytes_of_a_configuration_raise_anything_else(noise):
    head = b"ConfigRecord  %d" % len(noise) + bytes(1)
    with pytest.raises(ValueError):
        take(to_record(b"x"), {"ConfigRecord": head + noise})


def test_a_piece_is_not_repeated_beyond_what_the_plan_needs():
    """A short message may name one piece a thousand times."""
    _, objects = announce(to_record(LARGE))
    (array,) = [content for content in objects.values() if content.startswith(b"Array ")]
    head, _, text = array.partition(bytes(1))
    often = text.replace(b"[0, 1]", b"[" + b"0, " * 999 + b"0]")
    assert often != text
    kind, children, _ = head.split(b" ")
    with pytest.raises(ProtocolError, match="of more than"):
        take(to_record(LARGE), {"Array": b" ".join((kind, children, b"%d" % len(often))) + bytes(1) + often})
