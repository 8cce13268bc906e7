"""A message of which the link knows that it is there, and not yet what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from flwr.app import Array, Message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_body

from client.link.bounded_json import read_small_object
from client.link.markers import shorten_name
from common.errors import ProtocolError

_DEPTH = 3
"""A message holds a dictionary of records, this an array record, and this the array whose pieces are the
message's bytes: see `to_record`."""
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


def take_pieces(tree: ObjectTree, take: Callable[[list[str]], Iterator[bytes]], most: int) -> list[bytes]:
    """The pieces of a message's bytes, in their order.

    They are asked for before what says their order: so the coordinator uploads them.

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
    others = []
    for _ in range(_DEPTH):
        others.append(tree.object_id)
        (tree,) = tree.children
    numbers = [piece.object_id for piece in tree.children]
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
