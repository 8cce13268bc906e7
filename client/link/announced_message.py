"""A message of which the link knows that it is there, and not yet what it says."""

from __future__ import annotations

from dataclasses import dataclass

from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree

from client.link.markers import shorten_name


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
