"""What a hospital sends is read or reported, whatever its bytes are: never an error of the coordinator's."""

from __future__ import annotations

import pytest
from flwr.app import Message, Metadata
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run

from common.messages.protocol import from_record, to_record
from server.process.flower_socket import SocketGrid


class Superlink:
    """Answers the grid's calls with what a hospital has left there."""

    def __init__(self, announced: Message, objects: dict[str, bytes]) -> None:
        self.announced, self.objects = announced, objects

    def PullMessages(self, _):
        proto = message_to_proto(remove_content_from_message(self.announced))
        return PullAppMessagesResponse(
            messages_list=[proto], message_object_trees=[get_object_tree(self.announced)]
        )

    def PullObject(self, request):
        content = self.objects[request.object_id]
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def ConfirmMessageReceived(self, _):
        return ConfirmMessageReceivedResponse()


def make_reply(to: str = "question", source: int = 5) -> Message:
    metadata = Metadata(1, "", source, 1, to, "", 1e9, 1e9, "query")
    reply = make_message(metadata=metadata, content=to_record(b"answer"))
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return reply


def pull(tmp_path, monkeypatch, announced: Message, objects: dict[str, bytes]) -> Message:
    grid = SocketGrid(tmp_path / "s", "token")
    grid.set_run(Run.create_empty(1))
    monkeypatch.setattr(SocketGrid, "_runtime_client", Superlink(announced, objects))
    (message,) = grid.pull_messages(["question"])
    grid.close()
    return message


def deflate(message: Message) -> dict[str, bytes]:
    return {number: part.deflate() for number, part in get_all_nested_objects(message).items()}


def test_an_answer_is_read(tmp_path, monkeypatch):
    reply = make_reply()
    assert from_record(pull(tmp_path, monkeypatch, reply, deflate(reply)).content) == b"answer"


@pytest.mark.parametrize("change", [lambda part: part[:-1], lambda part: b"", lambda part: b"\xff" * 40])
def test_an_answer_whose_bytes_are_none_is_reported_with_its_question(tmp_path, monkeypatch, change):
    reply = make_reply()
    objects = {number: change(part) for number, part in deflate(reply).items()}
    message = pull(tmp_path, monkeypatch, reply, objects)
    assert message.has_error()
    assert message.metadata.reply_to_message_id == "question"
    assert message.metadata.src_node_id == 5


@pytest.mark.parametrize("forged", [{"to": "another's question"}, {"source": 6}])
def test_bytes_that_answer_for_another_hospital_are_reported(tmp_path, monkeypatch, forged):
    announced, sent = make_reply(), make_reply(**forged)
    objects = deflate(sent) | {announced.object_id: deflate(sent)[sent.object_id]}
    assert pull(tmp_path, monkeypatch, announced, objects).has_error()
