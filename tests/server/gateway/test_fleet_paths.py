"""What may pass is what a link uses of Flower's Fleet API, no less and no more: red when either changes."""

from __future__ import annotations

import ast
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app.message.array import Array
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.superlink.routers.fleet.router import router
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.link import fleet
from server.gateway.fleet_paths import (
    FLEET_CALLS,
    FLEET_HEADERS,
    FLEET_PREFIX,
    HEALTH_PATH,
    LARGEST_BODY_BYTES,
    LARGEST_LIST_BYTES,
)

WITHHELD = {"register-node", "unregister-node", "get-fab"}
"""What Flower's Fleet API offers besides: nodes are registered by the coordinator, and no code travels."""

HTTP_HEADERS = {"host", "accept-encoding", "connection", "user-agent", "content-length"}
"""What every client of HTTP sends; a gateway writes its own."""


class SentError(Exception):
    """Raised instead of sending a request, which it holds."""


class Catcher:
    def intercept(self, context, call_next):
        raise SentError(context.request)


def catch(*interceptors) -> FleetHttpClient:
    return FleetHttpClient("https://study.example.org", interceptors=[*interceptors, Catcher()], verify=False)


def path_of(method: str) -> str:
    with catch() as client, pytest.raises(SentError) as sent:
        getattr(client, method)(PullMessagesRequest())
    request = sent.value.args[0]
    assert request.method == "POST"
    return request.url.path


def test_the_paths_are_those_that_the_link_uses():
    calls = {name for name in vars(FleetHttpClient) if name[0].isupper()}
    tree = ast.parse(Path(fleet.__file__).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & calls
    assert {path_of(method) for method in used} == {FLEET_PREFIX + call for call in FLEET_CALLS}


def test_flower_offers_no_other_call_that_was_not_thought_of():
    assert {route.path.removeprefix(FLEET_PREFIX) for route in router.routes} == {*FLEET_CALLS, *WITHHELD}
    assert HEALTH_PATH == "/health"


def test_the_headers_are_those_that_a_node_sends():
    key = ec.generate_private_key(ec.SECP384R1())
    signing = NodeAuthHttpInterceptor(key, key.public_key())
    with (
        catch(RuntimeVersionHttpInterceptor(component_name="SuperNode"), signing) as client,
        pytest.raises(SentError) as sent,
    ):
        client.PullMessages(PullMessagesRequest())
    request: httpx.Request = sent.value.args[0]
    assert set(request.headers) - HTTP_HEADERS == set(FLEET_HEADERS)


def test_the_largest_piece_of_a_message_fits_into_a_request():
    data = bytes(FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE + 1)
    name, chunk = Array("uint8", (len(data),), "rhe.message", data).slice_array()[0]
    request = PushObjectRequest(
        node=Node(node_id=2**63),
        run_id=2**63,
        object_id=name,
        object_content=chunk.deflate(),
        session_id="s" * 64,
    )
    size = request.ByteSize()
    assert FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE < size < FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE + 4096
    assert size <= LARGEST_BODY_BYTES


def test_the_list_of_a_large_messages_pieces_fits_into_a_request():
    pieces = 70 * 10**9 // FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
    tree = ObjectTree(object_id="0" * 64, children=[ObjectTree(object_id="0" * 64)] * pieces)
    request = PushMessagesRequest(node=Node(node_id=2**63), message_object_trees=[tree])
    assert request.ByteSize() <= LARGEST_LIST_BYTES
