"""A message of which the link knows that it is there, and not yet what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from flwr.app import Array, ConfigRecord, Message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.recorddict_pb2 import ConfigRecord as ProtoConfigRecord
from flwr.supercore.inflatable.inflatable_object import get_object_body
from google.protobuf.message import DecodeError

from client.link.bounded_json import read_small_object
from client.link.markers import shorten_name
from common.errors import ProtocolError
from common.messages.protocol import FEW_BYTES

_FEW_LIMIT = FEW_BYTES + 2**10
"""Bytes of a configuration."""
_SMALLEST_PIECE = 2**16
"""Bytes of all pieces but the last: Flower makes them of 5 MiB. More of them are not asked for."""
_ARRAY_LIMIT = 2**20
"""Bytes of the list of a message's pieces; 200 GB need half of them."""


@dataclass(frozen=True)
class Delivery:
    """A message that the coordinator announced; its bytes are not yet here.

    Attributes
    ----------
    message : flwr.app.Message
        Flower's description of it.
    tree : flwr.proto.message_pb2.ObjectTree
        The numbers of its objects.
    """

    message: Message
    tree: ObjectTree

    @property
    def run(self) -> int:
        """Flower's number of the run to which it belongs."""
        return int(self.message.metadata.run_id)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return shorten_name(str(self.message.metadata.message_id))


def assemble_body(tree: ObjectTree, take: Callable[[list[str]], Iterator[bytes]], most: int) -> bytes:
    """A message's bytes.

    A message holds a dictionary of records, this an array record, and this the array whose pieces are the
    bytes; or a configuration, in which they are if they are few (`to_record`).

    Parameters
    ----------
    tree : ObjectTree
        The message's.
    take : callable
        Gives the contents of objects by their numbers, one after the other.
    most : int
        Bytes of the largest message that the plan can need.

    Raises
    ------
    ValueError
        If it does not have the form that `to_record` gives it.
    ProtocolError
        If it is too large.
    """
    (records,) = tree.children
    (record,) = records.children
    others = [tree.object_id, records.object_id]
    if not record.children:
        content, *_ = take([record.object_id, *others])
        body = _read_few(content)
        _refuse_large(len(body), most)
        return body
    (array,) = record.children
    return b"".join(_take_pieces(array, take, most, [*others, record.object_id]))


def _read_few(content: bytes) -> bytes:
    """The bytes in a configuration.

    Raises
    ------
    ValueError
        If it holds others, or more.
    """
    if len(content) > _FEW_LIMIT:
        raise ValueError("a large configuration")
    try:
        (item,) = ProtoConfigRecord.FromString(get_object_body(content, ConfigRecord)).items
    except DecodeError:
        raise ValueError("no configuration") from None
    if item.value.WhichOneof("value") != "bytes":
        raise ValueError("a configuration without bytes")
    return bytes(item.value.bytes)


def _take_pieces(
    tree: ObjectTree, take: Callable[[list[str]], Iterator[bytes]], most: int, others: list[str]
) -> list[bytes]:
    """The pieces of an array, in their order.

    They are asked for before what says their order: so the coordinator uploads them.

    Raises
    ------
    ValueError
        If the array is none of ours.
    ProtocolError
        If it is too large.
    """
    numbers = [piece.object_id for piece in tree.children]
    _refuse_large(_SMALLEST_PIECE * (len(numbers) - 1), most)
    contents = take([*numbers, tree.object_id, *others])
    pieces, size = [], 0
    for content in islice(contents, len(numbers)):
        pieces.append(get_object_body(content, ArrayChunk))
        size += len(pieces[-1])
        if not pieces[-1]:
            raise ValueError("an empty piece")
        _refuse_large(size, most)
    array = read_small_object(get_object_body(next(contents), Array), _ARRAY_LIMIT)
    for _ in contents:
        pass  # A message that is confirmed before its last object was uploaded is torn apart
    ordered = [pieces[index] for index in array["arraychunk_ids"]]
    _refuse_large(sum(map(len, ordered)), most)
    return ordered


def _refuse_large(size: int, most: int) -> None:
    if size > most:
        raise ProtocolError(f"a message of more than {most} bytes was refused: the plan needs none")
