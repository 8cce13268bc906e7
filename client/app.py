"""The thin Flower ClientApp: it carries bytes between coordinator and engine, and knows nothing.

Whatever code a coordinator might ship runs here, in a process that needs no patient's file (today it could
read them: engine and link are one user). It imports no torch and understands no message; the engine behind
the socket verifies and decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from client.link.connection import EngineLink, open_socket_link
from common.errors import RheError
from common.messages.protocol import from_record, to_record
from common.runtime.processes import end_with_parent

_log = logging.getLogger(__name__)

_RAISED = 2
"""Flower's code for a ClientApp that failed."""

Connect = Callable[[Context], EngineLink]


def _connect_by_node_config(context: Context) -> EngineLink:
    end_with_parent()
    return open_socket_link(str(context.node_config["engine"]))


def serve(client_app: ClientApp, connect: Connect) -> ClientApp:
    """The app with handlers that pass every message to the engine that `connect` reaches."""

    def forward(message: Message, context: Context) -> Message:
        try:
            answer = connect(context)(from_record(message.content))
        except RheError as failure:
            # Flower would send the exception's text, which may name a file, to the coordinator.
            _log.error("no answer code=%s reason=%s", failure.code, failure)
            return Message(Error(_RAISED, failure.code), reply_to=message)
        return Message(to_record(answer), reply_to=message)

    client_app.train()(forward)
    client_app.query()(forward)
    return client_app


app = ClientApp()
serve(app, _connect_by_node_config)
