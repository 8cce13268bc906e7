"""The site's line to the coordinator: Flower's Fleet API over HTTPS, spoken by this module alone.

It signs in, pulls the bytes of messages and pushes the bytes of answers. It never asks for code, and it
understands no more of Flower's formats than where a message's bytes are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from math import inf
from typing import Self, TypeVar

import httpx
from flwr.app import Error, Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.link.announced_message import Delivery, assemble_body
from client.link.bounded_sender import BoundedSender
from client.link.credentials import Door
from client.link.markers import Trouble
from client.link.side_by_side import SideBySide
from client.link.troubles import (
    LineError,
    SlowError,
    UnsureError,
    WithdrawnError,
    code_of,
    explain_answer,
    explain_refusal,
    explain_transport,
)
from common.errors import ProtocolError
from common.messages.epoch_beat import write_epoch_beat

_BEAT_S = HEARTBEAT_DEFAULT_INTERVAL
_GOODBYE_S = 2.0
_OBJECT_WAIT_S = 600.0
"""How long the coordinator may take to upload an object that it has announced, and to send it."""
_PUSHES = 3
"""How often an answer is begun anew whose upload took longer than Flower keeps it open."""
_RUN_OVER, _RUN_UNKNOWN = 2007, 2008
"""Flower's FLEET_RUN_STATUS_NOT_ALLOWED and FLEET_GET_RUN_FAILED."""
_LOST_BETWEEN = frozenset((httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT))
"""The gateway's words for an answer of the coordinator that it did not get whole."""
_FIRST_PAUSE_S, _LAST_PAUSE_S, _SHARE_OF_WAIT = 0.02, 1.0, 0.1
"""Between two questions for an object that is still being uploaded: a tenth of what has been waited."""
_AT_ONCE = 4
"""Objects on their way at one time, in each direction."""
_FORMS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What Flower's formats raise when they are read from bytes that are none."""

Endure = Callable[[LineError], None]
"""Waits after a failed call and returns to let it be tried again; or raises to give up."""
AnyRequest = TypeVar("AnyRequest")
AnyAnswer = TypeVar("AnyAnswer")


class FleetLine:
    """A line over which a site answers.

    Parameters
    ----------
    door : Door
        Whom to call.
    endure : callable
        Decides after each failure whether to try again.
    relieve : callable
        Is told when a call has succeeded.
    """

    def __init__(self, door: Door, endure: Endure, relieve: Callable[[], None]) -> None:
        self._door = door
        self._endure, self._relieve = endure, relieve
        self._sender = BoundedSender(door.address, door.tls)
        self._client = FleetHttpClient(
            f"https://{door.address}",
            interceptors=[NodeAuthHttpInterceptor(door.key, door.key.public_key()), self._sender],
            verify=door.tls,
        )
        # What the coordinator keeps back must not hold up what it waits for
        self._pulls, self._pushes = SideBySide(_AT_ONCE), SideBySide(_AT_ONCE)
        self.node = 0

    def __enter__(self) -> Self:
        """The line, not yet signed in."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._sender.close()
        self._client.close()

    def sign_in(self, killed: int = 0, known: int = 0) -> int:
        """Let the coordinator know that the site answers, and return the number of its node.

        Parameters
        ----------
        killed : int
            Node of a predecessor that did not sign off and is certainly gone; 0 if there is none.
        known : int
            Node as which the coordinator knew this site before; 0 if it never did.
        """
        while True:
            try:
                if killed:
                    self._sign_off_for(killed)
                self.node = self._activate(known)
            except LineError as error:
                self._endure(error)
            else:
                return self.node

    def sign_off(self) -> bool:
        """Let the coordinator know that the site answers no longer; whether it has heard."""
        node, self.node = self.node, 0
        return node != 0 and self._sign_off_for(node)

    def beat(self, doing: str = "") -> bool:
        """Tell the coordinator that the site is alive, and at which epoch; whether it has heard."""
        interval_s = write_epoch_beat(_BEAT_S, doing)
        request = SendNodeHeartbeatRequest(node=Node(node_id=self.node), heartbeat_interval=interval_s)
        try:
            with self._translate():
                return self.node != 0 and bool(self._client.SendNodeHeartbeat(request).success)
        except (LineError, WithdrawnError):
            return False

    def poll(self) -> Delivery | None:
        """The next message, if there is one.

        Raises
        ------
        LineError
            If the coordinator does not know this node any more -> sign in again.
        UnsureError
            If the line failed: who is asked once and hears nothing would be waited for without end.
        """
        try:
            answer = self._insist(self._take_message, PullMessagesRequest(node=self._node))
            if not answer.messages_list:
                return None
            return Delivery(message_from_proto(answer.messages_list[0]), answer.message_object_trees[0])
        except (WithdrawnError, *_FORMS):  # no run is asked for that could have ended
            self._endure(self._explain_gibberish())
            return None

    def _take_message(self, request: PullMessagesRequest) -> PullMessagesResponse:
        """Ask for a message, which the coordinator then holds for delivered.

        Raises
        ------
        UnsureError
            If no answer came, or not the whole of it.
        """  # noqa: DOC501 - `_translate` takes what else the client raises
        try:
            return self._client.PullMessages(request)
        except httpx.RequestError as failure:
            error = explain_transport(failure, self._door.address)
        except httpx.HTTPStatusError as failure:
            if failure.response.status_code not in _LOST_BETWEEN:
                raise
            error = explain_answer(failure.response, self._door.address)
        raise UnsureError(error.trouble, str(error))

    def read_bundle_hash(self, run: int) -> str:
        """SHA-256 of the bundle of code that a run carries; the bundle itself is never asked for.

        Raises
        ------
        WithdrawnError
            If the run has ended.
        """
        answer = self._insist(self._client.GetRun, GetRunRequest(node=self._node, run_id=run))
        return str(answer.run.fab_hash)

    def pull(self, delivery: Delivery) -> bytes:
        """The bytes of a message.

        Raises
        ------
        ProtocolError
            If it is larger than the plan can need, or nothing that a coordinator of this release sends.
        WithdrawnError
            If the coordinator takes it back.
        """
        gone = threading.Event()
        try:
            pull = partial(self._pull_object, delivery, gone)
            take = partial(self._pulls.map_in_order, pull)
            body = assemble_body(delivery.tree, take, self._door.largest_message)
        except _FORMS:
            raise ProtocolError("a message that is not rhe's -> both ends must run the same rhe") from None
        finally:
            gone.set()
        number = delivery.message.metadata.message_id
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=delivery.run, message_object_id=number
        )
        self._insist(self._client.ConfirmMessageReceived, request)
        return body

    def push(self, delivery: Delivery, answer: bytes, runtime_s: float) -> None:
        """Send the answer to a message.

        Parameters
        ----------
        delivery : Delivery
            The message.
        answer : bytes
            The engine's answer.
        runtime_s : float
            How long it took, in seconds; Flower adds them up.

        Raises
        ------
        WithdrawnError
            If the coordinator no longer wants it.
        """
        from common.messages.protocol import to_record

        self._push(Message(to_record(answer), reply_to=delivery.message), runtime_s)

    def push_failure(self, delivery: Delivery, code: str) -> None:
        """Answer a message with an error's code, and no word more: a text might name a file.

        Raises
        ------
        WithdrawnError
            If the coordinator no longer wants it.
        """
        failure = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, code)
        self._push(Message(failure, reply_to=delivery.message), 0.0)

    @property
    def _node(self) -> Node:
        return Node(node_id=self.node)

    def _activate(self, known: int) -> int:
        """Sign in once.

        Raises
        ------
        LineError
            If the coordinator does not let the node in.
        """
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(self._door.key.public_key()), heartbeat_interval=_BEAT_S
        )
        with self._translate():
            try:
                return int(self._client.ActivateNode(request).node_id)
            except httpx.HTTPStatusError as failure:
                is_known = known != 0 and self._is_known(known)
                refusal = explain_refusal(failure.response, self._door.address, is_known=is_known)
                raise refusal from None

    def _is_known(self, node: int) -> bool:
        """Whether the coordinator knows the site's key as this node: it then says that there is no run 0."""
        try:
            self._client.GetRun(GetRunRequest(node=Node(node_id=node), run_id=0))
        except httpx.HTTPStatusError as failure:
            return code_of(failure.response) == _RUN_UNKNOWN
        return True

    def _sign_off_for(self, node: int) -> bool:
        self._sender.timeout_s = _GOODBYE_S
        try:
            with self._translate():
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=node))
        except (LineError, WithdrawnError):
            return False
        else:
            return True
        finally:
            self._sender.timeout_s = None

    def _pull_object(self, delivery: Delivery, gone: threading.Event, number: str) -> bytes:
        """One object of a message, once the coordinator has uploaded it.

        Raises
        ------
        WithdrawnError
            If it has taken the object back, or does not upload it.
        """
        begun = time.monotonic()
        deadline = begun + _OBJECT_WAIT_S
        request = PullObjectRequest(node=self._node, run_id=delivery.run, object_id=number)
        while True:
            answer = self._insist(self._client.PullObject, request, deadline)
            if answer.object_available:
                return bytes(answer.object_content)
            now = time.monotonic()
            pause_s = min(_LAST_PAUSE_S, max(_FIRST_PAUSE_S, _SHARE_OF_WAIT * (now - begun)))
            if not answer.object_found or now > deadline or gone.wait(pause_s):
                raise WithdrawnError("the coordinator has taken the message back")

    def _push(self, reply: Message, runtime_s: float) -> None:
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id  # as Flower's own SuperNode does
            objects = get_all_nested_objects(reply)
            request = PushMessagesRequest(
                node=self._node,
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
                clientapp_runtime_list=[runtime_s],
            )
            for _ in range(_PUSHES):
                begun = self._insist(self._client.PushMessages, request)
                wanted = [objects[name] for name in dict.fromkeys(begun.objects_to_push) if name in objects]
                push = partial(self._push_object, reply, begun.session_id)
                if all(self._pushes.map_in_order(push, wanted)):
                    return
        raise WithdrawnError("the coordinator did not keep the answer")

    def _push_object(self, reply: Message, session: str, thing: InflatableObject) -> bool:
        """Upload an object; whether the coordinator keeps it."""
        content = thing.deflate()
        request = PushObjectRequest(
            node=self._node,
            run_id=reply.metadata.run_id,
            object_id=get_object_id(content),
            object_content=content,
            session_id=session,
        )
        return bool(self._insist(self._client.PushObject, request).stored)

    def _insist(
        self, call: Callable[[AnyRequest], AnyAnswer], request: AnyRequest, deadline: float = inf
    ) -> AnyAnswer:
        """The answer to a call, which is repeated as long as the line fails.

        Raises
        ------
        LineError
            If the coordinator does not know this node any more.
        WithdrawnError
            If it has answered too slowly until the deadline.
        """
        while True:
            try:
                with self._translate():
                    answer = call(request)
            except LineError as error:
                if error.trouble is Trouble.NOT_ENROLLED or isinstance(error, UnsureError):
                    raise
                if isinstance(error, SlowError) and time.monotonic() > deadline:
                    raise WithdrawnError("the coordinator sends the message too slowly") from None
                self._endure(error)
            else:
                self._relieve()
                return answer

    @contextmanager
    def _translate(self) -> Iterator[None]:
        """Tell every failure of a call as what it is.

        Raises
        ------
        LineError
            If the line or the coordinator fails.
        WithdrawnError
            If the run of the call has ended.
        """  # noqa: DOC501 - what explains a failure gives a LineError
        address = self._door.address
        try:
            yield
        except httpx.HTTPStatusError as failure:
            if code_of(failure.response) in (_RUN_OVER, _RUN_UNKNOWN):
                raise WithdrawnError("the run has ended") from None
            raise explain_answer(failure.response, address) from None
        except httpx.RequestError as failure:
            raise explain_transport(failure, address) from None
        except ValueError:
            raise self._explain_gibberish() from None

    def _explain_gibberish(self) -> LineError:
        flower = f"Flower {version('flwr')}"
        text = f"{self._door.address} answers what {flower} does not understand -> install the same rhe"
        return LineError(Trouble.VERSION, text)
