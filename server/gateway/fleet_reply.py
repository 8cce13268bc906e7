"""What a hospital may push: a reply of its own to the coordinator, nothing that reads as an instruction.

Flower compares the signature with the node that a request names, but not that node with the message's source:
a message from node 1 without `reply_to_message_id` would be stored as the coordinator's word to another site.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flwr.proto.fleet_pb2 import PushMessagesRequest
    from flwr.proto.message_pb2 import Metadata

_NUMBER = re.compile(r"[0-9a-f]{64}")
"""Flower's number of a message: the SHA-256 of what it holds."""
_LONGEST = 128
"""Characters of a text beside a message: our error codes have less than forty."""


def is_own_reply(body: bytes) -> bool:
    """Whether the body of push-messages holds one reply, from the node that signs, to the coordinator."""
    from flwr.proto.fleet_pb2 import PushMessagesRequest
    from google.protobuf.message import DecodeError

    try:
        request = PushMessagesRequest.FromString(body)
    except DecodeError:
        return False
    return _holds_one(request) and _is_reply(
        request.messages_list[0].metadata,
        int(request.node.node_id),
        request.message_object_trees[0].object_id,
    )


def _holds_one(request: PushMessagesRequest) -> bool:
    """Whether there is one message, whose content comes by push-object, and beside it only what is short."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        return False
    message, times = request.messages_list[0], request.clientapp_runtime_list
    return (
        message.content.ByteSize() == 0
        and _is_short(message.error.reason)
        and len(times) <= 1
        and all(math.isfinite(time) and time >= 0 for time in times)
    )


def _is_reply(metadata: Metadata, node: int, root: str) -> bool:
    from flwr.app import MessageType
    from flwr.common.constant import SUPERLINK_NODE_ID

    return (
        node != SUPERLINK_NODE_ID
        and metadata.src_node_id == node
        and metadata.dst_node_id == SUPERLINK_NODE_ID
        and metadata.message_type == MessageType.QUERY
        and _NUMBER.fullmatch(metadata.reply_to_message_id) is not None
        and _NUMBER.fullmatch(metadata.message_id) is not None
        # Flower forgets a message's objects by the number of the message
        and metadata.message_id == root
        and _is_short(metadata.group_id)
        and math.isfinite(metadata.ttl)
        and math.isfinite(metadata.created_at)
    )


def _is_short(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable()
