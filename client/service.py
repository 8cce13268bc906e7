"""The engine behind a Unix-domain socket: bytes in, bytes out, one request at a time."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc

from client.connection import METHOD, OPTIONS, EngineLink
from common.errors import StorageError
from common.storage import exclusive, private_folder

_log = logging.getLogger(__name__)


@contextmanager
def listening(answer: EngineLink, socket: Path) -> Iterator[str]:
    """A context in which the engine answers at the socket; gives its address.

    Parameters
    ----------
    answer : callable
        Bytes to bytes; called from one and the same thread, never twice at a time.
    socket : Path
        Nobody but its owner may connect: the folder is made private too.

    Raises
    ------
    StorageError
        If the folder belongs to somebody else, another engine listens there, or the socket cannot be made.
    """
    folder = private_folder(socket.parent)
    if folder.stat().st_uid != os.getuid():
        raise StorageError(f"{folder} belongs to another user -> choose another --state")
    with exclusive(folder), ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine") as thread:
        server = grpc.server(thread, handlers=[_handler(answer)], options=OPTIONS)
        _bind(server, socket)
        server.start()
        _log.info("engine listening socket=%s", socket)
        try:
            yield f"unix:{socket}"
        finally:
            server.stop(grace=None).wait()
            with suppress(FileNotFoundError):
                socket.unlink()


def wait_forever() -> None:
    """Returns only by an exception, such as Ctrl-C."""
    threading.Event().wait()


def _handler(answer: EngineLink) -> grpc.GenericRpcHandler[bytes, bytes]:
    def handle(request: bytes, _: grpc.ServicerContext) -> bytes:
        return answer(request)

    service, _, method = METHOD.lstrip("/").partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(handle)}
    return grpc.method_handlers_generic_handler(service, handlers)


def _bind(server: grpc.Server, socket: Path) -> None:
    """Its folder is private already, so nobody can connect before the socket is."""
    try:
        server.add_insecure_port(f"unix:{socket}")
    except RuntimeError as failure:
        raise StorageError(f"{socket}: the engine cannot listen there ({failure})") from None
    socket.chmod(0o600)
