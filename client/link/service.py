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

from client.link.connection import METHOD, OPTIONS, EngineLink
from common.errors import StorageError
from common.runtime.storage import lock_folder, make_private_folder

_log = logging.getLogger(__name__)


@contextmanager
def listen(answer: EngineLink, socket: Path) -> Iterator[str]:
    """Answer at the socket while the context is open; yields the socket's address.

    Parameters
    ----------
    answer : callable
        Takes a request's bytes and gives the reply's; always called from the same thread, one call at a time.
    socket : Path
        Its path; only its owner may connect, and its folder is made private too.

    Raises
    ------
    StorageError
        If the folder belongs to somebody else, another engine listens there, or the socket cannot be made.
    """
    folder = make_private_folder(socket.parent)
    if folder.stat().st_uid != os.getuid():
        raise StorageError(f"{folder} belongs to another user -> choose another --state")
    with lock_folder(folder), ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine") as thread:
        server = grpc.server(thread, handlers=[_make_handler(answer)], options=OPTIONS)
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
    """Wait until an exception, such as Ctrl-C; never returns."""
    threading.Event().wait()


def _make_handler(answer: EngineLink) -> grpc.GenericRpcHandler[bytes, bytes]:
    def handle(request: bytes, _: grpc.ServicerContext) -> bytes:
        return answer(request)

    service, _, method = METHOD.lstrip("/").partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(handle)}
    return grpc.method_handlers_generic_handler(service, handlers)


def _bind(server: grpc.Server, socket: Path) -> None:
    """Bind the socket; its folder is private already, so nobody else can connect before the socket is.

    Raises
    ------
    StorageError
        If the socket cannot be made.
    """
    try:
        server.add_insecure_port(f"unix:{socket}")
    except RuntimeError as failure:
        raise StorageError(f"{socket}: the engine cannot listen there ({failure})") from None
    socket.chmod(0o600)
